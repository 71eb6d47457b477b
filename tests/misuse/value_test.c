/* Misuse of the value types that no other test has: the sentence is said, and the call has no effect.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"

static const char *program;
static char said[512];
static double nan_seconds;

static void note(const char *sentence, void *context)
{
    (void)context;
    snprintf(said, sizeof said, "%s", sentence);
}

static void begin_listening(void)
{
    said[0] = '\0';
    sp_set_panic_hook(note, NULL);
}

/* The panic hook was called with these words, and is taken back. */
static bool heard(const char *words)
{
    sp_set_panic_hook(NULL, NULL);
    return strstr(said, words) != NULL;
}

/* ---- rlock ---- */

static void too_many_levels_of_an_rlock_are_named(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    sp_rlock_acquire(&lock);
    lock.sp_depth_ = UINT32_MAX; /* as after so many calls */
    begin_listening();
    sp_rlock_acquire(&lock);
    assert_true(heard("is held 4294967295 times"));
    begin_listening();
    assert_false(sp_rlock_acquire_timeout(&lock, SP_FOREVER));
    assert_true(heard("is held 4294967295 times"));
    assert_int_equal(lock.sp_depth_, UINT32_MAX);
    lock.sp_depth_ = 1;
    sp_rlock_release(&lock);
    assert_false(sp_rlock_locked(&lock));
}

static void release_of_a_free_rlock_is_named(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    begin_listening();
    sp_rlock_release(&lock);
    assert_true(heard("is not held by the caller"));
    assert_int_equal(lock.sp_word_, 0);
    assert_int_equal(lock.sp_depth_, 0);
    sp_rlock_acquire(&lock);
    sp_rlock_release(&lock);
    begin_listening();
    sp_rlock_release(&lock); /* once too often */
    assert_true(heard("is not held by the caller"));
    assert_false(sp_rlock_locked(&lock));
}

static void nan_counts_as_passed(void **state)
{
    (void)state;
    sp_rlock rlock = { 0 };
    sp_lock lock = { 0 };
    sp_condition condition = { 0 };
    assert_true(sp_rlock_acquire_timeout(&rlock, nan_seconds)); /* free: there is nothing to wait for */
    sp_rlock_release(&rlock);
    sp_lock_acquire(&lock);
    assert_false(sp_condition_wait(&condition, &lock, nan_seconds));
    assert_true(sp_lock_locked(&lock));
    sp_lock_release(&lock);
    sp_sleep(nan_seconds);
    assert_true(sp_join_all(nan_seconds)); /* nothing runs */
}

/* ---- condition ---- */

static bool asked;

static bool never_true(void *context)
{
    (void)context;
    asked = true;
    return false;
}

static void wait_for_without_the_lock_is_named(void **state)
{
    (void)state;
    sp_condition condition = { 0 };
    sp_lock lock = { 0 };
    asked = false;
    begin_listening();
    assert_false(sp_condition_wait_for(&condition, &lock, never_true, NULL, SP_FOREVER));
    assert_true(heard("without holding the lock"));
    assert_false(asked);
    assert_int_equal(condition.sp_word_, 0);
    assert_false(sp_lock_locked(&lock));
    sp_lock_acquire(&lock);
    assert_false(sp_condition_wait_for(&condition, &lock, never_true, NULL, nan_seconds));
    assert_true(asked);
    sp_lock_release(&lock);
}

struct held {
    sp_condition condition;
    sp_lock lock;
    sp_rlock rlock;
};

static void *wait_with_others_locks(void *arg)
{
    struct held *held = arg;
    (void)sp_condition_wait(&held->condition, &held->lock, SP_FOREVER);
    char first[512];
    memcpy(first, said, sizeof first);
    (void)sp_condition_wait_rlock(&held->condition, &held->rlock, SP_FOREVER);
    return strstr(first, "without holding the lock") != NULL && strstr(said, "sp_condition_wait_rlock") != NULL ? arg
                                                                                                                : NULL;
}

static void wait_with_a_lock_that_another_holds_is_named(void **state)
{
    (void)state;
    struct held held = { .condition = { 0 } };
    void *result = NULL;
    sp_lock_acquire(&held.lock);
    sp_rlock_acquire(&held.rlock);
    begin_listening();
    assert_int_equal(pthread_join(test_thread(wait_with_others_locks, &held), &result), 0);
    assert_ptr_equal(result, &held);
    assert_true(heard("without holding the lock"));
    sp_lock_release(&held.lock); /* still ours */
    sp_rlock_release(&held.rlock);
}

/* ---- barrier ---- */

static bool refuse(void *context)
{
    ++*(int *)context;
    return false;
}

static void barrier_for_nobody_and_nan_are_value_error(void **state)
{
    (void)state;
    unsigned index = 7;
    sp_barrier zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    sp_barrier alone = SP_BARRIER(1), pair = SP_BARRIER(2);
    assert_int_equal(sp_barrier_wait(&zeroed, &index, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(sp_barrier_wait(&alone, &index, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(sp_barrier_wait(&pair, &index, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(index, 7);
    assert_false(sp_barrier_broken(&pair)); /* it was no time-out */
    assert_int_equal(sp_barrier_wait(&alone, &index, SP_FOREVER), SP_OK);
    assert_int_equal(index, 0);
}

static void a_broken_barrier_says_so_until_reset(void **state)
{
    (void)state;
    int calls = 0;
    unsigned index = 7;
    sp_barrier late = SP_BARRIER(2), refusing = SP_BARRIER_ACTION(1, refuse, &calls), aborted = SP_BARRIER(1);
    assert_int_equal(sp_barrier_wait(&late, &index, 0.001), SP_TIMEOUT);
    assert_int_equal(sp_barrier_wait(&late, &index, SP_FOREVER), SP_BROKEN_BARRIER);
    assert_int_equal(sp_barrier_wait(&refusing, &index, SP_FOREVER), SP_BROKEN_BARRIER);
    assert_int_equal(sp_barrier_wait(&refusing, &index, SP_FOREVER), SP_BROKEN_BARRIER);
    assert_int_equal(calls, 1);
    sp_barrier_abort(&aborted);
    sp_barrier_abort(&aborted);
    assert_int_equal(sp_barrier_wait(&aborted, &index, SP_FOREVER), SP_BROKEN_BARRIER);
    assert_int_equal(index, 7);
    sp_barrier_reset(&aborted);
    assert_int_equal(sp_barrier_wait(&aborted, &index, SP_FOREVER), SP_OK);
}

/* ---- tasks and statuses ---- */

static void questions_outside_of_a_task(void **state)
{
    (void)state;
    assert_false(sp_cancel_requested());
    assert_int_equal(sp_raise(SP_OK, "no failure"), SP_OK);
    assert_string_equal(sp_status_name((sp_status)999), "SP_UNKNOWN");
}

/* ---- the hook ---- */

static void release_twice(const char *sentence, void *context)
{
    sp_lock *inner = context;
    note(sentence, NULL);
    sp_lock_acquire(inner); /* a hook may use the library, and set hooks */
    sp_lock_release(inner);
    sp_set_panic_hook(note, NULL);
}

static void a_panic_hook_may_call_the_library(void **state)
{
    (void)state;
    sp_lock lock = { 0 }, inner = { 0 };
    said[0] = '\0';
    sp_set_panic_hook(release_twice, &inner);
    sp_lock_release(&lock);
    assert_non_null(strstr(said, "sp_lock_release: the lock at "));
    said[0] = '\0';
    sp_lock_release(&lock);
    assert_true(heard("is not held"));
    assert_int_equal(lock.sp_word_ | inner.sp_word_, 0);
}

/* ---- in a child: the default ---- */

static void wait_without_lock(void)
{
    sp_condition condition = { 0 };
    sp_lock lock = { 0 };
    (void)sp_condition_wait(&condition, &lock, SP_FOREVER);
}

static void hook_taken_back(void)
{
    sp_rlock lock = { 0 };
    sp_set_panic_hook(note, NULL);
    sp_set_panic_hook(NULL, NULL);
    sp_rlock_release(&lock);
}

static const struct child_case cases[] = {
    { "condition", wait_without_lock },
    { "hook", hook_taken_back },
};

static void without_a_hook_the_sentence_is_printed_and_the_process_aborts(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "condition", NULL);
    child_aborted(&end, "spool: sp_condition_wait: waiting on the condition at 0x");
    end = child_run(program, "hook", NULL);
    child_aborted(&end, "spool: sp_rlock_release: the reentrant lock at 0x");
}

/* ---- with a hook that returns, each call returns as well ---- */

static struct {
    sp_lock free, taken_by_other, own, others_wait_with;
    sp_rlock free_rlock, own_rlock, others_wait_with_rlock, full_rlock;
    sp_condition condition; /* others wait here, with `others_wait_with` */
} things;
static uint32_t panics, predicates; /* atomic */
static sp_event end_all;

static void count(const char *sentence, void *context)
{
    (void)sentence, (void)context;
    sp__add_relaxed(&panics, 1);
}

static bool no(void *context)
{
    (void)context;
    sp__add_relaxed(&predicates, 1);
    return false;
}

static bool release_and_say_no(void *context)
{
    sp_lock_release(&things.own);
    return no(context);
}

static void *wait_with_a_lock(void *arg)
{
    sp_lock_acquire(&things.others_wait_with);
    assert_true(sp_condition_wait(&things.condition, &things.others_wait_with, SP_FOREVER));
    sp_lock_release(&things.others_wait_with);
    return arg;
}

static void *hold_a_lock(void *arg)
{
    sp_lock_acquire(&things.taken_by_other);
    sp_event_set(arg);
    sp_event_wait(&end_all, SP_FOREVER);
    sp_lock_release(&things.taken_by_other);
    return NULL;
}

/* Each is one misuse; they return false when there is something to return. */
static bool misuse(int which, double timeout)
{
    switch (which) {
    case 0:
        return sp_condition_wait(&things.condition, &things.own, timeout); /* others wait with another lock */
    case 1:
        return sp_condition_wait_for(&things.condition, &things.own, no, NULL, timeout);
    case 2:
        return sp_condition_wait_rlock(&things.condition, &things.own_rlock, timeout);
    case 3:
        return sp_condition_wait(&things.condition, &things.free, timeout);
    case 4:
        return sp_condition_wait_for(&things.condition, &things.free, no, NULL, timeout);
    case 5:
        return sp_condition_wait_rlock(&things.condition, &things.free_rlock, timeout);
    case 6:
        return sp_condition_wait(&things.condition, &things.taken_by_other, timeout);
    case 7:
        return sp_condition_wait_for(&things.condition, &things.taken_by_other, no, NULL, timeout);
    case 8: {
        bool result = sp_condition_wait_for(&things.condition, &things.own, release_and_say_no, NULL, timeout);
        sp_lock_acquire(&things.own);
        return result;
    }
    case 9:
        return sp_rlock_acquire_timeout(&things.full_rlock, timeout);
    case 10:
        sp_rlock_acquire(&things.full_rlock);
        return false;
    case 11:
        sp_lock_release(&things.free);
        return false;
    case 12:
        sp_lock_release(&things.taken_by_other);
        return false;
    default:
        sp_rlock_release(&things.free_rlock);
        return false;
    }
}
enum { MISUSES = 14 };

static bool is_waited_for(sp_condition *condition)
{
    return sp__load_acquire(&condition->sp_word_) != 0;
}

static void with_a_hook_that_returns_each_misuse_is_named_once_and_returns(void **state)
{
    (void)state;
    sp_event held = { 0 };
    pthread_t waiter = test_thread(wait_with_a_lock, NULL), holder = test_thread(hold_a_lock, &held);
    test_await(is_waited_for(&things.condition));
    sp_event_wait(&held, SP_FOREVER);
    sp_lock_acquire(&things.own);
    sp_rlock_acquire(&things.own_rlock);
    sp_rlock_acquire(&things.full_rlock);
    things.full_rlock.sp_depth_ = UINT32_MAX;
    sp_set_panic_hook(count, NULL);
    for (int which = 0; which < MISUSES; which++)
        for (int limit = 0; limit < 2; limit++) {
            sp__store_relaxed(&panics, 0);
            sp__store_relaxed(&predicates, 0);
            assert_false(misuse(which, limit == 0 ? SP_FOREVER : 1000));
            assert_int_equal(sp__load_relaxed(&panics), 1);
            assert_true(sp__load_relaxed(&predicates) <= 1);
            assert_true(sp_lock_locked(&things.own) && sp_rlock_is_owned(&things.own_rlock));
        }
    sp_set_panic_hook(NULL, NULL);
    sp_condition_notify_all(&things.condition);
    sp_event_set(&end_all);
    test_join(waiter);
    test_join(holder);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    nan_seconds = strtod("nan", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_levels_of_an_rlock_are_named),
        cmocka_unit_test(release_of_a_free_rlock_is_named),
        cmocka_unit_test(nan_counts_as_passed),
        cmocka_unit_test(wait_for_without_the_lock_is_named),
        cmocka_unit_test(wait_with_a_lock_that_another_holds_is_named),
        cmocka_unit_test(barrier_for_nobody_and_nan_are_value_error),
        cmocka_unit_test(a_broken_barrier_says_so_until_reset),
        cmocka_unit_test(questions_outside_of_a_task),
        cmocka_unit_test(a_panic_hook_may_call_the_library),
        cmocka_unit_test(without_a_hook_the_sentence_is_printed_and_the_process_aborts),
        cmocka_unit_test(with_a_hook_that_returns_each_misuse_is_named_once_and_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
