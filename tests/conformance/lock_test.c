/* sp_lock behaves like threading.Lock, but that it has an owner.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

typedef sp_lock tested;
#define tested_acquire sp_lock_acquire
#define tested_acquire_timeout sp_lock_acquire_timeout
#define tested_release sp_lock_release
#define tested_locked sp_lock_locked
#include "conformance/base_lock.h"

struct handover {
    sp_lock lock;
    uint32_t phase; /* atomic */
};

static void acquire_twice(void *context)
{
    struct handover *handover = context;
    sp_lock_acquire(&handover->lock);
    sp__store_release(&handover->phase, 1);
    sp_lock_release(&handover->lock);
    test_await(sp__load_acquire(&handover->phase) == 2);
    sp_lock_acquire(&handover->lock);
    sp__store_release(&handover->phase, 3);
    sp_lock_release(&handover->lock);
}

static void acquiring_again_waits_for_the_owners_release(void **state)
{
    (void)state;
    struct handover handover = { .phase = 0 };
    struct bunch bunch;
    bunch_start(&bunch, 1, acquire_twice, &handover);
    test_await(sp__load_acquire(&handover.phase) == 1);
    sp_lock_acquire(&handover.lock);
    sp__store_release(&handover.phase, 2);
    bunch_await_sleep(&bunch);
    assert_int_equal(sp__load_acquire(&handover.phase), 2);
    sp_lock_release(&handover.lock);
    bunch_join(&bunch);
    assert_int_equal(handover.phase, 3);
}

static void a_lock_is_good_after_a_time_out(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    sp_lock_acquire(&lock);
    assert_false(attempt_by_another(&lock, 0.01).acquired);
    assert_false(sp_lock_acquire_timeout(&lock, 0.01));
    assert_true(sp_lock_locked(&lock));
    sp_lock_release(&lock);
    assert_false(sp_lock_locked(&lock));
    assert_true(sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    sp_lock_release(&lock);
}

static void the_forking_thread_keeps_its_lock(void **state)
{
    (void)state;
    static sp_lock held, free_one;
    sp_lock_acquire(&held);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool kept = sp_lock_locked(&held) && !sp_lock_locked(&free_one);
        sp_lock_release(&held); /* would abort if it were somebody else's */
        sp_lock_acquire(&held);
        sp_lock_acquire(&free_one);
        _exit(kept ? 50 : 51);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 50);
    assert_true(sp_lock_locked(&held)); /* what the child did is its own */
    assert_false(sp_lock_locked(&free_one));
    sp_lock_release(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BASE_LOCK_TESTS,
        cmocka_unit_test(acquiring_again_waits_for_the_owners_release),
        cmocka_unit_test(a_lock_is_good_after_a_time_out),
        cmocka_unit_test(the_forking_thread_keeps_its_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
