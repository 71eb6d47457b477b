/* The memory order of each pair of docs/memory-model.md: plain data is written before the one and read after the other.

   The thread sanitizer proves it; without it a wrong value may show.  Nothing else may order the two threads, which is why
   each round has data of its own, and who reads does nothing but the call that is tested.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <stdbool.h>

#include <spool.h>

#include "base/atomic.h"

/* One round: what both sides share, and the data that only the order protects. */
struct round {
    long data[2]; /* plain */
    sp_lock lock;
    sp_rlock rlock;
    sp_semaphore semaphore;
    sp_event event;
    sp_condition condition;
    sp_barrier barrier;
    sp_once once;
    sp_queue *queue;
    uint32_t flag; /* atomic, relaxed on purpose: orders nothing */
    long seen;     /* by the other thread; read after it was joined by the tests' own means */
};

static void two_threads(void *(*other)(void *), void (*here)(struct round *), void (*prepare)(struct round *))
{
    for (long i = test_count(100); i > 0; i--) {
        struct round round = { .barrier = SP_BARRIER(2) };
        if (prepare != NULL)
            prepare(&round);
        pthread_t thread = test_thread(other, &round);
        here(&round);
        test_join(thread);
        assert_int_equal(round.seen, 42);
        sp_queue_release(round.queue);
    }
}

/* A flag that orders nothing, for pairs in which the second call does not wait for the first. */
static void raise_flag(struct round *round)
{
    sp__store_relaxed(&round->flag, 1);
}

static void await_flag(struct round *round)
{
    test_await(sp__load_relaxed(&round->flag));
}

/* ---- locks ---- */

static void *write_under_lock(void *arg)
{
    struct round *round = arg;
    sp_lock_acquire(&round->lock);
    round->data[0] = 42;
    raise_flag(round);
    sp_lock_release(&round->lock);
    return NULL;
}

static void read_under_lock(struct round *round)
{
    await_flag(round);
    sp_lock_acquire(&round->lock);
    round->seen = round->data[0];
    sp_lock_release(&round->lock);
}

static void lock_release_to_acquire(void **state)
{
    (void)state;
    two_threads(write_under_lock, read_under_lock, NULL);
}

static void read_under_lock_timeout(struct round *round)
{
    await_flag(round);
    while (!sp_lock_acquire_timeout(&round->lock, 1e-6))
        continue;
    round->seen = round->data[0];
    sp_lock_release(&round->lock);
}

static void lock_release_to_acquire_timeout(void **state)
{
    (void)state;
    two_threads(write_under_lock, read_under_lock_timeout, NULL);
}

static void *write_under_rlock(void *arg)
{
    struct round *round = arg;
    sp_rlock_acquire(&round->rlock);
    sp_rlock_acquire(&round->rlock);
    round->data[0] = 42;
    raise_flag(round);
    sp_rlock_release(&round->rlock);
    sp_rlock_release(&round->rlock);
    return NULL;
}

static void read_under_rlock(struct round *round)
{
    await_flag(round);
    sp_rlock_acquire(&round->rlock);
    round->seen = round->data[0];
    sp_rlock_release(&round->rlock);
}

static void rlock_release_to_acquire(void **state)
{
    (void)state;
    two_threads(write_under_rlock, read_under_rlock, NULL);
}

/* ---- semaphore, event ---- */

static void *write_and_release_permit(void *arg)
{
    struct round *round = arg;
    round->data[0] = 42;
    return sp_semaphore_release(&round->semaphore, 1) == SP_OK ? arg : NULL;
}

static void acquire_permit(struct round *round)
{
    sp_semaphore_acquire(&round->semaphore);
    round->seen = round->data[0];
}

static void semaphore_release_to_acquire(void **state)
{
    (void)state;
    two_threads(write_and_release_permit, acquire_permit, NULL);
}

static void *write_and_set(void *arg)
{
    struct round *round = arg;
    round->data[0] = 42;
    sp_event_set(&round->event);
    return NULL;
}

static void *write_and_pulse(void *arg)
{
    struct round *round = arg;
    round->data[0] = 42;
    while (!sp__load_relaxed(&round->flag)) { /* a pulse may come before the wait */
        sp_event_set(&round->event);
        sp_event_clear(&round->event);
    }
    return NULL;
}

static void wait_for_event(struct round *round)
{
    if (sp_event_wait(&round->event, SP_FOREVER))
        round->seen = round->data[0];
    raise_flag(round);
}

static void look_at_event(struct round *round)
{
    test_await(sp_event_is_set(&round->event));
    round->seen = round->data[0];
}

static void event_set_to_wait(void **state)
{
    (void)state;
    two_threads(write_and_set, wait_for_event, NULL);
    two_threads(write_and_pulse, wait_for_event, NULL);
}

static void event_set_to_is_set(void **state)
{
    (void)state;
    two_threads(write_and_set, look_at_event, NULL);
}

/* ---- condition: notified without the lock, so that the lock is not what orders ---- */

static void *write_and_notify(void *arg)
{
    struct round *round = arg;
    test_await(sp__load_relaxed(&round->condition.sp_word_) != 0);
    round->data[0] = 42;
    sp_condition_notify(&round->condition, 1);
    return NULL;
}

static void wait_for_notify(struct round *round)
{
    sp_lock_acquire(&round->lock);
    if (sp_condition_wait(&round->condition, &round->lock, SP_FOREVER))
        round->seen = round->data[0];
    sp_lock_release(&round->lock);
}

static void notify_to_return_of_wait(void **state)
{
    (void)state;
    two_threads(write_and_notify, wait_for_notify, NULL);
}

/* ---- barrier ---- */

static bool add_up(void *context)
{
    struct round *round = context;
    round->data[0] = round->data[0] + round->data[1]; /* 40 + 2: what both did before their waits */
    return true;
}

static void have_action(struct round *round)
{
    round->barrier = (sp_barrier)SP_BARRIER_ACTION(2, add_up, round);
}

static void *write_2_and_wait(void *arg)
{
    struct round *round = arg;
    round->data[1] = 2;
    return sp_barrier_wait(&round->barrier, NULL, SP_FOREVER) == SP_OK && round->data[0] == 42 ? arg : NULL;
}

static void write_40_and_wait(struct round *round)
{
    round->data[0] = 40;
    if (sp_barrier_wait(&round->barrier, NULL, SP_FOREVER) == SP_OK)
        round->seen = round->data[0];
}

static void barrier_wait_to_action_and_action_to_return(void **state)
{
    (void)state;
    two_threads(write_2_and_wait, write_40_and_wait, have_action);
}

static void *write_and_meet(void *arg)
{
    struct round *round = arg;
    round->data[1] = 2;
    return sp_barrier_wait(&round->barrier, NULL, SP_FOREVER) == SP_OK && round->data[0] == 40 ? arg : NULL;
}

static void meet_and_read(struct round *round)
{
    round->data[0] = 40;
    if (sp_barrier_wait(&round->barrier, NULL, SP_FOREVER) == SP_OK)
        round->seen = round->data[0] + round->data[1];
}

static void barrier_wait_to_every_return(void **state)
{
    (void)state;
    two_threads(write_and_meet, meet_and_read, NULL);
}

/* ---- once ---- */

static void write_once(void *context)
{
    ((struct round *)context)->data[0] = 42;
}

static void *call_once(void *arg)
{
    struct round *round = arg;
    sp_once_call(&round->once, write_once, round);
    return NULL;
}

static void call_once_and_read(struct round *round)
{
    sp_once_call(&round->once, write_once, round);
    round->seen = round->data[0];
}

static void once_function_to_every_return(void **state)
{
    (void)state;
    two_threads(call_once, call_once_and_read, NULL);
}

/* ---- queue ---- */

static void have_queue(struct round *round)
{
    round->queue = sp_queue_of(struct round *);
}

static void have_bounded_queue(struct round *round)
{
    round->queue = sp_queue_of(struct round *, .maxsize = 2);
}

static void have_stack(struct round *round)
{
    round->queue = sp_queue_of(struct round *, .order = SP_LIFO);
}

static void *write_and_put(void *arg)
{
    struct round *round = arg;
    round->data[0] = 42;
    return sp_put(round->queue, &round, SP_FOREVER) == SP_OK ? arg : NULL;
}

static void get_and_read(struct round *round)
{
    struct round *got = NULL;
    if (sp_get(round->queue, &got, SP_FOREVER) == SP_OK)
        round->seen = got->data[0];
}

static void put_to_get(void **state)
{
    (void)state;
    two_threads(write_and_put, get_and_read, have_queue);
    two_threads(write_and_put, get_and_read, have_bounded_queue);
    two_threads(write_and_put, get_and_read, have_stack);
}

static void have_item(struct round *round)
{
    have_queue(round);
    assert_int_equal(sp_put(round->queue, &round, SP_NOWAIT), SP_OK);
}

static void *write_and_say_done(void *arg)
{
    struct round *round = arg;
    round->data[0] = 42;
    return sp_queue_task_done(round->queue) == SP_OK ? arg : NULL;
}

static void join_queue(struct round *round)
{
    if (sp_queue_join(round->queue, SP_FOREVER))
        round->seen = round->data[0];
}

static void task_done_to_join(void **state)
{
    (void)state;
    two_threads(write_and_say_done, join_queue, have_item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_release_to_acquire),
        cmocka_unit_test(lock_release_to_acquire_timeout),
        cmocka_unit_test(rlock_release_to_acquire),
        cmocka_unit_test(semaphore_release_to_acquire),
        cmocka_unit_test(event_set_to_wait),
        cmocka_unit_test(event_set_to_is_set),
        cmocka_unit_test(notify_to_return_of_wait),
        cmocka_unit_test(barrier_wait_to_action_and_action_to_return),
        cmocka_unit_test(barrier_wait_to_every_return),
        cmocka_unit_test(once_function_to_every_return),
        cmocka_unit_test(put_to_get),
        cmocka_unit_test(task_done_to_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
