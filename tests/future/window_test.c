/* Windows of a future, held open: between the look and the sleep, between the end and telling of it.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "os/fault.h"

static sp_status answer(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(answer, int, int);

static sp_future *fresh(void)
{
    const int arg = 5;
    return sp_future_new(&answer_sp_task, &arg);
}

static void set_now(sp_future *future)
{
    const int value = 7;
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_OK);
}

static void set(void *future)
{
    set_now(future);
}

/* ---- one future is waited for ---- */

struct waiting {
    sp_future *future;
    double timeout;
    sp_status status;
    int value;
};

static void wait_for(void *context)
{
    struct waiting *waiting = context;
    waiting->status = sp_result(waiting->future, &waiting->value, waiting->timeout);
}

static void end_in(const char *site, double timeout, void (*end)(void *future), sp_status expected)
{
    struct waiting waiting = { fresh(), timeout, SP_TIMEOUT, 0 };
    one waiter;
    struct pause *window = pause_at(site);
    one_start(&waiter, wait_for, &waiting);
    pause_await(window);
    end(waiting.future);
    pause_end(window);
    one_end(&waiter);
    assert_int_equal(waiting.status, expected);
    assert_int_equal(waiting.value, expected == SP_OK ? 7 : 0);
    sp_future_release(waiting.future);
}

static void cancel(void *future)
{
    assert_true(sp_future_cancel(future));
}

static void a_future_that_ends_before_the_sleep_is_seen(void **state)
{
    (void)state;
    end_in("future: not done", SP_FOREVER, set, SP_OK);
    end_in("future: not done", SP_FOREVER, cancel, SP_CANCELLED);
    end_in("park: linked", SP_FOREVER, set, SP_OK);
    end_in("park: asleep", SP_FOREVER, cancel, SP_CANCELLED);
}

static void a_future_that_ends_with_the_end_of_the_time_is_seen(void **state)
{
    (void)state;
    end_in("park: gives up", 0.001, set, SP_OK);
    end_in("park: gives up", 0.001, cancel, SP_CANCELLED);
}

/* ---- it has ended, and nobody has been told so far ---- */

/* Who comes then does not wait, and may release the last reference.  For the address sanitizer. */
static void who_comes_when_a_future_has_just_ended_does_not_wait(void **state)
{
    (void)state;
    struct waiting waiting = { fresh(), SP_FOREVER, SP_TIMEOUT, 0 };
    one setter, waiter;
    struct pause *window = pause_at("future: done");
    one_start(&setter, set, waiting.future);
    pause_await(window);
    one_start(&waiter, wait_for, &waiting);
    one_end(&waiter);
    assert_int_equal(waiting.status, SP_OK);
    assert_int_equal(waiting.value, 7);
    sp_future_release(waiting.future);
    pause_end(window);
    one_end(&setter);
}

static void count_call(sp_future *future, void *context)
{
    assert_true(sp_future_done(future));
    sp__add_seq_cst((uint32_t *)context, 1);
}

/* One callback was there before, one comes then; the last reference goes meanwhile. */
static void each_callback_is_called_once_when_one_comes_with_the_end(void **state)
{
    (void)state;
    sp_future *future = fresh();
    uint32_t early = 0, late = 0; /* atomic */
    one setter;
    sp_future_add_done_callback(future, count_call, &early);
    struct pause *window = pause_at("future: done");
    one_start(&setter, set, future);
    pause_await(window);
    sp_future_add_done_callback(future, count_call, &late);
    assert_int_equal(sp__load_acquire(&late), 1);
    assert_int_equal(sp__load_acquire(&early), 0);
    sp_future_release(future);
    pause_end(window);
    one_end(&setter);
    assert_int_equal(sp__load_acquire(&early), 1);
    assert_int_equal(sp__load_acquire(&late), 1);
}

struct adding {
    sp_future *future;
    uint32_t calls; /* atomic */
};

static void add(void *context)
{
    struct adding *adding = context;
    sp_future_add_done_callback(adding->future, count_call, &adding->calls);
}

static void a_callback_is_called_when_the_future_ends_before_it_is_registered(void **state)
{
    (void)state;
    struct adding adding = { fresh(), 0 };
    one adder;
    uint64_t blocks = sp__fault_blocks();
    struct pause *window = pause_at("future: callback made");
    one_start(&adder, add, &adding);
    pause_await(window);
    set_now(adding.future);
    assert_int_equal(sp__load_acquire(&adding.calls), 0);
    pause_end(window);
    one_end(&adder);
    assert_int_equal(sp__load_acquire(&adding.calls), 1);
    assert_int_equal(sp__fault_blocks(), blocks); /* it was not needed */
    sp_future_release(adding.future);
}

/* The callbacks have been taken out of the future, and keep it. */
static void a_callback_keeps_the_future_that_is_released_meanwhile(void **state)
{
    (void)state;
    sp_future *future = fresh();
    uint32_t calls = 0, late = 0; /* atomic */
    one setter;
    sp_future_add_done_callback(future, count_call, &calls);
    struct pause *window = pause_at("future: sets told");
    one_start(&setter, set, future);
    pause_await(window);
    sp_future_add_done_callback(future, count_call, &late);
    sp_future_release(future);
    pause_end(window);
    one_end(&setter);
    assert_int_equal(sp__load_acquire(&calls), 1);
    assert_int_equal(sp__load_acquire(&late), 1);
}

/* ---- the error of a cancelled future is made when it is asked for ---- */

struct asking {
    sp_future *future;
    const sp_error *error;
};

static void ask_for_error(void *context)
{
    struct asking *asking = context;
    asking->error = sp_future_error(asking->future);
}

static void two_that_ask_at_once_get_one_error(void **state)
{
    (void)state;
    sp_future_release(fresh()); /* what is made once is made */
    uint64_t before = sp__fault_blocks();
    struct asking asking = { fresh(), NULL };
    one other;
    assert_true(sp_future_cancel(asking.future));
    uint64_t blocks = sp__fault_blocks();
    struct pause *window = pause_at("future: error made");
    one_start(&other, ask_for_error, &asking);
    pause_await(window);
    const sp_error *error = sp_future_error(asking.future);
    assert_int_equal(error->status, SP_CANCELLED);
    pause_end(window);
    one_end(&other);
    assert_ptr_equal(asking.error, error);
    assert_int_equal(sp__fault_blocks(), blocks + 1);
    sp_future_release(asking.future);
    assert_int_equal(sp__fault_blocks(), before);
}

/* ---- a set ---- */

struct reading {
    sp_completion *completion;
    sp_future *next;
};

static void read_next(void *context)
{
    struct reading *reading = context;
    reading->next = sp_completion_next(reading->completion);
}

/* The set that is made then tells itself of it; the end, which tells it again, is not another one. */
static void a_set_is_told_once_of_a_future_that_has_just_ended(void **state)
{
    (void)state;
    sp_future *futures[2] = { fresh(), fresh() };
    one setter, reader;
    sp_future_add_done_callback(futures[0], count_call, &(uint32_t){ 0 }); /* so that the end has somebody to tell */
    struct pause *window = pause_at("future: done");
    one_start(&setter, set, futures[0]);
    pause_await(window);
    sp_completion *completion = sp_as_completed(futures, 2, SP_FOREVER);
    assert_ptr_equal(sp_completion_next(completion), futures[0]);
    pause_end(window);
    one_end(&setter);
    struct reading reading = { completion, NULL };
    struct pause *sleeps = pause_at("park: linked");
    one_start(&reader, read_next, &reading);
    pause_end(sleeps);
    set_now(futures[1]);
    one_end(&reader);
    assert_ptr_equal(reading.next, futures[1]);
    assert_null(sp_completion_next(completion));
    assert_int_equal(sp_completion_status(completion), SP_OK);
    sp_completion_release(completion);
    sp_release_all(futures, 2);
}

struct begun_reading {
    sp_future *futures[2];
    double timeout;
    struct reading reading;
};

static void begin_to_read(void *context)
{
    struct begun_reading *begun = context;
    sp_completion_release(begun->reading.completion); /* of an attempt that came to nothing, or NULL */
    begun->reading.completion = sp_as_completed(begun->futures, 2, begun->timeout);
    read_next(&begun->reading);
}

/* Of two futures one ends at that place of the reader's wait. */
static void end_one_in(const char *site, double timeout)
{
    struct begun_reading begun = { { fresh(), fresh() }, timeout, { NULL, NULL } };
    one reader;
    struct pause *window = pause_at(site);
    one_start_into(&reader, begin_to_read, &begun, window);
    set_now(begun.futures[1]);
    pause_end(window);
    one_end(&reader);
    assert_ptr_equal(begun.reading.next, begun.futures[1]);
    sp_completion_release(begun.reading.completion);
    sp_release_all(begun.futures, 2);
}

static void a_future_of_a_set_that_ends_before_the_sleep_is_seen(void **state)
{
    (void)state;
    end_one_in("completion: too few", SP_FOREVER);
    end_one_in("park: linked", SP_FOREVER);
    end_one_in("park: asleep", SP_FOREVER);
}

static void a_future_of_a_set_that_ends_with_the_end_of_the_time_is_seen(void **state)
{
    (void)state;
    end_one_in("park: gives up", 0.001);
    end_one_in("completion: slept", 0.001);
}

/* It is there, and the reader has not been woken: one who comes then takes it, and sleeps for the next. */
static void a_reader_that_comes_before_it_is_woken_takes_what_has_arrived(void **state)
{
    (void)state;
    sp_future *futures[1] = { fresh() };
    struct reading reading = { sp_as_completed(futures, 1, SP_FOREVER), NULL };
    one setter, reader;
    struct pause *window = pause_at("completion: arrived");
    one_start(&setter, set, futures[0]);
    pause_await(window);
    one_start(&reader, read_next, &reading);
    one_end(&reader);
    assert_ptr_equal(reading.next, futures[0]);
    pause_end(window);
    one_end(&setter);
    sp_completion_release(reading.completion);
    sp_future_release(futures[0]);
}

enum { MANY = 8 }; /* so many are waited for at once, and not in turn */

struct waiting_for_all {
    sp_future *futures[MANY];
    double timeout;
    sp_status status;
};

static void wait_for_all(void *context)
{
    struct waiting_for_all *waiting = context;
    waiting->status = sp_wait(waiting->futures, MANY, SP_ALL_COMPLETED, waiting->timeout);
}

static void end_all_in(const char *site, double timeout)
{
    struct waiting_for_all waiting = { .timeout = timeout, .status = SP_VALUE_ERROR };
    one waiter;
    for (int i = 0; i < MANY; i++)
        waiting.futures[i] = fresh();
    struct pause *window = pause_at(site);
    one_start_into(&waiter, wait_for_all, &waiting, window);
    for (int i = 0; i < MANY; i++)
        set_now(waiting.futures[i]);
    pause_end(window);
    one_end(&waiter);
    assert_int_equal(waiting.status, SP_OK);
    sp_release_all(waiting.futures, MANY);
}

static void all_futures_that_end_before_the_sleep_or_with_the_time_are_seen(void **state)
{
    (void)state;
    end_all_in("completion: too few", SP_FOREVER);
    end_all_in("park: gives up", 0.001);
    end_all_in("completion: slept", 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_that_ends_before_the_sleep_is_seen),
        cmocka_unit_test(a_future_that_ends_with_the_end_of_the_time_is_seen),
        cmocka_unit_test(who_comes_when_a_future_has_just_ended_does_not_wait),
        cmocka_unit_test(each_callback_is_called_once_when_one_comes_with_the_end),
        cmocka_unit_test(a_callback_is_called_when_the_future_ends_before_it_is_registered),
        cmocka_unit_test(a_callback_keeps_the_future_that_is_released_meanwhile),
        cmocka_unit_test(two_that_ask_at_once_get_one_error),
        cmocka_unit_test(a_set_is_told_once_of_a_future_that_has_just_ended),
        cmocka_unit_test(a_future_of_a_set_that_ends_before_the_sleep_is_seen),
        cmocka_unit_test(a_future_of_a_set_that_ends_with_the_end_of_the_time_is_seen),
        cmocka_unit_test(a_reader_that_comes_before_it_is_woken_takes_what_has_arrived),
        cmocka_unit_test(all_futures_that_end_before_the_sleep_or_with_the_time_are_seen),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
