/* sp_condition behaves like threading.Condition, but that the lock is given to wait.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/bunch.h"

enum { WAITERS = 5, PHASES = 4 };

/* Guarded by the lock, but for the locks themselves. */
struct room {
    sp_lock lock;
    sp_rlock rlock;
    bool reentrant; /* set once: which of the two locks is used */
    sp_condition condition;
    double timeout; /* set once */
    int phase, ready;
    int first[PHASES], second[PHASES]; /* waits that ended in each phase: the first of a thread, its second */
    int untrue, late;
};

static void enter(struct room *room)
{
    if (!room->reentrant) {
        sp_lock_acquire(&room->lock);
        return;
    }
    sp_rlock_acquire(&room->rlock);
    sp_rlock_acquire(&room->rlock);
}

static void leave(struct room *room)
{
    if (!room->reentrant) {
        sp_lock_release(&room->lock);
        return;
    }
    sp_rlock_release(&room->rlock);
    sp_rlock_release(&room->rlock);
}

static bool wait_inside(struct room *room, double timeout)
{
    return room->reentrant ? sp_condition_wait_rlock(&room->condition, &room->rlock, timeout)
                           : sp_condition_wait(&room->condition, &room->lock, timeout);
}

static int read_inside(struct room *room, const int *value)
{
    enter(room);
    int copy = *value;
    leave(room);
    return copy;
}

static int sum_inside(struct room *room, const int counts[PHASES])
{
    int sum = 0;
    enter(room);
    for (int i = 0; i < PHASES; i++)
        sum += counts[i];
    leave(room);
    return sum;
}

static void wait_and_note(struct room *room, int counts[PHASES])
{
    enter(room);
    room->ready++;
    bool notified = wait_inside(room, SP_FOREVER);
    room->untrue += !notified;
    counts[room->phase]++;
    leave(room);
}

static void wait_twice(void *context)
{
    struct room *room = context;
    wait_and_note(room, room->first);
    wait_and_note(room, room->second);
}

/* Open a new phase and notify n in it, 0 for all.  Whoever has said "ready" waits: both happen under the lock. */
static void notify_in_phase(struct room *room, int phase, unsigned n)
{
    enter(room);
    room->ready = 0;
    if (n > 0)
        sp_condition_notify(&room->condition, n);
    else
        sp_condition_notify_all(&room->condition);
    room->phase = phase;
    leave(room);
}

static void check_notify(struct room *room)
{
    struct bunch bunch;
    bunch_start(&bunch, WAITERS, wait_twice, room);
    test_await(read_inside(room, &room->ready) == WAITERS);
    notify_in_phase(room, 1, 3);
    test_await(read_inside(room, &room->ready) == 3); /* the three wait a second time */
    assert_int_equal(sum_inside(room, room->first), 3);
    assert_int_equal(sum_inside(room, room->second), 0);
    notify_in_phase(room, 2, 5);
    test_await(read_inside(room, &room->ready) == 2);
    test_await(sum_inside(room, room->second) == 3);
    notify_in_phase(room, 3, 0);
    bunch_join(&bunch);
    const int first[PHASES] = { 0, 3, 2, 0 }, second[PHASES] = { 0, 0, 3, 2 };
    assert_memory_equal(room->first, first, sizeof first);
    assert_memory_equal(room->second, second, sizeof second);
    assert_int_equal(room->untrue, 0);
}

static void notify_wakes_as_many_as_it_says_twice(void **state)
{
    (void)state;
    for (int reentrant = 0; reentrant <= 1; reentrant++) {
        struct room room = { .reentrant = reentrant != 0 };
        for (int i = 0; i < 2; i++) {
            room.phase = room.ready = 0;
            memset(room.first, 0, sizeof room.first);
            memset(room.second, 0, sizeof room.second);
            check_notify(&room);
        }
    }
}

static void wait_for_nothing(void *context)
{
    struct room *room = context;
    enter(room);
    double begin = sp_monotonic();
    room->untrue += !wait_inside(room, room->timeout);
    room->late += sp_monotonic() - begin >= room->timeout;
    leave(room);
}

static void the_time_of_each_of_five_waits_is_up(void **state)
{
    (void)state;
    for (int reentrant = 0; reentrant <= 1; reentrant++) {
        struct room room = { .reentrant = reentrant != 0, .timeout = 0.05 };
        bunch_of(WAITERS, wait_for_nothing, &room);
        assert_int_equal(room.untrue, WAITERS);
        assert_int_equal(room.late, WAITERS);
    }
}

/* ---- wait_for ---- */

struct goal {
    sp_lock lock;
    sp_condition condition;
    double timeout;
    int state, asked;   /* guarded by lock */
    bool reached, over; /* guarded by lock */
    double seconds;
};

static bool is_4(void *context)
{
    struct goal *goal = context;
    goal->asked++;
    return goal->state == 4;
}

static void wait_for_4(void *context)
{
    struct goal *goal = context;
    sp_lock_acquire(&goal->lock);
    double begin = sp_monotonic();
    goal->reached = sp_condition_wait_for(&goal->condition, &goal->lock, is_4, goal, goal->timeout);
    goal->seconds = sp_monotonic() - begin;
    goal->over = true;
    sp_lock_release(&goal->lock);
}

static bool has_asked(struct goal *goal, int times)
{
    SP_HOLD(&goal->lock);
    return goal->asked >= times || goal->over;
}

/* Each step is seen before the next is made: the waiter asks again after every notification. */
static void make_steps(struct goal *goal, int n)
{
    test_await(has_asked(goal, 1));
    for (int i = 1; i <= n; i++) {
        sp_lock_acquire(&goal->lock);
        goal->state++;
        sp_condition_notify(&goal->condition, 1);
        sp_lock_release(&goal->lock);
        test_await(has_asked(goal, i + 1));
    }
}

static void wait_for_asks_after_each_notification(void **state)
{
    (void)state;
    struct goal goal = { .timeout = SP_FOREVER };
    struct bunch bunch;
    bunch_start(&bunch, 1, wait_for_4, &goal);
    make_steps(&goal, 4);
    bunch_join(&bunch);
    assert_true(goal.reached);
    assert_int_equal(goal.asked, 5);
}

static void wait_for_is_false_in_spite_of_notifications(void **state)
{
    (void)state;
    struct goal goal = { .timeout = 0.3 };
    struct bunch bunch;
    bunch_start(&bunch, 1, wait_for_4, &goal);
    make_steps(&goal, 3); /* never 4 */
    bunch_join(&bunch);
    assert_false(goal.reached);
    assert_true(goal.seconds >= 0.3);
}

/* ---- two conditions of one lock ---- */

struct two {
    sp_lock lock;
    sp_condition a, b;
    int ready, woken_a, woken_b; /* guarded by lock */
};

static void wait_a(void *context)
{
    struct two *two = context;
    SP_HOLD(&two->lock);
    two->ready++;
    two->woken_a += sp_condition_wait(&two->a, &two->lock, SP_FOREVER);
}

static void wait_b(void *context)
{
    struct two *two = context;
    SP_HOLD(&two->lock);
    two->ready++;
    two->woken_b += sp_condition_wait(&two->b, &two->lock, SP_FOREVER);
}

static int two_read(struct two *two, const int *value)
{
    SP_HOLD(&two->lock);
    return *value;
}

static void conditions_of_one_lock_are_told_apart(void **state)
{
    (void)state;
    struct two two = { .ready = 0 };
    struct bunch a, b;
    bunch_start(&a, 1, wait_a, &two);
    bunch_start(&b, 1, wait_b, &two);
    test_await(two_read(&two, &two.ready) == 2);
    SP_WITH(&two.lock)
    {
        sp_condition_notify_all(&two.b);
    }
    bunch_join(&b);
    assert_int_equal(two_read(&two, &two.woken_a), 0);
    assert_int_equal(two_read(&two, &two.woken_b), 1);
    sp_condition_notify(&two.a, 1);
    bunch_join(&a);
    assert_int_equal(two.woken_a, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notify_wakes_as_many_as_it_says_twice),
        cmocka_unit_test(the_time_of_each_of_five_waits_is_up),
        cmocka_unit_test(wait_for_asks_after_each_notification),
        cmocka_unit_test(wait_for_is_false_in_spite_of_notifications),
        cmocka_unit_test(conditions_of_one_lock_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
