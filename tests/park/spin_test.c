/* Spinning stops for the whole process when a thread finds that it lost its CPU, and comes back afterwards.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <sched.h>

#include "os/os.h"
#include "park/spin.h"

enum { MILLISECOND = 1000000 };

static void lose_the_cpu(void)
{
    int64_t until = sp__os_now() + MILLISECOND;
    while (sp__os_now() < until)
        continue;
}

static int yields;
static bool yield_takes_long;

/* Instead of libc's: counts, and may take as long as beside other processes. */
int sched_yield(void)
{
    yields++;
    if (yield_takes_long)
        lose_the_cpu();
    return 0;
}

/* Spin as far as the rounds between which the clock is looked at. */
static bool spin_past_short_rounds(struct sp__spin *spin)
{
    while (sp__spin(spin))
        if (spin->round > SP__SHORT_ROUNDS)
            return true;
    return false;
}

/* Begin spins until one is allowed: a rest of any length ends. */
static struct sp__spin begin_spin(void)
{
    struct sp__spin spin;
    test_await((spin = (struct sp__spin)SP__SPIN, spin_past_short_rounds(&spin)));
    return spin;
}

static bool spins_here(void)
{
    return sp__os_affinity_cpus() > 1 && getenv("SPOOL_SPIN") == NULL;
}

static void one_cpu_never_spins(void **state)
{
    (void)state;
    struct sp__spin spin = SP__SPIN;
    if (!spins_here())
        assert_false(sp__spin(&spin));
}

static void a_gap_between_two_looks_ends_this_spin_and_all_others(void **state)
{
    (void)state;
    if (!spins_here())
        return; /* one_cpu_never_spins is what there is to see */
    struct sp__spin mine = begin_spin(), another = SP__SPIN;
    lose_the_cpu();
    assert_false(sp__spin(&mine));
    assert_false(sp__may_spin());
    assert_false(sp__spin(&another));
}

static void a_wait_that_ended_during_a_gap_counts_as_one(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    struct sp__spin mine = begin_spin(), another = SP__SPIN;
    lose_the_cpu();
    sp__spin_paid(&mine);
    assert_false(sp__spin(&another));
}

/* How long after a gap the next spin is allowed. */
static int64_t length_of_rest(void)
{
    struct sp__spin spin = begin_spin();
    lose_the_cpu();
    (void)sp__spin(&spin);
    int64_t begin = sp__os_now();
    (void)begin_spin();
    return sp__os_now() - begin;
}

static void rests_get_longer_while_gaps_go_on_and_end(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    int64_t first = length_of_rest(), later = 0;
    for (int i = 0; i < 3; i++)
        later = length_of_rest();
    printf("rests of %.1f and %.1f ms\n", (double)first / MILLISECOND, (double)later / MILLISECOND);
    assert_true(first >= 19 * MILLISECOND);
    assert_true(later >= 2 * 19 * MILLISECOND);
}

static void giving_way_during_a_rest_sleeps(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    struct sp__spin spin = begin_spin();
    lose_the_cpu();
    (void)sp__spin(&spin);
    int64_t begin = sp__os_now();
    sp__give_way();
    assert_true(sp__os_now() - begin >= SP__SPIN_NANOSECONDS);
}

/* Beside other processes a yield costs the time slices of all of them. */
static void a_spin_yields_not_at_all(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    struct sp__spin spin = begin_spin();
    yields = 0;
    while (sp__spin(&spin))
        continue;
    assert_int_equal(yields, 0);
}

static void a_yield_that_takes_long_begins_a_rest(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    (void)begin_spin();
    yields = 0;
    yield_takes_long = true;
    sp__give_way();
    yield_takes_long = false;
    assert_int_equal(yields, 1);
    assert_false(sp__may_spin());
}

static void spin_in_vain(void)
{
    struct sp__spin spin = begin_spin();
    while (sp__spin(&spin))
        continue;
}

static bool begins(void)
{
    struct sp__spin spin = SP__SPIN;
    return sp__spin(&spin);
}

static void after_eight_spins_in_vain_one_wait_in_64_spins(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    int spun = 0;
    (void)begin_spin();
    while (sp__spins_in_vain < SP__SPIN_PATIENCE)
        spin_in_vain();
    test_await(begins());
    for (int i = 0; i < 10 * 64; i++)
        spun += begins();
    assert_int_equal(spun, 10);
}

static void a_spin_that_was_of_use_brings_the_others_back(void **state)
{
    (void)state;
    if (!spins_here())
        return;
    sp__spins_in_vain = SP__SPIN_PATIENCE;
    struct sp__spin spin = SP__SPIN;
    test_await(sp__spin(&spin));
    assert_false(begins());
    sp__spin_paid(&spin);
    for (int i = 0; i < 100; i++)
        assert_true(begins());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cpu_never_spins),
        cmocka_unit_test(a_gap_between_two_looks_ends_this_spin_and_all_others),
        cmocka_unit_test(a_wait_that_ended_during_a_gap_counts_as_one),
        cmocka_unit_test(rests_get_longer_while_gaps_go_on_and_end),
        cmocka_unit_test(giving_way_during_a_rest_sleeps),
        cmocka_unit_test(a_spin_yields_not_at_all),
        cmocka_unit_test(a_yield_that_takes_long_begins_a_rest),
        cmocka_unit_test(after_eight_spins_in_vain_one_wait_in_64_spins),
        cmocka_unit_test(a_spin_that_was_of_use_brings_the_others_back),
    };
    return cmocka_run_group_tests_name("spin", tests, NULL, NULL);
}
