/* sp_local behaves like threading.local.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "conformance/bunch.h"
#include "conformance/child.h"

struct value {
    int number, initialised;
};

static uint32_t made, ended; /* atomic */

static void make(void *value)
{
    struct value *it = value;
    it->initialised = it->number == 0 ? 1 : -1; /* it is zeroed before */
    sp__add_seq_cst(&made, 1);
    sched_yield(); /* others come here at the same time */
}

static void end(void *value)
{
    ((struct value *)value)->number = -1;
    sp__add_seq_cst(&ended, 1);
}

static sp_local counted = SP_LOCAL(struct value, make, end), plain = SP_LOCAL(struct value, NULL, NULL);
static sp_event gate, ready;

static struct value *get(sp_local *local)
{
    struct value *value = sp_local_get(local);
    assert_non_null(value);
    return value;
}

/* ---- a value for each thread, ended with it ---- */

static sp_status touch(const int *in, int *out)
{
    get(&counted)->number = *in;
    *out = get(&counted)->number;
    return SP_OK;
}
SP_TASK(touch, int, int);

static void a_value_ends_with_its_thread(void **state)
{
    (void)state;
    const uint32_t counts[3] = { 20, 50, 100 };
    for (int k = 0; k < 3; k++) {
        sp__store_release(&made, 0);
        sp__store_release(&ended, 0);
        for (uint32_t i = 1; i <= counts[k]; i++) {
            int number = 0;
            sp_auto(sp_thread) thread = sp_start(touch, (int)i);
            assert_int_equal(sp_join(thread, &number, SP_FOREVER), SP_OK);
            assert_int_equal(number, (int)i);
            assert_int_equal(sp__load_acquire(&made), i);
            assert_int_equal(sp__load_acquire(&ended), i); /* before the thread counts as ended */
        }
    }
}

static void touch_here(void *context)
{
    get(&counted)->number = 5;
    (void)context;
}

static void a_value_of_a_foreign_thread_ends_with_it_too(void **state)
{
    (void)state;
    sp__store_release(&ended, 0);
    bunch_of(10, touch_here, NULL);
    assert_int_equal(sp__load_acquire(&ended), 10);
}

static sp_status set_and_stay(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    get(&plain)->number = 7;
    sp_event_set(&ready);
    sp_event_wait(&gate, SP_FOREVER);
    return get(&plain)->number == 7 ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(set_and_stay, sp_none, sp_none);

static sp_status look(const sp_none *in, int *out)
{
    (void)in;
    *out = get(&plain)->number;
    get(&plain)->number = 8;
    return SP_OK;
}
SP_TASK(look, sp_none, int);

static void no_thread_sees_anothers_value(void **state)
{
    (void)state;
    int seen = 99;
    sp_event_clear(&gate);
    sp_auto(sp_thread) first = sp_start(set_and_stay);
    sp_event_wait(&ready, SP_FOREVER);
    sp_auto(sp_thread) second = sp_start(look);
    assert_int_equal(sp_join(second, &seen, SP_FOREVER), SP_OK);
    assert_int_equal(seen, 0);
    assert_int_equal(get(&plain)->number, 0);
    sp_event_set(&gate);
    assert_int_equal(sp_join(first, NULL, SP_FOREVER), SP_OK);
}

static void the_same_value_again(void **state)
{
    (void)state;
    struct value *value = get(&plain);
    value->number = 42;
    assert_ptr_equal(get(&plain), value);
    assert_int_equal(get(&plain)->number, 42);
    assert_ptr_not_equal((void *)get(&counted), (void *)value);
    value->number = 0;
}

/* ---- many at once ---- */

enum { LOCALS = 40, THREADS = 10 };

static sp_local many[LOCALS];
static uint32_t next_number, wrong; /* atomic */

static void use_all(void *context)
{
    (void)context;
    int mine = (int)sp__add_seq_cst(&next_number, 1) + 1;
    sp_event_wait(&gate, SP_FOREVER); /* the first use of each, by all at once */
    for (int i = 0; i < LOCALS; i++) {
        struct value *value = get(&many[i]);
        if (value->number != 0 || value->initialised != 1)
            sp__add_seq_cst(&wrong, 1);
        value->number = mine * LOCALS + i;
    }
    for (int i = 0; i < LOCALS; i++)
        if (get(&many[i])->number != mine * LOCALS + i)
            sp__add_seq_cst(&wrong, 1);
}

static void first_uses_at_once_mix_nothing_up(void **state)
{
    (void)state;
    for (long round = test_count(20); round > 0; round--) {
        struct bunch bunch;
        sp_event_clear(&gate);
        sp__store_release(&ended, 0);
        for (int i = 0; i < LOCALS && round == test_count(20); i++)
            many[i] = (sp_local)SP_LOCAL(struct value, make, end);
        bunch_start(&bunch, THREADS, use_all, NULL);
        sp_event_set(&gate);
        bunch_join(&bunch);
        assert_int_equal(sp__load_acquire(&wrong), 0);
        assert_int_equal(sp__load_acquire(&ended), LOCALS * THREADS);
    }
}

/* ---- the end of a value ---- */

static uint32_t rounds; /* atomic */
static void come_back(void *value);
static sp_local immortal = SP_LOCAL(int, NULL, come_back);

static void come_back(void *value)
{
    (void)value;
    sp__add_seq_cst(&rounds, 1);
    assert_non_null(sp_local_get(&immortal)); /* a new one, which asks for another round */
}

static sp_status use_immortal(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return sp_local_get(&immortal) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_immortal, sp_none, sp_none);

static void a_value_that_comes_back_is_given_up_after_four_rounds(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(use_immortal);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    assert_true(sp__load_acquire(&rounds) >= 1);
    assert_true(sp__load_acquire(&rounds) <= 4);
}

/* ---- the end of the process: what children do ---- */

static void say_end(void *value)
{
    (void)value;
    child_say("value ");
}

static sp_local said = SP_LOCAL(int, NULL, say_end);

static sp_status use_said(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    child_say("thread ");
    return sp_local_get(&said) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_said, sp_none, sp_none);

static void open_gate(void)
{
    sp_event_set(&gate);
}

/* The gate opens when exit has begun: only an exit that waits for the thread, and for its values, sees them. */
static int values_end_before_the_process(void)
{
    sp_thread_release(sp_start(use_said));
    if (atexit(open_gate) != 0)
        return 9;
    child_say("main ");
    return 0;
}

static void say_value(void)
{
    char text[32];
    snprintf(text, sizeof text, "%d ", get(&plain)->number);
    child_say(text);
}

static int mains_value_is_there_at_exit(void)
{
    get(&plain)->number = 17;
    sp_thread_release(sp_start(touch, 1));
    return atexit(say_value) == 0 ? 0 : 9;
}

static const struct child_case cases[] = {
    CHILD_CASE(values_end_before_the_process, 0, "main thread value ", ""),
    CHILD_CASE(mains_value_is_there_at_exit, 0, "17 ", ""),
};

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_ends_with_its_thread),
        cmocka_unit_test(a_value_of_a_foreign_thread_ends_with_it_too),
        cmocka_unit_test(no_thread_sees_anothers_value),
        cmocka_unit_test(the_same_value_again),
        cmocka_unit_test(first_uses_at_once_mix_nothing_up),
        cmocka_unit_test(a_value_that_comes_back_is_given_up_after_four_rounds),
        CHILD_TEST(&cases[0]),
        CHILD_TEST(&cases[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
