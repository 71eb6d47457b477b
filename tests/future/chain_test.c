/* Chains that users build: the end of one object ends the next, many thousand times.

   On a thread of 64 KiB, or the least that the processor allows, so that a chain which uses stack for each link does not pass by luck.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "base/nested.h"
#include "thread/thread.h"

enum { DEEPER = 3 * (int)SP__MOST_NESTED };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N = 20000, STACK = 1024 * 1024 }; /* frames are larger; N links would still not fit */
#else
enum { N = 100000, STACK = 64 * 1024 };
#endif

static int number(int x)
{
    return x;
}
SP_FUNCTION(number, int, int);

static void *call_test(void *body)
{
    void (*test)(void);
    memcpy(&test, &body, sizeof test);
    test();
    return NULL;
}

static void on_a_small_stack(void (*test)(void))
{
    void *body;
    memcpy(&body, &test, sizeof body);
    test_run_on_stack(STACK, call_test, body);
}

static sp_future *fresh(int arg)
{
    return sp_future_new(&number_sp_task, &arg);
}

static void end_with(sp_future *future, int value)
{
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_OK);
}

static sp_future *links[N];
static int called;

static void make_links(void)
{
    called = 0;
    for (int i = 0; i < N; i++)
        links[i] = fresh(i);
}

/* ---- callbacks ---- */

/* The callback of link i ends link i + 1, each time in another way. */
static void end_next(sp_future *future, void *context)
{
    sp_future *next = context;
    called++;
    assert_true(sp_future_done(future));
    (void)sp_future_error(future);
    sp_error error = { .status = SP_VALUE_ERROR };
    if (called % 3 == 0)
        end_with(next, called);
    else if (called % 3 == 1)
        assert_true(sp_future_cancel(next));
    else
        assert_int_equal(sp_future_set_error(next, &error), SP_OK);
    sp_future_release(future); /* the last one */
}

static void callbacks_that_end_the_next(void)
{
    make_links();
    for (int i = 0; i + 1 < N; i++)
        sp_future_add_done_callback(links[i], end_next, links[i + 1]);
    end_with(links[0], 0);
    assert_int_equal(called, N - 1);
    assert_true(sp_future_done(links[N - 1]));
    sp_future_release(links[N - 1]);
}

static sp_event never;

static void end_next_and_wait(sp_future *future, void *context)
{
    end_next(future, context);
    assert_false(sp_event_wait(&never, 1e-9));
}

/* A wait makes first what was put off, which waits in turn. */
static void callbacks_that_end_the_next_and_wait(void)
{
    enum { FEWER = N / 10 }; /* each sleeps */
    make_links();
    for (int i = 0; i + 1 < FEWER; i++)
        sp_future_add_done_callback(links[i], end_next_and_wait, links[i + 1]);
    end_with(links[0], 0);
    assert_int_equal(called, FEWER - 1);
    assert_true(sp_future_done(links[FEWER - 1]));
    sp_release_all(&links[FEWER - 1], N - (FEWER - 1));
}

static void add_to_next(sp_future *future, void *context)
{
    int index = sp_future_arg(future) != NULL ? *(const int *)sp_future_arg(future) : -1;
    (void)context;
    assert_int_equal(index, called);
    called++;
    if (index + 1 < N)
        sp_future_add_done_callback(links[index + 1], add_to_next, NULL);
    sp_future_release(future);
}

static void callbacks_added_to_what_is_done(void)
{
    make_links();
    for (int i = 0; i < N; i++)
        end_with(links[i], i);
    sp_future_add_done_callback(links[0], add_to_next, NULL);
    assert_int_equal(called, N);
}

/* ---- arguments and results ---- */

struct owner {
    sp_future *previous;
};

static int dropped;

static void drop_owner(void *arg)
{
    dropped++;
    sp_future_release(((struct owner *)arg)->previous);
}

static sp_status hand_on(const struct owner *in, struct owner *out)
{
    (void)in;
    out->previous = NULL;
    return SP_OK;
}
SP_TASK_OWNING(hand_on, struct owner, struct owner, drop_owner, drop_owner);

static void arguments_that_own_the_one_before(void)
{
    sp_future *last = NULL;
    dropped = 0;
    for (int i = 0; i < N; i++) {
        struct owner arg = { last };
        last = sp_future_new(&hand_on_sp_task, &arg);
        if (i % 2 == 0)
            assert_true(sp_future_cancel(last));
    }
    sp_future_release(last);
    assert_int_equal(dropped, 2 * N);
}

static void results_that_own_the_one_before(void)
{
    sp_future *last = NULL;
    dropped = 0;
    for (int i = 0; i < N; i++) {
        struct owner none = { NULL }, result = { last };
        last = sp_future_new(&hand_on_sp_task, &none);
        assert_int_equal(sp_future_set_result(last, &result, sizeof result), SP_OK);
    }
    sp_future_release(last);
    assert_int_equal(dropped, 2 * N);
}

/* ---- one kind after the other ---- */

struct both {
    sp_future *next; /* is ended by the drop */
};

static void end_in_drop(void *arg)
{
    sp_future *next = ((struct both *)arg)->next;
    dropped++;
    if (next != NULL)
        assert_true(sp_future_cancel(next));
}

static sp_status nothing(const struct both *in, sp_none *out)
{
    (void)in;
    (void)out;
    return SP_OK;
}
SP_TASK_OWNING(nothing, struct both, sp_none, end_in_drop, NULL);

static void release_itself(sp_future *future, void *context)
{
    (void)context;
    called++;
    sp_future_release(future);
}

/* Callback, last release, drop, end of the next, its callback ... */
static void drops_and_callbacks_in_turn(void)
{
    sp_future *next = NULL;
    called = dropped = 0;
    for (int i = 0; i < N; i++) {
        struct both arg = { next };
        next = sp_future_new(&nothing_sp_task, &arg);
        sp_future_add_done_callback(next, release_itself, NULL);
    }
    assert_true(sp_future_cancel(next));
    assert_int_equal(called, N);
    assert_int_equal(dropped, N);
}

static sp_executor *executor;

static void submit_next(sp_future *future, void *context)
{
    (void)context;
    if (++called < N)
        sp_future_add_done_callback(sp_submit(executor, number, called), submit_next, NULL);
    sp_future_release(future);
}

/* Nobody but the callbacks has a handle. */
static void callbacks_that_submit_to_an_inline_pool(void)
{
    called = 0;
    executor = sp_inline_pool();
    sp_future_add_done_callback(sp_submit(executor, number, 0), submit_next, NULL);
    assert_int_equal(called, N);
    sp_executor_release(executor);
}

static void count_error(const sp_error *error, void *context)
{
    (void)error;
    (void)context;
    dropped++;
}

static void callbacks_that_submit_to_a_closed_pool(void)
{
    called = dropped = 0;
    executor = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_shutdown(executor), SP_OK);
    sp_set_unseen_error_hook(count_error, NULL);
    sp_future_add_done_callback(sp_submit(executor, number, 0), submit_next, NULL);
    sp_set_unseen_error_hook(NULL, NULL);
    assert_int_equal(called, N);
    assert_int_equal(dropped, N);
    sp_executor_release(executor);
}

typedef sp_thread *thread_handle;

static void drop_thread(void *arg)
{
    dropped++;
    sp_thread_release(*(thread_handle *)arg);
}

static sp_status begin(sp_thread *const *in, sp_none *out)
{
    (void)in;
    (void)out;
    return SP_OK;
}
SP_TASK_OWNING(begin, thread_handle, sp_none, drop_thread, NULL);

static void threads_whose_arguments_own_the_one_before(void)
{
    enum { THREADS = 3000 };
    sp_thread *last = NULL;
    dropped = 0;
    for (int i = 0; i < THREADS; i++) {
        last = sp_start(begin, last);
        assert_int_equal(sp_join(last, NULL, SP_FOREVER), SP_OK);
    }
    sp_thread_release(last);
    assert_int_equal(dropped, THREADS);
}

/* ---- what is promised of it ---- */

static char order[256];

static void note(sp_future *future, void *context)
{
    (void)future;
    strcat(order, context);
}

static void note_and_end(sp_future *future, void *context)
{
    strcat(order, "(");
    end_next(sp_future_retain(future), context);
    strcat(order, ")");
}

/* What a call ends is told before the call returns, also in a callback. */
static void a_nested_end_is_told_before_its_call_returns(void **state)
{
    (void)state;
    static char a[] = "a", b[] = "b", c[] = "c";
    called = 2; /* so that end_next sets a result, cancels, sets an error */
    order[0] = '\0';
    sp_future *futures[3] = { fresh(0), fresh(1), fresh(2) };
    for (int i = 0; i < 2; i++) {
        sp_future_add_done_callback(futures[i], note, a);
        sp_future_add_done_callback(futures[i], note_and_end, futures[i + 1]);
        sp_future_add_done_callback(futures[i], note, b);
    }
    sp_future_add_done_callback(futures[2], note, c);
    end_with(futures[0], 0);
    assert_string_equal(order, "a(a(c)b)b");
    sp_release_all(futures, 3);
}

static int numbers[2 * DEEPER], count;

static void note_number(sp_future *future, void *context)
{
    numbers[count++] = 2 * *(const int *)sp_future_arg(future) + (context != NULL);
}

static void end_following(sp_future *future, void *context)
{
    end_with(context, 0);
    note_number(future, NULL);
}

/* However deep: the callbacks of one future are called in the order of registration, all before the outermost call
   returns, and a callback that comes late comes after them. */
static void callbacks_of_a_future_keep_their_order_at_every_depth(void **state)
{
    (void)state;
    sp_future *futures[DEEPER];
    count = 0;
    for (int i = 0; i < DEEPER; i++)
        futures[i] = fresh(i);
    for (int i = 0; i < DEEPER; i++) {
        sp_future_add_done_callback(futures[i], i + 1 < DEEPER ? end_following : note_number,
                                    i + 1 < DEEPER ? futures[i + 1] : NULL);
        sp_future_add_done_callback(futures[i], note_number, futures[i]);
    }
    end_with(futures[0], 0);
    assert_int_equal(count, 2 * DEEPER);
    int at[2 * DEEPER];
    for (int i = 0; i < count; i++)
        at[numbers[i]] = i;
    for (int i = 0; i < DEEPER; i++)
        assert_true(at[2 * i] < at[2 * i + 1]);
    sp_release_all(futures, DEEPER);
}

static void add_late(sp_future *future, void *context)
{
    sp_future *next = context;
    if (next != NULL) {
        end_with(next, 0);
        sp_future_add_done_callback(next, note_number, next);
    }
    note_number(future, NULL);
}

static void a_late_callback_comes_after_those_that_were_put_off(void **state)
{
    (void)state;
    sp_future *futures[DEEPER];
    count = 0;
    for (int i = 0; i < DEEPER; i++)
        futures[i] = fresh(i);
    for (int i = 0; i < DEEPER; i++)
        sp_future_add_done_callback(futures[i], add_late, i + 1 < DEEPER ? futures[i + 1] : NULL);
    end_with(futures[0], 0);
    assert_int_equal(count, 2 * DEEPER - 1);
    int at[2 * DEEPER];
    for (int i = 0; i < count; i++)
        at[numbers[i]] = i;
    for (int i = 1; i < DEEPER; i++)
        assert_true(at[2 * i] < at[2 * i + 1]);
    sp_release_all(futures, DEEPER);
}

struct waiting {
    sp_future *next, *wanted;
    int depth, how;
    sp_event set;
    sp_thread *thread; /* ends when it is set */
};
enum { HOWS = 7 };
typedef struct waiting *waiting_handle;

static void set_wanted(sp_future *future, void *context)
{
    struct waiting *waiting = context;
    (void)future;
    end_with(waiting->wanted, 7);
    sp_event_set(&waiting->set);
}

static sp_status wait_in_thread(const waiting_handle *in, sp_none *out)
{
    (void)out;
    return sp_event_wait(&(*in)->set, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_in_thread, waiting_handle, sp_none);

/* Ends the next one, whose callback ends `wanted`, and waits for that. */
static void wait_in_callback(sp_future *future, void *context)
{
    struct waiting *waiting = context;
    sp_future *wanted = waiting->wanted;
    (void)future;
    end_with(waiting->next, 0);
    if (waiting->how == 0) {
        assert_int_equal(sp_result(wanted, NULL, SP_FOREVER), SP_OK);
    } else if (waiting->how == 1) {
        assert_int_equal(sp_wait(&wanted, 1, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    } else if (waiting->how == 2) {
        sp_auto(sp_completion) set = sp_as_completed(&wanted, 1, SP_FOREVER);
        assert_ptr_equal(sp_next(set), wanted);
    } else if (waiting->how == 3) {
        assert_true(sp_future_wait(wanted, SP_FOREVER));
    } else if (waiting->how == 4) {
        assert_true(sp_event_wait(&waiting->set, SP_FOREVER));
    } else if (waiting->how == 5) {
        assert_int_equal(sp_join(waiting->thread, NULL, SP_FOREVER), SP_OK);
    } else {
        while (!sp_event_is_set(&waiting->set))
            sp_sleep(1e-6);
    }
    called++;
}

static void end_at_depth(sp_future *future, void *context)
{
    struct waiting *waiting = context;
    (void)future;
    if (waiting->depth-- == 0) {
        wait_in_callback(future, context);
        return;
    }
    sp_auto(sp_future) inner = fresh(0);
    sp_future_add_done_callback(inner, end_at_depth, waiting);
    end_with(inner, 0);
}

/* A callback that waits, whatever it is in, for what another callback does that was put off in its favour. */
static void a_wait_in_a_callback_is_not_for_what_was_put_off(void **state)
{
    (void)state;
    called = 0;
    for (int how = 0; how < HOWS; how++)
        for (int depth = 0; depth < DEEPER; depth++) {
            struct waiting waiting = { .next = fresh(0), .wanted = fresh(0), .depth = depth, .how = how };
            waiting.thread = sp_start(wait_in_thread, &waiting);
            sp_auto(sp_future) first = fresh(0);
            sp_future_add_done_callback(waiting.next, set_wanted, &waiting);
            sp_future_add_done_callback(first, end_at_depth, &waiting);
            end_with(first, 0);
            sp_future_release(waiting.next);
            sp_future_release(waiting.wanted);
            assert_int_equal(sp_join(waiting.thread, NULL, SP_FOREVER), SP_OK);
            sp_thread_release(waiting.thread);
        }
    assert_int_equal(called, HOWS * DEEPER);
}

/* ---- what is put off may wait for others who sleep for the same ---- */

static sp_lock wanted_by_both;
static sp_event is_held, is_inside, other_has_it;
static sp_thread *other; /* set before is_inside */

static sp_status take_and_say(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&wanted_by_both);
    sp_event_set(&other_has_it);
    sp_lock_release(&wanted_by_both);
    return SP_OK;
}
SP_TASK(take_and_say, sp_none, sp_none);

static sp_status hold_until_both_sleep(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&wanted_by_both);
    sp_event_set(&is_held);
    sp_event_wait(&is_inside, SP_FOREVER);
    test_await(sp__load_relaxed(&other->own.sleeps) % 2 == 1);
    sp_lock_release(&wanted_by_both);
    return SP_OK;
}
SP_TASK(hold_until_both_sleep, sp_none, sp_none);

/* It is put off, and made when its thread is about to sleep for the lock. */
static void wait_for_other(sp_future *future, void *context)
{
    (void)future, (void)context;
    other = sp_start(take_and_say);
    sp_event_set(&is_inside);
    assert_true(sp_event_wait(&other_has_it, SP_FOREVER));
}

static void lock_at_depth(sp_future *future, void *context)
{
    int *depth = context;
    (void)future;
    sp_auto(sp_future) inner = fresh(0);
    bool deep = --*depth == 0;
    sp_future_add_done_callback(inner, deep ? wait_for_other : lock_at_depth, depth);
    end_with(inner, 0);
    if (!deep)
        return;
    sp_lock_acquire(&wanted_by_both);
    sp_lock_release(&wanted_by_both);
    called++;
}

/* The release of the lock wakes one: not a thread that is in the middle of a callback. */
static void a_wake_up_is_not_for_one_who_makes_what_was_put_off(void **state)
{
    (void)state;
    called = 0;
    sp_auto(sp_thread) holder = sp_start(hold_until_both_sleep);
    sp_event_wait(&is_held, SP_FOREVER);
    int depth = (int)SP__MOST_NESTED;
    sp_auto(sp_future) first = fresh(0);
    sp_future_add_done_callback(first, lock_at_depth, &depth);
    end_with(first, 0);
    assert_int_equal(called, 1);
    assert_int_equal(sp_join(holder, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(other, NULL, SP_FOREVER), SP_OK);
    sp_thread_release(other);
}

#define ON_A_SMALL_STACK(name)                                                                                         \
    static void name##_on_a_small_stack(void **state)                                                                  \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        on_a_small_stack(name);                                                                                        \
    }
ON_A_SMALL_STACK(callbacks_that_end_the_next)
ON_A_SMALL_STACK(callbacks_that_end_the_next_and_wait)
ON_A_SMALL_STACK(callbacks_added_to_what_is_done)
ON_A_SMALL_STACK(arguments_that_own_the_one_before)
ON_A_SMALL_STACK(results_that_own_the_one_before)
ON_A_SMALL_STACK(drops_and_callbacks_in_turn)
ON_A_SMALL_STACK(threads_whose_arguments_own_the_one_before)
ON_A_SMALL_STACK(callbacks_that_submit_to_an_inline_pool)
ON_A_SMALL_STACK(callbacks_that_submit_to_a_closed_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_that_end_the_next_on_a_small_stack),
        cmocka_unit_test(callbacks_that_end_the_next_and_wait_on_a_small_stack),
        cmocka_unit_test(callbacks_added_to_what_is_done_on_a_small_stack),
        cmocka_unit_test(arguments_that_own_the_one_before_on_a_small_stack),
        cmocka_unit_test(results_that_own_the_one_before_on_a_small_stack),
        cmocka_unit_test(drops_and_callbacks_in_turn_on_a_small_stack),
        cmocka_unit_test(threads_whose_arguments_own_the_one_before_on_a_small_stack),
        cmocka_unit_test(callbacks_that_submit_to_an_inline_pool_on_a_small_stack),
        cmocka_unit_test(callbacks_that_submit_to_a_closed_pool_on_a_small_stack),
        cmocka_unit_test(a_nested_end_is_told_before_its_call_returns),
        cmocka_unit_test(callbacks_of_a_future_keep_their_order_at_every_depth),
        cmocka_unit_test(a_late_callback_comes_after_those_that_were_put_off),
        cmocka_unit_test(a_wait_in_a_callback_is_not_for_what_was_put_off),
        cmocka_unit_test(a_wake_up_is_not_for_one_who_makes_what_was_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
