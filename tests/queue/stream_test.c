/* How a getter waits in a stream of items, and how for an answer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <sched.h>

#include <spool.h>

#include "os/os.h"
#include "park/spin.h"
#include "queue/queue.h"

static int yields;

/* Instead of libc's: counts. */
int sched_yield(void)
{
    yields++;
    return 0;
}

static void skip_where_nobody_spins(void)
{
    if (sp__os_affinity_cpus() == 1 || getenv("SPOOL_SPIN") != NULL)
        skip();
}

/* Until a rest is over that began because this thread lost its CPU. */
static void await_spins(void)
{
    struct sp__spin spin;
    test_await((spin = (struct sp__spin)SP__SPIN, sp__spin(&spin) || sp__may_spin()));
}

enum { STREAM = 1000 }; /* more than any pause that was ever learnt */

/* Take from the empty queue, as if each wait so far had paid for so many items. */
static void take_in_vain(sp_queue *queue, uint32_t items)
{
    int item;
    await_spins();
    sp__spins_in_vain = SP__SPIN_PATIENCE; /* a queue's waits spin all the same */
    yields = 0;
    sp__store_relaxed(&queue->get_patience.pauses, items > 1 ? STREAM : 0);
    sp__store_relaxed(&queue->get_patience.since, 0 - items);
    assert_int_equal(sp_get(queue, &item, 0.001), SP_EMPTY);
}

/* Who puts in a stream and does not come has lost its CPU: to us, or to another process. */
static void in_a_stream_a_getter_yields_once_before_it_sleeps(void **state)
{
    (void)state;
    skip_where_nobody_spins();
    sp_queue *queue = sp_queue_of(int);
    bool has_yielded = false;
    for (int i = 0; i < 10 && !has_yielded; i++) { /* a rest may begin in the middle of a spin */
        take_in_vain(queue, STREAM);
        assert_in_range(yields, 0, 1);
        has_yielded = yields == 1;
    }
    assert_true(has_yielded);
    sp_queue_release(queue);
}

static void for_an_answer_a_getter_does_not_yield(void **state)
{
    (void)state;
    skip_where_nobody_spins();
    sp_queue *queue = sp_queue_of(int);
    take_in_vain(queue, 1);
    assert_int_equal(yields, 0);
    sp_queue_release(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_stream_a_getter_yields_once_before_it_sleeps),
        cmocka_unit_test(for_an_answer_a_getter_does_not_yield),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
