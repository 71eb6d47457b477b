/* A thread that learns from a lock, an event, ... that another thread's call has done its work frees the object while that
   call is still on its way back.  For the address sanitizer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "park/park.h"

/* One of them is used at a time; the flag is what a condition is for. */
struct object {
    sp_lock lock;
    sp_rlock rlock;
    sp_semaphore semaphore;
    sp_event event;
    sp_condition condition;
    sp_barrier barrier;
    sp_once once;
    bool flag; /* guarded by lock or rlock */
};

static struct {
    struct object *object; /* atomic: handed to the other thread, lent */
    uint32_t scene;        /* atomic */
    uint32_t done;         /* atomic: scenes that the other thread has played */
    bool begun;            /* atomic: the other thread has the lock, or runs the function of the once */
    bool polls; /* set while the other thread has no object: the owner does not sleep, where it can be avoided */
    bool ends;  /* atomic */
} stage;

static bool may_sleep(void)
{
    return !stage.polls;
}

/* When the owner is to sleep, at this address: until it does, or is about to. */
static void await_sleeper(const void *address)
{
    if (may_sleep())
        test_await(sp__park_maybe_waiters(address));
}

static void begin(void)
{
    sp__store_release(&stage.begun, true);
}

static void await_begin(void)
{
    test_await(sp__load_acquire(&stage.begun));
}

/* ---- lock and reentrant lock: the next owner frees it ---- */

static void hold_lock(struct object *object)
{
    sp_lock_acquire(&object->lock);
    begin();
    await_sleeper(&object->lock);
    sp_lock_release(&object->lock);
}

static void acquire(struct object *object)
{
    await_begin();
    while (!sp_lock_acquire_timeout(&object->lock, may_sleep() ? SP_FOREVER : 0))
        sched_yield();
}

static void acquire_in_time(struct object *object)
{
    await_begin();
    while (!sp_lock_acquire_timeout(&object->lock, may_sleep() ? 0.0005 : 0))
        sched_yield();
}

static void hold_rlock(struct object *object)
{
    sp_rlock_acquire(&object->rlock);
    sp_rlock_acquire(&object->rlock);
    begin();
    await_sleeper(&object->rlock);
    sp_rlock_release(&object->rlock);
    sp_rlock_release(&object->rlock);
}

static void acquire_rlock(struct object *object)
{
    await_begin();
    while (!sp_rlock_acquire_timeout(&object->rlock, may_sleep() ? SP_FOREVER : 0))
        sched_yield();
}

/* ---- semaphore: whoever has the permit frees it ---- */

static void make_bounded(struct object *object)
{
    object->semaphore = (sp_semaphore)SP_BOUNDED_SEMAPHORE(1);
    sp_semaphore_acquire(&object->semaphore);
}

static void give_permit(struct object *object)
{
    await_sleeper(&object->semaphore);
    assert_int_equal(sp_semaphore_release(&object->semaphore, 1), SP_OK);
}

static void give_permits(struct object *object) /* one to the sleeper, the other is left in the word */
{
    await_sleeper(&object->semaphore);
    assert_int_equal(sp_semaphore_release(&object->semaphore, 2), SP_OK);
}

static void take_permit(struct object *object)
{
    while (!sp_semaphore_acquire_timeout(&object->semaphore, may_sleep() ? SP_FOREVER : 0))
        sched_yield();
}

static void take_permits(struct object *object)
{
    take_permit(object);
    take_permit(object);
}

/* ---- event: whoever sees it set frees it ---- */

static void set(struct object *object)
{
    await_sleeper(&object->event);
    sp_event_set(&object->event);
}

static void await_set(struct object *object)
{
    while (!sp_event_wait(&object->event, may_sleep() ? SP_FOREVER : 0))
        sched_yield();
}

static void see_set(struct object *object)
{
    if (may_sleep())
        assert_true(sp_event_wait(&object->event, 10));
    while (!sp_event_is_set(&object->event))
        sched_yield();
}

/* ---- condition: a notified waiter frees it, and its lock ---- */

static void notify_with_lock(struct object *object)
{
    await_sleeper(&object->condition);
    sp_lock_acquire(&object->lock);
    object->flag = true;
    sp_condition_notify(&object->condition, 1);
    sp_lock_release(&object->lock);
}

static void notify_all_with_lock(struct object *object)
{
    await_sleeper(&object->condition);
    sp_lock_acquire(&object->lock);
    object->flag = true;
    sp_condition_notify_all(&object->condition);
    sp_lock_release(&object->lock);
}

static void notify_without_lock(struct object *object) /* there must be a waiter, or the notification is lost */
{
    test_await(sp__park_maybe_waiters(&object->condition));
    sp_lock_acquire(&object->lock);
    object->flag = true;
    sp_lock_release(&object->lock);
    sp_condition_notify(&object->condition, 1);
}

static void await_flag(struct object *object)
{
    sp_lock_acquire(&object->lock);
    while (!object->flag)
        if (!sp_condition_wait(&object->condition, &object->lock, may_sleep() ? SP_FOREVER : 0))
            sched_yield();
    sp_lock_release(&object->lock);
}

static void await_notification(struct object *object)
{
    sp_lock_acquire(&object->lock);
    assert_true(sp_condition_wait(&object->condition, &object->lock, SP_FOREVER));
    assert_true(object->flag);
    sp_lock_release(&object->lock);
}

static bool is_set(void *context)
{
    return *(const bool *)context;
}

static void wait_for_flag(struct object *object)
{
    double patience = may_sleep() ? SP_FOREVER : 0;
    sp_lock_acquire(&object->lock);
    while (!sp_condition_wait_for(&object->condition, &object->lock, is_set, &object->flag, patience)) {
        sp_lock_release(&object->lock); /* without patience it was not given up */
        sched_yield();
        sp_lock_acquire(&object->lock);
    }
    sp_lock_release(&object->lock);
}

static void notify_with_rlock(struct object *object)
{
    await_sleeper(&object->condition);
    sp_rlock_acquire(&object->rlock);
    object->flag = true;
    sp_condition_notify(&object->condition, 1);
    sp_rlock_release(&object->rlock);
}

static void await_flag_with_rlock(struct object *object)
{
    sp_rlock_acquire(&object->rlock);
    while (!object->flag)
        if (!sp_condition_wait_rlock(&object->condition, &object->rlock, may_sleep() ? SP_FOREVER : 0))
            sched_yield();
    sp_rlock_release(&object->rlock);
}

/* ---- barrier: any thread that may go on frees it ---- */

static bool act(void *context)
{
    (void)context;
    return true;
}

static void make_barrier_of_2(struct object *object)
{
    object->barrier = (sp_barrier)SP_BARRIER(2);
}

static void make_barrier_with_action(struct object *object)
{
    object->barrier = (sp_barrier)SP_BARRIER_ACTION(2, act, NULL);
}

static void make_barrier_of_3(struct object *object)
{
    object->barrier = (sp_barrier)SP_BARRIER(3);
}

static void arrive(struct object *object) /* the last to come, when the owner may sleep */
{
    await_sleeper(&object->barrier);
    assert_int_equal(sp_barrier_wait(&object->barrier, NULL, SP_FOREVER), SP_OK);
}

static void meet(struct object *object)
{
    if (stage.polls)
        test_await(sp__park_maybe_waiters(&object->barrier)); /* the last to come is the owner */
    assert_int_equal(sp_barrier_wait(&object->barrier, NULL, SP_FOREVER), SP_OK);
}

static void break_barrier(struct object *object)
{
    test_await(sp__park_maybe_waiters(&object->barrier));
    sp_barrier_abort(&object->barrier);
}

static void reset_barrier(struct object *object)
{
    test_await(sp__park_maybe_waiters(&object->barrier));
    sp_barrier_reset(&object->barrier);
}

static void be_late(struct object *object)
{
    test_await(sp__park_maybe_waiters(&object->barrier));
    assert_int_equal(sp_barrier_wait(&object->barrier, NULL, stage.polls ? 0 : 0.0001), SP_TIMEOUT);
}

static void see_it_broken(struct object *object)
{
    assert_int_equal(sp_barrier_wait(&object->barrier, NULL, SP_FOREVER), SP_BROKEN_BARRIER);
}

/* ---- once: whoever finds it done frees it ---- */

static void do_once(void *context)
{
    const struct object *object = context;
    begin();
    await_sleeper(&object->once);
}

static void never(void *context)
{
    (void)context;
    fail();
}

static void call_once(struct object *object)
{
    sp_once_call(&object->once, do_once, object);
}

static void find_it_done(struct object *object)
{
    await_begin();
    sp_once_call(&object->once, never, NULL);
}

/* ---- all ---- */

static const struct {
    void (*make)(struct object *object);  /* more than zero bytes */
    void (*first)(struct object *object); /* by the other thread */
    void (*then)(struct object *object);  /* by the owner, which then frees the object */
} scenes[] = { { NULL, hold_lock, acquire },
               { NULL, hold_lock, acquire_in_time },
               { NULL, hold_rlock, acquire_rlock },
               { NULL, give_permit, take_permit },
               { NULL, give_permits, take_permits },
               { make_bounded, give_permit, take_permit },
               { NULL, set, await_set },
               { NULL, set, see_set },
               { NULL, notify_with_lock, await_flag },
               { NULL, notify_with_lock, wait_for_flag },
               { NULL, notify_all_with_lock, await_flag },
               { NULL, notify_without_lock, await_notification },
               { NULL, notify_with_rlock, await_flag_with_rlock },
               { make_barrier_of_2, arrive, meet },
               { make_barrier_with_action, arrive, meet },
               { make_barrier_of_2, break_barrier, see_it_broken },
               { make_barrier_of_2, reset_barrier, see_it_broken },
               { make_barrier_of_3, be_late, see_it_broken },
               { NULL, call_once, find_it_done } };
enum { SCENES = sizeof scenes / sizeof *scenes };

static void *play_first(void *arg)
{
    (void)arg;
    while (!sp__load_acquire(&stage.ends)) {
        struct object *object = sp__exchange_acq_rel(&stage.object, NULL);
        if (object == NULL) {
            sched_yield();
            continue;
        }
        scenes[sp__load_relaxed(&stage.scene)].first(object);
        sp__add_seq_cst(&stage.done, 1);
    }
    return NULL;
}

/* Without a sanitizer a call that comes late finds garbage. */
static void destroy(struct object *object)
{
    memset(object, 0xA5, sizeof *object);
    free(object);
}

static void play(int scene, bool polls)
{
    struct object *object = calloc(1, sizeof *object);
    assert_non_null(object);
    if (scenes[scene].make != NULL)
        scenes[scene].make(object);
    uint32_t done = sp__load_seq_cst(&stage.done);
    stage.polls = polls;
    sp__store_relaxed(&stage.begun, false);
    sp__store_relaxed(&stage.scene, (uint32_t)scene);
    sp__store_release(&stage.object, object);
    scenes[scene].then(object);
    destroy(object);
    test_await(sp__load_seq_cst(&stage.done) == done + 1);
}

static void whoever_is_let_go_on_may_free_the_object(void **state)
{
    (void)state;
    pthread_t other = test_thread(play_first, NULL);
    for (long round = test_count(100); round > 0; round--)
        for (int scene = 0; scene < SCENES; scene++)
            play(scene, round % 2 == 0);
    sp__store_release(&stage.ends, true);
    test_join(other);
}

/* ---- many leave a barrier, or a condition: each of them may be the one that frees it ---- */

enum { CROWD = 4 };

static struct {
    struct object *object;
    uint32_t arrived, left; /* atomic */
} crowd;

static void *leave_barrier(void *arg)
{
    (void)arg;
    assert_int_equal(sp_barrier_wait(&crowd.object->barrier, NULL, SP_FOREVER), SP_OK);
    if (sp__add_seq_cst(&crowd.left, 1) == 0)
        destroy(crowd.object);
    return NULL;
}

static sp_lock outside; /* the condition goes, its lock stays */

static void *leave_condition(void *arg)
{
    (void)arg;
    sp_lock_acquire(&outside);
    crowd.arrived++;
    assert_true(sp_condition_wait(&crowd.object->condition, &outside, SP_FOREVER));
    if (sp__add_seq_cst(&crowd.left, 1) == 0)
        destroy(crowd.object);
    sp_lock_release(&outside);
    return NULL;
}

static void gather(void *(*body)(void *), pthread_t *threads)
{
    crowd.object = calloc(1, sizeof *crowd.object);
    assert_non_null(crowd.object);
    crowd.object->barrier = (sp_barrier)SP_BARRIER(CROWD);
    crowd.arrived = 0;
    sp__store_relaxed(&crowd.left, 0);
    for (int i = 0; i < CROWD; i++)
        threads[i] = test_thread(body, NULL);
}

static bool all_wait(void)
{
    sp_lock_acquire(&outside);
    bool all = crowd.arrived == CROWD;
    sp_lock_release(&outside);
    return all;
}

static void the_first_of_many_to_leave_may_free_the_object(void **state)
{
    (void)state;
    pthread_t threads[CROWD];
    for (long round = test_count(50); round > 0; round--) {
        gather(leave_barrier, threads);
        for (int i = 0; i < CROWD; i++)
            test_join(threads[i]);
        gather(leave_condition, threads);
        test_await(all_wait());
        if (round % 2 == 0)
            sp_lock_acquire(&outside);
        sp_condition_notify_all(&crowd.object->condition);
        if (round % 2 == 0)
            sp_lock_release(&outside);
        for (int i = 0; i < CROWD; i++)
            test_join(threads[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_let_go_on_may_free_the_object),
        cmocka_unit_test(the_first_of_many_to_leave_may_free_the_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
