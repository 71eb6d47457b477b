/* sp_rlock behaves like threading.RLock.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

typedef sp_rlock tested;
#define tested_acquire sp_rlock_acquire
#define tested_acquire_timeout sp_rlock_acquire_timeout
#define tested_release sp_rlock_release
#define tested_locked sp_rlock_locked
#include "conformance/base_lock.h"

static char said[512];

static void note(const char *sentence, void *context)
{
    (void)context;
    snprintf(said, sizeof said, "%s", sentence);
}

/* Down to one level, up to two, down to none. */
static void up_and_down(sp_rlock *lock)
{
    sp_rlock_acquire(lock);
    sp_rlock_acquire(lock);
    sp_rlock_release(lock);
    sp_rlock_acquire(lock);
    sp_rlock_release(lock);
    assert_false(attempt_by_another(lock, SP_NOWAIT).acquired); /* one level is left */
    sp_rlock_release(lock);
}

static void levels_go_up_and_down(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    up_and_down(&lock);
    assert_false(sp_rlock_locked(&lock));
    assert_true(attempt_by_another(&lock, SP_NOWAIT).acquired);
}

static void releasing_a_free_one_is_misuse(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    sp_set_panic_hook(note, NULL);
    for (int i = 0; i < 2; i++) {
        said[0] = '\0';
        sp_rlock_release(&lock);
        assert_non_null(strstr(said, "not held by the caller"));
        said[0] = '\0';
        up_and_down(&lock);
        assert_string_equal(said, "");
    }
    sp_rlock_release(&lock);
    assert_string_not_equal(said, "");
    assert_false(sp_rlock_locked(&lock));
    sp_set_panic_hook(NULL, NULL);
}

static void waiting_with_a_free_one_is_misuse(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    sp_condition condition = { 0 };
    sp_set_panic_hook(note, NULL);
    for (int i = 0; i < 2; i++) {
        said[0] = '\0';
        assert_false(sp_condition_wait_rlock(&condition, &lock, 0.001));
        assert_non_null(strstr(said, "without holding the lock"));
        said[0] = '\0';
        up_and_down(&lock);
        assert_string_equal(said, "");
    }
    sp_set_panic_hook(NULL, NULL);
}

struct look {
    sp_rlock *lock;
    bool owned, locked;
};

static void look(void *context)
{
    struct look *it = context;
    it->owned = sp_rlock_is_owned(it->lock);
    it->locked = sp_rlock_locked(it->lock);
}

static void is_owned_is_true_for_the_owner_alone(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    struct look it = { .lock = &lock, .owned = true };
    assert_false(sp_rlock_is_owned(&lock));
    sp_rlock_acquire(&lock);
    assert_true(sp_rlock_is_owned(&lock));
    sp_rlock_acquire(&lock);
    assert_true(sp_rlock_is_owned(&lock));
    bunch_of(1, look, &it);
    assert_false(it.owned);
    assert_true(it.locked);
    sp_rlock_release(&lock);
    assert_true(sp_rlock_is_owned(&lock));
    sp_rlock_release(&lock);
    assert_false(sp_rlock_is_owned(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BASE_LOCK_TESTS,
        cmocka_unit_test(levels_go_up_and_down),
        cmocka_unit_test(releasing_a_free_one_is_misuse),
        cmocka_unit_test(waiting_with_a_free_one_is_misuse),
        cmocka_unit_test(is_owned_is_true_for_the_owner_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
