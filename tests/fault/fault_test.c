/* Every call that the system may refuse, in threads, timers, locals and queues, refused in turn: once, and from then on.

   Each scenario does its work and gives everything back, whatever it is refused; a status must say what failed, all memory
   comes back, and the same work must succeed afterwards.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static uint32_t dropped_items; /* atomic */

static void drop_item(void *memory)
{
    (void)memory;
    sp__add_seq_cst(&dropped_items, 1);
}

/* Of arguments, which are dropped with the last reference, by whichever thread has it. */
static void drop(void *memory)
{
    (void)memory;
}

static int by_value(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static sp_local local = SP_LOCAL(int, NULL, NULL);

static sp_status use_local(const int *in, int *ret_value)
{
    int *value = sp_local_get(&local);
    if (value == NULL)
        return sp_raise(SP_MEMORY_ERROR, "no value for %d", *in);
    *ret_value = ++*value;
    return SP_OK;
}
SP_TASK_OWNING(use_local, int, int, drop, NULL);

/* ---- scenarios: false when something was refused, and then said so ---- */

static bool threads(void)
{
    bool all = true;
    sp_thread *started[3];
    for (int i = 0; i < 3; i++)
        started[i] = sp_start_with(SP_THREAD(.name = i == 1 ? "named" : NULL, .stack_size = 65536), use_local, i);
    for (int i = 0; i < 3; i++) {
        int value = 0;
        sp_status status = sp_join(started[i], &value, SP_FOREVER);
        assert_true(status == SP_OK ? value == 1 : status == SP_MEMORY_ERROR); /* also the join of none */
        if (started[i] != NULL && sp_thread_set_name(started[i], "renamed") != SP_OK)
            all = false;
        all = all && status == SP_OK;
        sp_thread_release(started[i]);
    }
    return all;
}

/* Nobody joins it. */
static bool orphans(void)
{
    sp_thread *orphan = sp_start(use_local, 1);
    sp_thread_release(orphan);
    assert_true(sp_join_all(SP_FOREVER));
    return orphan != NULL;
}

static bool questions_to_a_thread(void)
{
    sp_thread *asked = sp_start(use_local, 1), *all[8];
    size_t n = sp_thread_enumerate(all, 8);
    for (size_t i = 0; i < n; i++)
        sp_thread_release(all[i]);
    bool has_number = sp_thread_native_id(asked) != 0;
    assert_int_equal(has_number, asked != NULL);
    sp_status status = sp_thread_wait(asked, SP_FOREVER);
    for (int i = 0; i < 100 && status == SP_OK; i++) {
        char name[24];
        snprintf(name, sizeof name, "name %d", i);
        status = sp_thread_set_name(asked, name);
    }
    (void)sp_thread_error(asked);
    sp_thread_release(asked);
    return status == SP_OK;
}

static sp_local locals[20];

static sp_status use_many_locals(const int *in, int *out)
{
    *out = 0;
    for (int i = 0; i < 20; i++)
        *out += sp_local_get(&locals[i]) != NULL ? *in : 0;
    return SP_OK;
}
SP_TASK(use_many_locals, int, int);

static bool many_locals(void)
{
    for (int i = 0; i < 20 && locals[19].sp_size_ == 0; i++)
        locals[i] = (sp_local)SP_LOCAL(long double, NULL, NULL);
    sp_thread *user = sp_start(use_many_locals, 1);
    int used = 0;
    sp_status status = sp_join(user, &used, SP_FOREVER);
    sp_thread_release(user);
    return status == SP_OK && used == 20;
}

static uint32_t made, finished; /* atomic: values of this */

static void count_made(void *value)
{
    (void)value;
    sp__add_seq_cst(&made, 1);
}

static void count_finished(void *value)
{
    (void)value;
    sp__add_seq_cst(&finished, 1);
}

static sp_local counted = SP_LOCAL(int, count_made, count_finished);

static void *ask_for_handle(void *arg)
{
    bool *refused = arg;
    sp_thread *self = sp_thread_current();
    *refused = self == NULL;
    if (sp_local_get(&counted) == NULL) {
        assert_int_equal(errno, ENOMEM);
        *refused = true;
    }
    return NULL;
}

static bool foreign_threads(void)
{
    bool refused;
    size_t before = sp_thread_active_count();
    test_join(test_thread(ask_for_handle, &refused));
    assert_int_equal(sp_thread_active_count(), before); /* whatever was refused, its record has gone with it, */
    assert_int_equal(sp__load_seq_cst(&finished), sp__load_seq_cst(&made)); /* and its value */
    return !refused;
}

static bool timers(void)
{
    sp_timer *soon = sp_timer_start(0, use_local, 1), *late = sp_timer_start(1000, use_local, 2);
    sp_status ran = sp_timer_join(soon, SP_FOREVER);
    assert_true(ran == SP_OK || ran == SP_MEMORY_ERROR || ran == SP_OS_ERROR);
    assert_int_equal(sp_timer_cancel(late), late != NULL);
    bool all = ran == SP_OK && late != NULL;
    sp_timer_release(soon);
    sp_timer_release(late);
    return all;
}

/* More than there is room for at first. */
static bool many_timers(void)
{
    sp_timer *pending[40];
    bool all = true;
    for (int i = 0; i < 40; i++) {
        pending[i] = sp_timer_start(1000 + i, use_local, i);
        all = all && pending[i] != NULL;
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(sp_timer_cancel(pending[i]), pending[i] != NULL);
        sp_timer_release(pending[i]);
    }
    return all;
}

static bool queue_of(sp_queue *queue)
{
    int puts = 0, item;
    if (queue == NULL) {
        assert_int_equal(errno, ENOMEM);
        return false;
    }
    bool all = true;
    for (int i = 0; i < 400; i++) {
        sp_status status = sp_put(queue, &i, SP_NOWAIT);
        assert_true(status == SP_OK || status == SP_MEMORY_ERROR);
        puts += status == SP_OK;
        all = all && status == SP_OK;
    }
    assert_int_equal(sp_queue_size(queue), puts);
    for (int i = 0; i < puts / 2; i++)
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
    uint32_t before = sp__load_seq_cst(&dropped_items);
    sp_queue_release(queue);
    assert_int_equal(sp__load_seq_cst(&dropped_items) - before, puts - puts / 2);
    return all;
}

static bool chain(void)
{
    return queue_of(sp_queue_of(int, .drop = drop_item));
}

static bool ring(void)
{
    return queue_of(sp_queue_of(int, .maxsize = 400, .drop = drop_item));
}

static bool stack(void)
{
    return queue_of(sp_queue_of(int, .order = SP_LIFO, .drop = drop_item));
}

static bool heap(void)
{
    return queue_of(sp_queue_of(int, .order = SP_PRIORITY, .compare = by_value, .drop = drop_item));
}

static bool batches(void)
{
    int items[300] = { 0 };
    size_t put = 0, got = 0;
    sp_queue *queue = sp_queue_of(int);
    sp_status status = sp_queue_put_many(queue, items, 300, &put, SP_NOWAIT);
    assert_true(status == SP_OK || status == SP_MEMORY_ERROR);
    if (put > 0)
        assert_int_equal(sp_queue_get_many(queue, items, 300, &got, SP_NOWAIT), SP_OK);
    assert_int_equal(got, put);
    sp_queue_shutdown(queue, true);
    sp_queue_release(queue);
    return status == SP_OK;
}

static bool large_items(void)
{
    char item[1000] = { 0 };
    sp_status status = SP_OK;
    sp_queue *queue = sp_queue_new(sizeof item, NULL);
    for (int i = 0; i < 100 && status == SP_OK; i++)
        status = sp_queue_put(queue, item, sizeof item, SP_NOWAIT);
    assert_true(status == SP_OK || status == SP_MEMORY_ERROR);
    sp_queue_shutdown(queue, true);
    sp_queue_release(queue);
    return status == SP_OK;
}

static bool pool(void)
{
    sp_executor *executor = sp_thread_pool(.max_workers = 2, .thread_name_prefix = "p");
    if (executor == NULL)
        return false;
    bool all = true;
    sp_future *futures[8];
    for (int i = 0; i < 8; i++)
        futures[i] = sp_submit(executor, use_local, i);
    for (int i = 0; i < 8; i++) {
        sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
        assert_true(status == SP_OK || status == SP_MEMORY_ERROR || status == SP_OS_ERROR);
        all = all && status == SP_OK;
    }
    sp_release_all(futures, 8);
    assert_int_equal(sp_shutdown(executor), SP_OK);
    sp_executor_release(executor);
    return all;
}

/* ---- */

static void ignore_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

static void ignore_thread_error(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
}

/* The library has no more memory than after any of the runs before; a thread of its own may be late. */
static void all_is_given_back(uint64_t *least)
{
    test_await(sp__fault_blocks() <= *least);
    *least = sp__fault_blocks();
}

/* Refuse call 1, 2, ... until a run makes fewer calls than that. */
static void refuse_each(const char *name, bool (*scenario)(void), bool for_ever)
{
    uint64_t call = 1, refused = 0, blocks = sp__fault_blocks();
    for (bool reached = true; reached; call++) {
        sp__fault_arm(call, for_ever);
        bool all = scenario();
        reached = sp__fault_disarm() > 0;
        refused += reached;
        if (!reached)
            assert_true(all);
        assert_true(scenario()); /* and now it works */
        all_is_given_back(&blocks);
        assert_true(call < 2000);
    }
    assert_true(refused > 0);
    printf("%s: %d calls refused in turn%s\n", name, (int)refused, for_ever ? ", and all after" : "");
}

static void refuse_in_both_ways(const char *name, bool (*scenario)(void))
{
    assert_true(scenario()); /* what is made once in a process is made */
    refuse_each(name, scenario, false);
    refuse_each(name, scenario, true);
}

static const struct {
    const char *name;
    bool (*scenario)(void);
} scenarios[] = {
    { "threads", threads },
    { "foreign threads", foreign_threads },
    { "orphans", orphans },
    { "questions", questions_to_a_thread },
    { "locals", many_locals },
    { "batches", batches },
    { "large items", large_items },
    { "many timers", many_timers },
    { "timers", timers },
    { "chain", chain },
    { "ring", ring },
    { "stack", stack },
    { "heap", heap },
    { "pool", pool },
};

static void every_call_refused_in_turn(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(ignore_error, NULL);
    sp_set_excepthook(ignore_thread_error, NULL);
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        refuse_in_both_ways(scenarios[i].name, scenarios[i].scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_call_refused_in_turn) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
