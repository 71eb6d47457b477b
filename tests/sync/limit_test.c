/* Time limits far beyond any clock: they do not pass.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <float.h>
#include <math.h>

#include <spool.h>

#include "base/atomic.h"
#include "conformance/bunch.h"

static const double limits[] = { 1e9, 9.1e9, 9.2e9, 9.3e9, 1.8e10, 1.9e10, 1e12, 1e18, 1e19, 1e20, DBL_MAX, INFINITY };
enum { LIMITS = sizeof limits / sizeof *limits };

struct waits {
    sp_event event;
    sp_semaphore semaphore;
    sp_queue *queue;
    sp_future *future;
    uint32_t next; /* atomic; the limit of the next to come */
};

static double next_limit(struct waits *waits)
{
    return limits[sp__add_seq_cst(&waits->next, 1) % LIMITS];
}

static void wait_for_event(void *context)
{
    struct waits *waits = context;
    assert_true(sp_event_wait(&waits->event, next_limit(waits)));
}

static void wait_for_semaphore(void *context)
{
    struct waits *waits = context;
    assert_true(sp_semaphore_acquire_timeout(&waits->semaphore, next_limit(waits)));
}

static void wait_for_item(void *context)
{
    struct waits *waits = context;
    int item;
    assert_int_equal(sp_get(waits->queue, &item, next_limit(waits)), SP_OK);
}

static void wait_for_future(void *context)
{
    struct waits *waits = context;
    assert_int_equal(sp_result(waits->future, NULL, next_limit(waits)), SP_OK);
}

static sp_status wait_in_task(sp_event *const *event, sp_none *out)
{
    (void)out;
    return sp_event_wait(*event, 1e20) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_in_task, sp_event *, sp_none);

static void waits_of_many_years_do_not_pass(void **state)
{
    (void)state;
    static void (*const bodies[])(void *) = { wait_for_event, wait_for_semaphore, wait_for_item, wait_for_future };
    enum { KINDS = sizeof bodies / sizeof *bodies };
    struct bunch bunches[KINDS];
    struct waits waits = { .queue = sp_queue_of(int) };
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    waits.future = sp_submit(pool, wait_in_task, &waits.event);
    for (int kind = 0; kind < KINDS; kind++)
        bunch_start(&bunches[kind], LIMITS, bodies[kind], &waits);
    for (int kind = 0; kind < KINDS; kind++) {
        bunch_await_sleep(&bunches[kind]);
        assert_int_equal(bunch_finished(&bunches[kind]), 0);
    }
    sp_event_set(&waits.event);
    assert_int_equal(sp_semaphore_release(&waits.semaphore, LIMITS), SP_OK);
    for (int item = 0; item < LIMITS; item++)
        assert_int_equal(sp_put(waits.queue, &item, SP_NOWAIT), SP_OK);
    for (int kind = 0; kind < KINDS; kind++)
        bunch_join(&bunches[kind]);
    sp_future_release(waits.future);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_queue_release(waits.queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(waits_of_many_years_do_not_pass) };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
