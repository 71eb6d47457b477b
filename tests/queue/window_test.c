/* Windows of a queue, held open: between claim and copy, between the change and the wake, at the end of the time.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "park/park.h"
#include "queue/queue.h"

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

enum { CHAIN, RING, HEAP, KINDS };

static sp_queue *make(int kind)
{
    if (kind == CHAIN)
        return sp_queue_of(int);
    if (kind == RING)
        return sp_queue_of(int, .maxsize = 2);
    return sp_queue_of(int, .order = SP_PRIORITY, .compare = by_value);
}

struct call {
    sp_queue *queue;
    double timeout;
    sp_status status;
    int item;
};

static void put(void *context)
{
    struct call *call = context;
    call->status = sp_put(call->queue, &call->item, call->timeout);
}

static void get(void *context)
{
    struct call *call = context;
    call->status = sp_get(call->queue, &call->item, call->timeout);
}

static struct call call_of(sp_queue *queue, double timeout, int item)
{
    return (struct call){ queue, timeout, SP_SHUT_DOWN, item };
}

static void put_now(sp_queue *queue, int item)
{
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
}

static int get_now(sp_queue *queue)
{
    int item = -1;
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
    return item;
}

/* ---- between claim and copy ---- */

/* A getter has come so far as it can while the only item is claimed and not there: it has met that, or sleeps. */
static bool waits_for_copy(sp_queue *queue, const struct pause *busy)
{
    bool has_claimed = queue->kind == SP__CHAIN_STORE && sp__load_acquire(&queue->store.chain.head.position) == 1;
    return has_claimed || (busy != NULL && pause_is_reached(busy)) || sp__park_maybe_waiters(&queue->getters);
}

static void get_before_copy(int kind, const char *site, double timeout)
{
    sp_queue *queue = make(kind);
    struct call putting = call_of(queue, SP_FOREVER, 7), getting = call_of(queue, timeout, 0);
    one putter, getter;
    struct pause *window = pause_at(site), *busy = kind == RING ? pause_at("queue: busy") : NULL;
    one_start(&putter, put, &putting);
    pause_await(window);
    one_start(&getter, get, &getting);
    test_await(waits_for_copy(queue, busy));
    assert_int_equal(bunch_finished(&getter), 0);
    pause_end(window);
    if (busy != NULL)
        pause_end(busy);
    one_end(&putter);
    one_end(&getter);
    assert_int_equal(putting.status, SP_OK);
    assert_int_equal(getting.status, SP_OK);
    assert_int_equal(getting.item, 7);
    sp_queue_release(queue);
}

/* It is neither there nor not there: nobody is told that the queue is empty, and nobody sleeps. */
static void an_item_that_was_claimed_and_not_copied_is_waited_for(void **state)
{
    (void)state;
    get_before_copy(RING, "ring: put claimed", SP_FOREVER);
    get_before_copy(RING, "ring: put claimed", SP_NOWAIT);
    get_before_copy(RING, "ring: put looked", SP_FOREVER);
    get_before_copy(CHAIN, "chain: put claimed", SP_FOREVER);
    get_before_copy(CHAIN, "chain: put claimed", SP_NOWAIT);
    get_before_copy(CHAIN, "chain: put looked", SP_FOREVER);
}

/* The same for the place of an item that leaves. */
static void put_before_copy(const char *site, double timeout)
{
    sp_queue *queue = sp_queue_of(int, .maxsize = 1);
    struct call getting = call_of(queue, SP_FOREVER, 0), putting = call_of(queue, timeout, 8);
    one getter, putter;
    put_now(queue, 7);
    struct pause *window = pause_at(site), *busy = pause_at("queue: busy");
    one_start(&getter, get, &getting);
    pause_await(window);
    one_start(&putter, put, &putting);
    test_await(pause_is_reached(busy) || sp__park_maybe_waiters(&queue->putters));
    assert_int_equal(bunch_finished(&putter), 0);
    pause_end(window);
    pause_end(busy);
    one_end(&getter);
    one_end(&putter);
    assert_int_equal(getting.status, SP_OK);
    assert_int_equal(getting.item, 7);
    assert_int_equal(putting.status, SP_OK);
    assert_int_equal(get_now(queue), 8);
    sp_queue_release(queue);
}

static void a_place_that_was_claimed_and_not_copied_is_waited_for(void **state)
{
    (void)state;
    put_before_copy("ring: get claimed", SP_FOREVER);
    put_before_copy("ring: get claimed", SP_NOWAIT);
    put_before_copy("ring: get looked", SP_FOREVER);
}

static uint32_t dropped; /* atomic */

static void drop(void *item)
{
    (void)item;
    sp__add_seq_cst(&dropped, 1);
}

static void shut_down_now(void *queue)
{
    sp_queue_shutdown(queue, true);
}

/* An immediate shutdown waits for the copy: each item that was put is dropped. */
static void drop_before_copy(sp_queue *queue, const char *site)
{
    struct call putting = call_of(queue, SP_FOREVER, 7);
    one putter, ender;
    sp__store_release(&dropped, 0);
    struct pause *window = pause_at(site), *drops = pause_at("store: to be dropped");
    one_start(&putter, put, &putting);
    pause_await(window);
    one_start(&ender, shut_down_now, queue);
    pause_end(drops);
    bunch_await_sleep(&ender);
    assert_int_equal(bunch_finished(&ender), 0);
    pause_end(window);
    one_end(&putter);
    one_end(&ender);
    assert_int_equal(putting.status, SP_OK);
    assert_int_equal(sp__load_acquire(&dropped), 1);
    assert_true(sp_queue_join(queue, SP_NOWAIT));
    sp_queue_release(queue);
    assert_int_equal(sp__load_acquire(&dropped), 1);
}

static void an_item_that_was_claimed_before_an_immediate_shutdown_is_dropped(void **state)
{
    (void)state;
    drop_before_copy(sp_queue_of(int, .maxsize = 2, .drop = drop), "ring: put claimed");
    drop_before_copy(sp_queue_of(int, .drop = drop), "chain: put claimed");
}

/* ---- after the copy ---- */

/* Whoever has the item releases the last handle.  For the address sanitizer. */
static void release_after(sp_queue *queue, const char *site)
{
    struct call putting = call_of(queue, SP_FOREVER, 7);
    one putter;
    struct pause *window = pause_at(site);
    one_start(&putter, put, &putting);
    pause_await(window);
    assert_int_equal(get_now(queue), 7);
    sp_queue_release(queue);
    pause_end(window);
    one_end(&putter);
    assert_int_equal(putting.status, SP_OK);
}

static void whoever_gets_the_item_may_release_the_queue_before_the_put_returns(void **state)
{
    (void)state;
    release_after(make(RING), "ring: put finished");
    release_after(make(CHAIN), "chain: put finished");
}

static void whoever_gets_the_place_may_release_the_queue_before_the_get_returns(void **state)
{
    (void)state;
    sp_queue *queue = sp_queue_of(int, .maxsize = 1);
    struct call getting = call_of(queue, SP_FOREVER, 0);
    one getter;
    put_now(queue, 7);
    struct pause *window = pause_at("ring: get finished");
    one_start(&getter, get, &getting);
    pause_await(window);
    put_now(queue, 8);
    sp_queue_release(queue);
    pause_end(window);
    one_end(&getter);
    assert_int_equal(getting.item, 7);
}

/* ---- the end of the time ---- */

static void get_with_the_end_of_the_time(int kind, const char *site)
{
    sp_queue *queue = make(kind);
    struct call getting = call_of(queue, 0.001, 0);
    one getter;
    struct pause *window = pause_at(site);
    one_start_into(&getter, get, &getting, window);
    put_now(queue, 7);
    pause_end(window);
    one_end(&getter);
    assert_int_equal(getting.status, SP_OK);
    assert_int_equal(getting.item, 7);
    sp_queue_release(queue);
}

static void an_item_that_comes_with_the_end_of_the_time_is_taken(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        get_with_the_end_of_the_time(kind, "park: gives up");
        get_with_the_end_of_the_time(kind, "queue: out of time");
    }
}

static void put_with_the_end_of_the_time(sp_queue *queue, const char *site)
{
    struct call putting = call_of(queue, 0.001, 8);
    one putter;
    put_now(queue, 7);
    struct pause *window = pause_at(site);
    one_start_into(&putter, put, &putting, window);
    assert_int_equal(get_now(queue), 7);
    pause_end(window);
    one_end(&putter);
    assert_int_equal(putting.status, SP_OK);
    assert_int_equal(get_now(queue), 8);
    sp_queue_release(queue);
}

static void a_place_that_comes_with_the_end_of_the_time_is_taken(void **state)
{
    (void)state;
    put_with_the_end_of_the_time(sp_queue_of(int, .maxsize = 1), "park: gives up");
    put_with_the_end_of_the_time(sp_queue_of(int, .maxsize = 1), "queue: out of time");
    put_with_the_end_of_the_time(sp_queue_of(int, .order = SP_LIFO, .maxsize = 1), "queue: out of time");
}

/* ---- one wake-up for several items ---- */

/* Puts that see one on its way wake nobody: that one wakes the next.  And the mark is gone when it has looked. */
static void one_who_is_woken_wakes_the_next(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sp_queue *queue = make(kind);
        for (int round = 0; round < 2; round++) {
            struct call first = call_of(queue, SP_FOREVER, 0), second = first;
            one getters[2];
            one_start_asleep(&getters[0], get, &first);
            one_start_asleep(&getters[1], get, &second);
            struct pause *window = pause_at("queue: slept");
            put_now(queue, 1);
            pause_await(window);
            put_now(queue, 2);
            pause_end(window);
            one_end(&getters[0]);
            one_end(&getters[1]);
            assert_int_equal(first.item + second.item, 3);
        }
        sp_queue_release(queue);
    }
}

/* It took the item that another was woken for, who has not looked yet: that one looks for the next item, too. */
static void one_whose_time_is_up_leaves_the_mark_of_one_who_was_woken(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sp_queue *queue = make(kind);
        struct call first = call_of(queue, SP_FOREVER, 0), brief = call_of(queue, 0.001, 0), last = first;
        one getters[3];
        one_start_asleep(&getters[0], get, &first);
        struct pause *late = pause_at("park: gives up");
        one_start_into(&getters[1], get, &brief, late);
        one_start_asleep(&getters[2], get, &last);
        struct pause *window = pause_at("queue: slept");
        put_now(queue, 1);
        pause_await(window);
        pause_end(late);
        one_end(&getters[1]);
        assert_int_equal(brief.item, 1);
        put_now(queue, 2);
        assert_int_equal(sp__load_relaxed(&queue->getters.word), SP__WAKING + 1);
        pause_end(window);
        one_end(&getters[0]);
        assert_int_equal(first.item, 2);
        put_now(queue, 3);
        one_end(&getters[2]);
        sp_queue_release(queue);
    }
}

/* ---- many at a time ---- */

enum { BATCH = 4 };
static int batch[BATCH];      /* what was taken so far */
static struct pause *woken;   /* where a putter comes to that is woken */
static bool woke_before_last; /* it was there while items were still taken */

/* Holds up the second of the batch until the putter for which the first made room has been woken. */
static int by_value_when_woken(const void *a, const void *b)
{
    double end = sp_monotonic() + (double)test_patience();
    while (batch[1] != 0 && !woke_before_last && sp_monotonic() < end) {
        woke_before_last = pause_is_reached(woken);
        sched_yield();
    }
    return by_value(a, b);
}

static void who_takes_many_wakes_a_putter_at_the_first(void **state)
{
    (void)state;
    sp_queue *queue = sp_queue_of(int, .order = SP_PRIORITY, .compare = by_value_when_woken, .maxsize = BATCH);
    struct call putting = call_of(queue, SP_FOREVER, BATCH + 1);
    one putter;
    size_t done = 0;
    for (int i = 1; i <= BATCH; i++)
        put_now(queue, i);
    one_start_asleep(&putter, put, &putting);
    woken = pause_at("queue: slept");
    assert_int_equal(sp_queue_get_items(queue, batch, sizeof(int), BATCH, &done, SP_NOWAIT), SP_OK);
    assert_int_equal(done, BATCH);
    assert_true(woke_before_last);
    pause_end(woken);
    one_end(&putter);
    assert_int_equal(get_now(queue), BATCH + 1);
    sp_queue_release(queue);
}

/* ---- shutdown ---- */

static void shut_down(void *queue)
{
    sp_queue_shutdown(queue, false);
}

/* First closed, then woken: who comes in between is told at once. */
static void who_comes_when_a_queue_was_just_closed_does_not_sleep(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sp_queue *queue = make(kind);
        struct call before = call_of(queue, SP_FOREVER, 0), after = before;
        one sleeper, comer, ender;
        before.status = after.status = SP_OK;
        one_start_asleep(&sleeper, get, &before);
        struct pause *window = pause_at("queue: closed");
        one_start(&ender, shut_down, queue);
        pause_await(window);
        one_start(&comer, get, &after);
        one_end(&comer);
        assert_int_equal(after.status, SP_SHUT_DOWN);
        pause_end(window);
        one_end(&ender);
        one_end(&sleeper);
        assert_int_equal(before.status, SP_SHUT_DOWN);
        sp_queue_release(queue);
    }
}

/* For the address sanitizer. */
static void whoever_is_told_of_the_shutdown_may_release_the_queue_before_that_returns(void **state)
{
    (void)state;
    sp_queue *queue = make(RING);
    struct call getting = call_of(queue, SP_FOREVER, 0);
    one ender;
    struct pause *window = pause_at("queue: closed");
    one_start(&ender, shut_down_now, queue);
    pause_await(window);
    get(&getting);
    assert_int_equal(getting.status, SP_SHUT_DOWN);
    sp_queue_release(queue);
    pause_end(window);
    one_end(&ender);
}

/* ---- join ---- */

struct joining {
    sp_queue *queue;
    double timeout;
    bool joined;
};

static void join(void *context)
{
    struct joining *joining = context;
    joining->joined = sp_queue_join(joining->queue, joining->timeout);
}

static void finish_in(const char *site, double timeout)
{
    sp_queue *queue = make(CHAIN);
    struct joining joining = { queue, timeout, false };
    one joiner;
    put_now(queue, 7);
    struct pause *window = pause_at(site);
    one_start_into(&joiner, join, &joining, window);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    pause_end(window);
    one_end(&joiner);
    assert_true(joining.joined);
    sp_queue_release(queue);
}

static void a_joiner_that_is_about_to_sleep_sees_that_all_is_done(void **state)
{
    (void)state;
    finish_in("queue: not all done", SP_FOREVER);
    finish_in("park: linked", SP_FOREVER);
    finish_in("park: asleep", SP_FOREVER);
    finish_in("park: gives up", 0.001);
}

/* An item that comes while one is about to sleep is waited for, too. */
static void a_joiner_that_is_about_to_sleep_sees_that_there_is_more_to_do(void **state)
{
    (void)state;
    sp_queue *queue = make(CHAIN);
    struct joining joining = { queue, SP_FOREVER, false };
    one joiner;
    put_now(queue, 7);
    struct pause *window = pause_at("queue: not all done");
    one_start(&joiner, join, &joining);
    pause_await(window);
    put_now(queue, 8);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    struct pause *linked = pause_at("park: linked");
    pause_end(window);
    pause_end(linked);
    assert_int_equal(bunch_finished(&joiner), 0);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    one_end(&joiner);
    sp_queue_release(queue);
}

static void say_done(void *queue)
{
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
}

/* For the address sanitizer. */
static void whoever_joins_may_release_the_queue_before_the_last_task_done_returns(void **state)
{
    (void)state;
    sp_queue *queue = make(CHAIN);
    one worker;
    put_now(queue, 7);
    struct pause *window = pause_at("queue: all done");
    one_start(&worker, say_done, queue);
    pause_await(window);
    assert_true(sp_queue_join(queue, SP_NOWAIT));
    sp_queue_release(queue);
    pause_end(window);
    one_end(&worker);
}

/* ---- size ---- */

struct sizing {
    sp_queue *queue;
    size_t size;
};

static void take_size(void *context)
{
    struct sizing *sizing = context;
    sizing->size = sp_queue_size(sizing->queue);
}

/* One comes and one goes between the two looks: there never was none, and never were two. */
static void the_size_is_one_that_the_queue_had(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct sizing sizing = { make(kind), 0 };
        one sizer;
        put_now(sizing.queue, 1);
        struct pause *window = pause_at("store: puts read");
        one_start(&sizer, take_size, &sizing);
        pause_await(window);
        put_now(sizing.queue, 2);
        assert_int_equal(get_now(sizing.queue), 1);
        pause_end(window);
        one_end(&sizer);
        assert_int_equal(sizing.size, 1);
        sp_queue_release(sizing.queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_that_was_claimed_and_not_copied_is_waited_for),
        cmocka_unit_test(a_place_that_was_claimed_and_not_copied_is_waited_for),
        cmocka_unit_test(an_item_that_was_claimed_before_an_immediate_shutdown_is_dropped),
        cmocka_unit_test(whoever_gets_the_item_may_release_the_queue_before_the_put_returns),
        cmocka_unit_test(whoever_gets_the_place_may_release_the_queue_before_the_get_returns),
        cmocka_unit_test(an_item_that_comes_with_the_end_of_the_time_is_taken),
        cmocka_unit_test(a_place_that_comes_with_the_end_of_the_time_is_taken),
        cmocka_unit_test(one_who_is_woken_wakes_the_next),
        cmocka_unit_test(one_whose_time_is_up_leaves_the_mark_of_one_who_was_woken),
        cmocka_unit_test(who_takes_many_wakes_a_putter_at_the_first),
        cmocka_unit_test(who_comes_when_a_queue_was_just_closed_does_not_sleep),
        cmocka_unit_test(whoever_is_told_of_the_shutdown_may_release_the_queue_before_that_returns),
        cmocka_unit_test(a_joiner_that_is_about_to_sleep_sees_that_all_is_done),
        cmocka_unit_test(a_joiner_that_is_about_to_sleep_sees_that_there_is_more_to_do),
        cmocka_unit_test(whoever_joins_may_release_the_queue_before_the_last_task_done_returns),
        cmocka_unit_test(the_size_is_one_that_the_queue_had),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
