/* Spinning stops for the whole process when a thread finds that it lost its CPU, and comes back afterwards.

   The clock, the yield and the number of CPUs are the test's own: so each length is exact, whatever else the machine does.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "child.h"

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"
#include "park/spin.h"

enum { MICROSECOND = 1000, MILLISECOND = 1000000, STEP = 100 };
#define SECOND INT64_C(1000000000)

/* ---- the machine ---- */

static int64_t now = SECOND; /* goes on by STEP with each look; so early that no sleep of the system's lasts */
static int yields, sleeps;
static int64_t yield_takes;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's have no plain names */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, ret_time);
    *ret_time = (struct timespec){ .tv_sec = (time_t)(now / SECOND), .tv_nsec = (long)(now % SECOND) };
    now += STEP;
    return 0;
}

int sched_yield(void)
{
    yields++;
    now += yield_takes;
    return 0;
}

/* Counts the waits of the library, which all have a limit here, and lets none last. */
long syscall(long number, ...)
{
    long (*others)(long, ...);
    long arguments[6];
    va_list list;
    if (number == SYS_futex) {
        sleeps++;
        return 0;
    }
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    *(void **)&others = dlsym(RTLD_NEXT, "syscall");
    return others(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): as above */
int sched_getaffinity(pid_t thread, size_t size, cpu_set_t *ret_set)
{
    const char *wanted = getenv("SPIN_TEST_CPUS");
    (void)thread;
    memset(ret_set, wanted != NULL && strcmp(wanted, "1") == 0 ? 0 : 1, 1);
    memset((char *)ret_set + 1, 1, 1);
    memset((char *)ret_set + 2, 0, size - 2);
    return 0;
}

/* ---- what the tests do ---- */

static bool begins(void)
{
    struct sp__spin spin = SP__SPIN;
    return sp__spin(&spin);
}

/* A long time without gaps, and nothing was in vain. */
static int begin(void **state)
{
    (void)state;
    now += 10 * SECOND;
    sp__spins_in_vain = 0;
    assert_true(begins() && sp__may_spin());
    sp__spins_in_vain = 0;
    yields = sleeps = 0;
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

static struct sp__spin begin_spin(void)
{
    struct sp__spin spin = SP__SPIN;
    assert_true(spin_past_short_rounds(&spin));
    return spin;
}

/* How long a spin lasts that nothing ends. */
static int64_t length_of(struct sp__spin spin)
{
    int64_t start = 0;
    for (int i = 0; i < 10000; i++) {
        if (!sp__spin(&spin))
            return now - STEP - start;
        if (start == 0 && spin.looked != 0)
            start = spin.looked;
    }
    fail_msg("a spin that does not end");
    return 0;
}

/* ---- how long ---- */

static void a_spin_lasts_as_long_as_it_may(void **state)
{
    (void)state;
    assert_int_equal(length_of((struct sp__spin)SP__SPIN), SP__SPIN_NANOSECONDS);
    assert_int_equal(yields, 0); /* beside other processes a yield costs the time slices of all of them */
    assert_int_equal(sleeps, 0);
}

static void a_queues_wait_spins_briefly_when_spins_are_in_vain(void **state)
{
    (void)state;
    struct sp__spin spin = { .insists = true };
    sp__spins_in_vain = SP__SPIN_PATIENCE;
    assert_int_equal(length_of(spin), 2 * MICROSECOND);
}

static const char *program;

/* In a process of its own the setting is this: how long may a spin last? */
static void limit_is(const char *setting, const char *cpus, const char *wanted)
{
    assert_int_equal(setting != NULL ? setenv("SPOOL_SPIN", setting, 1) : unsetenv("SPOOL_SPIN"), 0);
    assert_int_equal(setenv("SPIN_TEST_CPUS", cpus, 1), 0);
    struct child_end end = child_run(program, "limit", NULL);
    assert_int_equal(unsetenv("SPIN_TEST_CPUS") + unsetenv("SPOOL_SPIN"), 0);
    if (end.status != 0 || strstr(end.said, wanted) == NULL)
        fail_msg("SPOOL_SPIN=%s, %s CPUs: not %s but %s", setting != NULL ? setting : "(none)", cpus, wanted, end.said);
}

static void say_limit(void)
{
    fprintf(stderr, "limit %" PRId64 ";%s", sp__spin_limit, begins() ? " spins;" : " sleeps;");
}

static void the_environment_says_how_long_a_spin_may_last(void **state)
{
    (void)state;
    limit_is(NULL, "2", "limit 25000; spins;");
    limit_is("0.5", "2", "limit 500; spins;");
    limit_is("24", "2", "limit 24000; spins;");
    limit_is("1000", "2", "limit 25000; spins;");
    limit_is("0", "2", "limit 0; sleeps;");
    limit_is("-3", "2", "limit 0; sleeps;");
    limit_is("nan", "2", "limit 0; sleeps;");
}

static void one_cpu_never_spins(void **state)
{
    (void)state;
    limit_is(NULL, "1", "limit 0; sleeps;");
    limit_is("10", "1", "limit 0; sleeps;");
}

/* ---- other processes want the CPUs ---- */

/* Lose the CPU in the middle of a spin.  When that was found. */
static int64_t find_gap(void)
{
    sp__spins_in_vain = 0;
    struct sp__spin spin = begin_spin();
    now += 250 * MICROSECOND;
    int64_t found = now;
    assert_false(sp__spin(&spin));
    assert_false(sp__may_spin());
    sp__spins_in_vain = 0;
    return found;
}

static void rest_lasts(int64_t found, int64_t length)
{
    now = found + length - 1;
    assert_false(begins());
    now = found + length;
    assert_true(begins());
    assert_true(sp__may_spin());
}

static void a_gap_between_two_looks_ends_this_spin_and_all_others(void **state)
{
    (void)state;
    struct sp__spin another = SP__SPIN;
    (void)find_gap();
    assert_false(sp__spin(&another));
}

/* Interrupts take as long. */
static void a_shorter_gap_is_none(void **state)
{
    (void)state;
    struct sp__spin spin = begin_spin();
    now = spin.looked + 250 * MICROSECOND;
    assert_false(sp__spin(&spin)); /* its time is up */
    assert_true(sp__may_spin());
    now = spin.looked + 250 * MICROSECOND;
    sp__spin_paid(&spin);
    assert_true(sp__may_spin());
}

static void a_wait_that_ended_during_a_gap_counts_as_one(void **state)
{
    (void)state;
    struct sp__spin mine = begin_spin(), another = SP__SPIN;
    now += MILLISECOND;
    sp__spin_paid(&mine);
    assert_false(sp__spin(&another));
}

static void rests_get_longer_while_gaps_go_on(void **state)
{
    (void)state;
    int64_t length = 20 * MILLISECOND;
    for (int i = 0; i < 10; i++) {
        rest_lasts(find_gap(), length);
        length = 2 * length < SECOND ? 2 * length : SECOND;
    }
    assert_int_equal(length, SECOND);
}

static void after_four_times_a_rest_without_a_gap_the_next_is_short(void **state)
{
    (void)state;
    rest_lasts(find_gap(), 20 * MILLISECOND);
    int64_t found = find_gap();
    rest_lasts(found, 40 * MILLISECOND);
    now = found + 5 * 40 * MILLISECOND;
    rest_lasts(find_gap(), 20 * MILLISECOND);
}

static void a_gap_that_several_find_makes_one_rest(void **state)
{
    (void)state;
    struct sp__spin another = begin_spin();
    int64_t found = find_gap();
    assert_false(sp__spin(&another));
    rest_lasts(found, 20 * MILLISECOND);
}

static void giving_way_during_a_rest_sleeps(void **state)
{
    (void)state;
    (void)find_gap();
    sp__give_way();
    assert_int_equal(yields, 0);
    assert_int_equal(sleeps, 1);
}

static void a_yield_that_takes_long_begins_a_rest(void **state)
{
    (void)state;
    yield_takes = MILLISECOND;
    sp__give_way();
    yield_takes = 0;
    assert_int_equal(yields, 1);
    assert_int_equal(sleeps, 0);
    assert_false(sp__may_spin());
}

/* For it may have a lower priority than ours. */
static void who_waits_for_another_threads_copy_gives_way_and_sleeps_at_last(void **state)
{
    (void)state;
    unsigned round = 0;
    for (int i = 0; i < 64; i++)
        sp__pass_moment(&round);
    assert_int_equal(yields, 0);
    for (int i = 64; i < 256; i++)
        sp__pass_moment(&round);
    assert_int_equal(yields, 256 - 64);
    assert_int_equal(sleeps, 0);
    for (int i = 0; i < 10; i++)
        sp__pass_moment(&round);
    assert_int_equal(yields, 256 - 64);
    assert_int_equal(sleeps, 10);
}

/* ---- of use, or in vain ---- */

/* Each ends a rest; one of many may be the one that is tried all the same. */
static void a_spin_that_ends_a_rest_is_none_when_spins_are_in_vain(void **state)
{
    (void)state;
    int spun = 0;
    for (int i = 0; i < 3; i++) {
        now = find_gap() + 10 * SECOND;
        sp__spins_in_vain = SP__SPIN_PATIENCE;
        spun += begins();
    }
    assert_in_range(spun, 0, 1);
}

static void after_eight_spins_in_vain_one_wait_in_64_spins(void **state)
{
    (void)state;
    int spun = 0;
    for (int i = 0; i < SP__SPIN_PATIENCE; i++)
        assert_int_equal(length_of((struct sp__spin)SP__SPIN), SP__SPIN_NANOSECONDS);
    for (int i = 0; i < 10 * 64; i++)
        spun += begins();
    assert_int_equal(spun, 10);
}

static void a_spin_that_was_of_use_brings_the_others_back(void **state)
{
    (void)state;
    struct sp__spin spin = begin_spin();
    sp__spins_in_vain = SP__SPIN_PATIENCE;
    sp__spin_paid(&spin);
    for (int i = 0; i < 100; i++)
        assert_true(begins());
}

static void a_spin_that_took_longer_than_a_sleep_was_in_vain(void **state)
{
    (void)state;
    struct sp__spin spin = begin_spin();
    sp__spins_in_vain = SP__SPIN_PATIENCE;
    now = spin.until;
    sp__spin_paid(&spin);
    assert_int_equal(sp__spins_in_vain, 0);
    sp__spins_in_vain = SP__SPIN_PATIENCE;
    now = spin.until + 1;
    sp__spin_paid(&spin);
    assert_int_equal(sp__spins_in_vain, SP__SPIN_PATIENCE);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(int argc, char **argv)
{
    static const struct child_case cases[] = { { "limit", say_limit } };
    const struct CMUnitTest tests[] = {
        TEST(a_spin_lasts_as_long_as_it_may),
        TEST(a_queues_wait_spins_briefly_when_spins_are_in_vain),
        TEST(the_environment_says_how_long_a_spin_may_last),
        TEST(one_cpu_never_spins),
        TEST(a_gap_between_two_looks_ends_this_spin_and_all_others),
        TEST(a_shorter_gap_is_none),
        TEST(a_wait_that_ended_during_a_gap_counts_as_one),
        TEST(rests_get_longer_while_gaps_go_on),
        TEST(after_four_times_a_rest_without_a_gap_the_next_is_short),
        TEST(a_gap_that_several_find_makes_one_rest),
        TEST(giving_way_during_a_rest_sleeps),
        TEST(a_yield_that_takes_long_begins_a_rest),
        TEST(who_waits_for_another_threads_copy_gives_way_and_sleeps_at_last),
        TEST(after_eight_spins_in_vain_one_wait_in_64_spins),
        TEST(a_spin_that_ends_a_rest_is_none_when_spins_are_in_vain),
        TEST(a_spin_that_was_of_use_brings_the_others_back),
        TEST(a_spin_that_took_longer_than_a_sleep_was_in_vain),
    };
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    if (getenv("SPOOL_SPIN") != NULL) { /* it was read before main */
        unsetenv("SPOOL_SPIN");
        test_execute((char *[]){ (char *)program, NULL });
        return 99;
    }
    return cmocka_run_group_tests_name("spin", tests, NULL, NULL);
}
