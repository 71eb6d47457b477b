/* Thread-local values: finalisers, rounds, threads of all kinds, alignment, no memory.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

struct value {
    uint64_t thread; /* who made it */
    int uses;
};

static uint32_t inits, finis, wrong; /* atomic */

static void init(void *memory)
{
    struct value *value = memory;
    sp__add_seq_cst(&inits, 1);
    if (value->thread != 0 || value->uses != 0)
        sp__add_seq_cst(&wrong, 1);
    value->thread = (uint64_t)pthread_self();
}

static void fini(void *memory)
{
    const struct value *value = memory;
    sp__add_seq_cst(&finis, 1);
    if (value->thread != (uint64_t)pthread_self())
        sp__add_seq_cst(&wrong, 1);
}

static sp_local local = SP_LOCAL(struct value, init, fini);

static sp_status use(const sp_none *in, int *ret_uses)
{
    (void)in;
    for (int i = 0; i < 3; i++) {
        struct value *value = sp_local_get(&local);
        if (value == NULL)
            return sp_raise(SP_MEMORY_ERROR, "no value");
        *ret_uses = ++value->uses;
    }
    return SP_OK;
}
SP_TASK(use, sp_none, int);

static void *use_in_foreign_thread(void *arg)
{
    (void)arg;
    int uses = 0;
    return use(NULL, &uses) == SP_OK && uses == 3 ? NULL : &local;
}

static void each_thread_has_its_own_and_finishes_it(void **state)
{
    (void)state;
    sp__store_relaxed(&inits, 0);
    sp__store_relaxed(&finis, 0);
    uint32_t threads = (uint32_t)test_count(50);
    for (uint32_t i = 0; i < threads; i++) {
        int uses = 0;
        void *failed;
        sp_auto(sp_thread) thread = sp_start(use);
        pthread_t foreign = test_thread(use_in_foreign_thread, NULL);
        assert_int_equal(sp_join(thread, &uses, SP_FOREVER), SP_OK);
        assert_int_equal(uses, 3);
        assert_int_equal(pthread_join(foreign, &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(sp__load_seq_cst(&inits), 2 * threads);
    assert_int_equal(sp__load_seq_cst(&finis), 2 * threads); /* before a thread counts as ended */
    assert_int_equal(sp__load_seq_cst(&wrong), 0);
}

static void a_pools_worker_keeps_its_own_between_tasks(void **state)
{
    (void)state;
    sp__store_relaxed(&inits, 0);
    sp__store_relaxed(&finis, 0);
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    for (int i = 1; i <= 4; i++) {
        int uses;
        sp_auto(sp_future) future = sp_submit(pool, use);
        assert_int_equal(sp_result(future, &uses, SP_FOREVER), SP_OK);
        assert_int_equal(uses, 3 * i);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(sp__load_seq_cst(&inits), 1);
    assert_int_equal(sp__load_seq_cst(&finis), 1);
}

/* ---- rounds ---- */

static void use_again(void *memory);
static sp_local stubborn = SP_LOCAL(int, NULL, use_again);
static uint32_t rounds; /* atomic */

static void use_again(void *memory)
{
    (void)memory;
    sp__add_seq_cst(&rounds, 1);
    (void)sp_local_get(&stubborn);
}

static sp_status begin_stubborn(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_local_get(&stubborn) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(begin_stubborn, sp_none, sp_none);

static void finalisers_run_at_most_four_rounds(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(begin_stubborn);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp__load_seq_cst(&rounds), 4);
}

/* ---- any number, any alignment ---- */

enum { MANY = 500 };
static sp_local many[MANY];

struct wide {
    _Alignas(128) char bytes[200];
};
static sp_local wide = SP_LOCAL(struct wide, NULL, NULL);

static sp_status use_many(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < MANY; i++) {
        int *value = sp_local_get(&many[i]);
        if (value == NULL || *value != 0)
            return sp_raise(SP_VALUE_ERROR, "local %d is not new", i);
        *value = i;
    }
    for (int i = 0; i < MANY; i++)
        if (*(int *)sp_local_get(&many[i]) != i)
            return sp_raise(SP_VALUE_ERROR, "local %d has another's value", i);
    return (uintptr_t)sp_local_get(&wide) % 128 == 0 ? SP_OK : sp_raise(SP_VALUE_ERROR, "not aligned");
}
SP_TASK(use_many, sp_none, sp_none);

static void any_number_of_locals(void **state)
{
    (void)state;
    sp_thread *threads[4];
    for (int i = 0; i < MANY; i++)
        many[i] = (sp_local)SP_LOCAL(int, NULL, NULL);
    for (int i = 0; i < 4; i++)
        threads[i] = sp_start(use_many);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sp_join(threads[i], NULL, SP_FOREVER), SP_OK);
        sp_thread_release(threads[i]);
    }
}

static sp_status get_without_memory(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (uint64_t call = 1; call <= 2; call++) { /* the table, the value */
        sp__fault_arm(call, false);
        void *value = sp_local_get(&local);
        int error = errno;
        sp__fault_disarm();
        if (value != NULL || error != ENOMEM)
            return sp_raise(SP_VALUE_ERROR, "call %d did not fail", (int)call);
    }
    return sp_local_get(&local) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(get_without_memory, sp_none, sp_none);

static void without_memory_it_is_null_and_can_be_asked_again(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(get_without_memory);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thread_has_its_own_and_finishes_it),
        cmocka_unit_test(a_pools_worker_keeps_its_own_between_tasks),
        cmocka_unit_test(finalisers_run_at_most_four_rounds),
        cmocka_unit_test(any_number_of_locals),
        cmocka_unit_test(without_memory_it_is_null_and_can_be_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
