/* The inline part of the reentrant lock looks at the word and changes it in two steps: others mark it, and take marks down, in
   between.

   SPDX-License-Identifier: MIT */
#include <stdint.h>

uint64_t test_look(const uint64_t *word);

#include <spool/api.h>

#undef SP_INLINE_
#define SP_INLINE_ extern inline __attribute__((gnu_inline, always_inline)) /* also where nothing is optimised */
#define __atomic_load_n(word, order) test_look(word)                        /* in the inline part alone */
#include <spool/lock.h>
#undef __atomic_load_n

#include <spool.h>

#include "window.h"

static _Thread_local void (*after_look)(void); /* called once, in the thread that looks */

uint64_t test_look(const uint64_t *word)
{
    void (*call)(void) = after_look;
    uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED); /* relaxed: as the one it stands for */
    after_look = NULL;
    if (call != NULL)
        call();
    return seen;
}

static sp_rlock lock;
static double limit;
static one contender;
static bool acquired;      /* by the contender */
static struct pause *late; /* it gives up */

static void contend(void *context)
{
    (void)context;
    acquired = sp_rlock_acquire_timeout(&lock, limit);
    if (acquired)
        sp_rlock_release(&lock);
}

/* The last sleeper gives up, and its mark goes. */
static void have_it_give_up(void)
{
    pause_end(late);
    one_end(&contender);
    assert_false(acquired);
    assert_int_equal(lock.sp_word_, sp_self_id_);
}

static void start_one_that_gives_up(void)
{
    limit = 0.001;
    late = pause_at("park: gives up");
    one_start_into(&contender, contend, NULL, late);
    assert_int_not_equal(lock.sp_word_, sp_self_id_);
}

static void a_mark_that_goes_during_a_release_gives_up_one_level_only(void **state)
{
    (void)state;
    sp_rlock_acquire(&lock);
    sp_rlock_acquire(&lock);
    start_one_that_gives_up();
    after_look = have_it_give_up;
    sp_rlock_release(&lock);
    assert_null(after_look);
    assert_true(sp_rlock_is_owned(&lock));
    assert_int_equal(lock.sp_depth_, 1);
    sp_rlock_release(&lock);
    assert_false(sp_rlock_locked(&lock));
}

static void a_mark_that_goes_during_an_acquire_leaves_the_levels(void **state)
{
    (void)state;
    sp_rlock_acquire(&lock);
    start_one_that_gives_up();
    after_look = have_it_give_up;
    sp_rlock_acquire(&lock);
    assert_null(after_look);
    assert_int_equal(lock.sp_depth_, 2);
    sp_rlock_release(&lock);
    assert_true(sp_rlock_is_owned(&lock));
    sp_rlock_release(&lock);
    assert_false(sp_rlock_locked(&lock));
}

static void have_it_sleep(void)
{
    limit = SP_FOREVER;
    one_start_asleep(&contender, contend, NULL);
}

static void a_mark_that_comes_during_the_last_release_is_seen(void **state)
{
    (void)state;
    sp_rlock_acquire(&lock);
    after_look = have_it_sleep;
    sp_rlock_release(&lock);
    assert_null(after_look);
    one_end(&contender);
    assert_true(acquired);
    assert_false(sp_rlock_locked(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_that_goes_during_a_release_gives_up_one_level_only),
        cmocka_unit_test(a_mark_that_goes_during_an_acquire_leaves_the_levels),
        cmocka_unit_test(a_mark_that_comes_during_the_last_release_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
