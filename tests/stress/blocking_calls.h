/* Every call that blocks, in one table: how to make it block, the call, how to let it go on.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_BLOCKING_CALLS_H
#define SP_TESTS_STRESS_BLOCKING_CALLS_H

#include "stress.h"

#include <spool.h>

/* One thing to wait for: blocked as it stands, until `end` is called. */
struct thing {
    sp_lock lock;
    sp_rlock rlock;
    sp_lock condition_lock;
    sp_condition condition;
    sp_semaphore semaphore;
    sp_event event;
    sp_barrier barrier;
    sp_queue *queue;
    sp_thread *thread;
    sp_executor *pool;
    sp_future *future;
    sp_event gate; /* the thread, and the task of the pool, end when it is set */
};

static sp_status pass_gate(struct thing *const *in, int *ret_answer)
{
    sp_event_wait(&(*in)->gate, SP_FOREVER);
    *ret_answer = 42;
    return SP_OK;
}
typedef struct thing *thing_pointer;
SP_TASK(pass_gate, thing_pointer, int);

/* ---- the calls.  `block` says SP_OK when it got what it waited for, SP_TIMEOUT when its time was up ---- */

struct call {
    const char *name;
    void (*begin)(struct thing *thing); /* by the partner: make it block */
    sp_status (*block)(struct thing *thing, double timeout);
    void (*end)(struct thing *thing); /* by the partner: let it go on */
    bool never_times_out;             /* has no time limit */
    bool only_times_out;              /* has nothing else to wait for */
};

static sp_status in_time(bool in_time)
{
    return in_time ? SP_OK : SP_TIMEOUT;
}

static void nothing(struct thing *thing)
{
    (void)thing;
}

static void hold_lock(struct thing *thing)
{
    sp_lock_acquire(&thing->lock);
}

static void release_lock(struct thing *thing)
{
    sp_lock_release(&thing->lock);
}

static sp_status block_lock(struct thing *thing, double timeout)
{
    bool got = sp_lock_acquire_timeout(&thing->lock, timeout);
    if (got)
        sp_lock_release(&thing->lock);
    return in_time(got);
}

static sp_status block_lock_untimed(struct thing *thing, double timeout)
{
    (void)timeout;
    sp_lock_acquire(&thing->lock);
    sp_lock_release(&thing->lock);
    return SP_OK;
}

static void hold_rlock(struct thing *thing)
{
    sp_rlock_acquire(&thing->rlock);
    sp_rlock_acquire(&thing->rlock);
}

static void release_rlock(struct thing *thing)
{
    sp_rlock_release(&thing->rlock);
    sp_rlock_release(&thing->rlock);
}

static sp_status block_rlock(struct thing *thing, double timeout)
{
    bool got = sp_rlock_acquire_timeout(&thing->rlock, timeout);
    if (got)
        sp_rlock_release(&thing->rlock);
    return in_time(got);
}

static sp_status block_condition(struct thing *thing, double timeout)
{
    sp_lock_acquire(&thing->condition_lock);
    bool notified = sp_condition_wait(&thing->condition, &thing->condition_lock, timeout);
    sp_lock_release(&thing->condition_lock);
    return in_time(notified);
}

/* A notification is for who waits already. */
static void notify_condition(struct thing *thing)
{
    while (sp__load_acquire(&thing->condition.sp_word_) == 0)
        sched_yield();
    sp_condition_notify(&thing->condition, 1);
}

static sp_status block_semaphore(struct thing *thing, double timeout)
{
    return in_time(sp_semaphore_acquire_timeout(&thing->semaphore, timeout));
}

static void release_semaphore(struct thing *thing)
{
    stress_expect(sp_semaphore_release(&thing->semaphore, 1) == SP_OK);
}

static sp_status block_event(struct thing *thing, double timeout)
{
    return in_time(sp_event_wait(&thing->event, timeout));
}

static void set_event(struct thing *thing)
{
    sp_event_set(&thing->event);
}

static sp_status block_barrier(struct thing *thing, double timeout)
{
    sp_status status = sp_barrier_wait(&thing->barrier, NULL, timeout);
    if (status == SP_TIMEOUT)
        sp_barrier_reset(&thing->barrier);
    return status;
}

static void complete_barrier(struct thing *thing)
{
    stress_expect(sp_barrier_wait(&thing->barrier, NULL, SP_FOREVER) == SP_OK);
}

/* A queue of one item. */
static void fill_queue(struct thing *thing)
{
    stress_expect(sp_put(thing->queue, &(int){ 7 }, SP_NOWAIT) == SP_OK);
}

static void empty_queue(struct thing *thing)
{
    int item = 0;
    stress_expect(sp_get(thing->queue, &item, SP_FOREVER) == SP_OK && item == 7);
    stress_expect(sp_queue_task_done(thing->queue) == SP_OK);
}

static sp_status block_put(struct thing *thing, double timeout)
{
    sp_status status = sp_put(thing->queue, &(int){ 7 }, timeout);
    if (status == SP_OK)
        empty_queue(thing);
    return status == SP_FULL ? SP_TIMEOUT : status;
}

static sp_status block_get(struct thing *thing, double timeout)
{
    int item = 0;
    sp_status status = sp_get(thing->queue, &item, timeout);
    if (status == SP_OK)
        stress_expect(item == 7 && sp_queue_task_done(thing->queue) == SP_OK);
    return status == SP_EMPTY ? SP_TIMEOUT : status;
}

static sp_status block_join_queue(struct thing *thing, double timeout)
{
    return in_time(sp_queue_join(thing->queue, timeout));
}

static void start_thread(struct thing *thing)
{
    sp_event_clear(&thing->gate);
    thing->thread = sp_start(pass_gate, thing);
    stress_expect(thing->thread != NULL);
}

static void open_gate(struct thing *thing)
{
    sp_event_set(&thing->gate);
}

static sp_status block_join(struct thing *thing, double timeout)
{
    int answer = 0;
    sp_status status = sp_join(thing->thread, &answer, timeout);
    stress_expect((answer == 42) == (status == SP_OK));
    return status;
}

static void start_task(struct thing *thing)
{
    sp_event_clear(&thing->gate);
    thing->pool = sp_thread_pool(.max_workers = 1);
    thing->future = sp_submit(thing->pool, pass_gate, thing);
}

static sp_status block_result(struct thing *thing, double timeout)
{
    int answer = 0;
    sp_status status = sp_result(thing->future, &answer, timeout);
    stress_expect((answer == 42) == (status == SP_OK));
    return status;
}

static sp_status block_future(struct thing *thing, double timeout)
{
    return in_time(sp_future_wait(thing->future, timeout));
}

static sp_status block_wait(struct thing *thing, double timeout)
{
    return sp_wait(&thing->future, 1, SP_FIRST_COMPLETED, timeout);
}

static sp_status block_next(struct thing *thing, double timeout)
{
    sp_completion *set = sp_as_completed(&thing->future, 1, timeout);
    sp_future *next = sp_next(set);
    sp_status status = next == NULL ? sp_completion_status(set) : next == thing->future ? SP_OK : SP_RUNTIME_ERROR;
    sp_completion_release(set);
    return status;
}

static sp_status block_idle(struct thing *thing, double timeout)
{
    return in_time(sp_executor_wait_idle(thing->pool, timeout));
}

static sp_status block_shutdown(struct thing *thing, double timeout)
{
    (void)timeout;
    return sp_shutdown(thing->pool);
}

static sp_status block_sleep(struct thing *thing, double timeout)
{
    (void)thing;
    sp_sleep(timeout);
    return SP_TIMEOUT;
}

static const struct call calls[] = {
    { "sp_lock_acquire_timeout", hold_lock, block_lock, release_lock, false, false },
    { "sp_lock_acquire", hold_lock, block_lock_untimed, release_lock, true, false },
    { "sp_rlock_acquire_timeout", hold_rlock, block_rlock, release_rlock, false, false },
    { "sp_condition_wait", nothing, block_condition, notify_condition, false, false },
    { "sp_semaphore_acquire_timeout", nothing, block_semaphore, release_semaphore, false, false },
    { "sp_event_wait", nothing, block_event, set_event, false, false },
    { "sp_barrier_wait", nothing, block_barrier, complete_barrier, false, false },
    { "sp_put", fill_queue, block_put, empty_queue, false, false },
    { "sp_get", nothing, block_get, fill_queue, false, false },
    { "sp_queue_join", fill_queue, block_join_queue, empty_queue, false, false },
    { "sp_join", start_thread, block_join, open_gate, false, false },
    { "sp_result", start_task, block_result, open_gate, false, false },
    { "sp_future_wait", start_task, block_future, open_gate, false, false },
    { "sp_wait", start_task, block_wait, open_gate, false, false },
    { "sp_next", start_task, block_next, open_gate, false, false },
    { "sp_executor_wait_idle", start_task, block_idle, open_gate, false, false },
    { "sp_shutdown", start_task, block_shutdown, open_gate, true, false },
    { "sp_sleep", nothing, block_sleep, nothing, false, true },
};
enum { CALLS = sizeof calls / sizeof calls[0] };

#endif
