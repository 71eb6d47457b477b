/* What all tests share: cmocka, a scale for repeat counts, a seed that is printed, random numbers.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_TESTING_H
#define SP_TESTS_TESTING_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <time.h>

/* `usual` repetitions, scaled by SPOOL_TEST_SCALE percent (100 when unset), at least one. */
static inline long test_count(long usual)
{
    const char *text = getenv("SPOOL_TEST_SCALE");
    double percent = text != NULL ? strtod(text, NULL) : 100;
    double count = (double)usual * percent / 100;
    return count < 1 ? 1 : (long)count;
}

/* SPOOL_TEST_SEED, else a fresh one; printed, so that a failure can be run again. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("SPOOL_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    printf("seed: SPOOL_TEST_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

/* The next number of a sequence (splitmix64). */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

#include <unistd.h>

/* Is there an emulator between this program and the processor? */
static inline bool test_is_emulated(void)
{
    const char *launcher = getenv("SPOOL_TEST_LAUNCHER");
    return launcher != NULL && launcher[0] != '\0';
}

/* What cannot be tested here, a pattern of names in SPOOL_TEST_SKIP, and why. */
__attribute__((constructor)) static inline void test_skip_what_cannot_be_tested(void)
{
    static char pattern[128];
    const char *wanted = getenv("SPOOL_TEST_SKIP"), *why = getenv("SPOOL_TEST_SKIP_WHY");
    if (wanted == NULL || wanted[0] == '\0')
        return;
    snprintf(pattern, sizeof pattern, "%s", wanted);
    cmocka_set_skip_filter(pattern);
    printf("not tested: %s: %s\n", pattern, why != NULL ? why : "?");
    fflush(stdout);
    unsetenv("SPOOL_TEST_SKIP"); /* said once: what a child says may be compared */
}

/* Become `program`, which is argv[0] of the caller, with other arguments: arguments[0] is its name.  (/proc/self/exe would
   be valgrind under valgrind.)  An emulator that runs the tests is named by SPOOL_TEST_LAUNCHER.  Returns on failure. */
static inline void test_execute(char *const arguments[])
{
    char *with_launcher[8] = { getenv("SPOOL_TEST_LAUNCHER") };
    if (with_launcher[0] == NULL || !test_is_emulated()) {
        execv(arguments[0], arguments);
        return;
    }
    for (size_t i = 0; i < 6 && arguments[i] != NULL; i++)
        with_launcher[i + 1] = arguments[i];
    execvp(with_launcher[0], with_launcher);
}

/* A thread of the tests' own: they must not need what they test. */
#include <pthread.h>
#include <unistd.h>

static inline pthread_t test_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

static inline void test_join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Run `body` to its end on a stack of that size, or of the least that the processor needs. */
static inline void test_run_on_stack(size_t size, void *(*body)(void *), void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;
    long least = sysconf(_SC_THREAD_STACK_MIN);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, least > (long)size ? (size_t)least : size), 0);
    assert_int_equal(pthread_create(&thread, &attributes, body, arg), 0);
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
    test_join(thread);
}

#include <sched.h>

static inline double test_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* In a loop that looks for what another thread does, for the first time or again: give the CPU away.  At first by a yield;
   but beside busy processes each yield lasts as long as their turns, and who sleeps for a moment comes sooner. */
static inline void test_pause(unsigned look)
{
    enum { YIELDS = 50 };
    if (look < YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){ 0, 50000 }, NULL);
}

/* Seconds after which a test fails whose event does not come: a matter of microseconds, or of losing the CPU. */
static inline long test_patience(void)
{
    const char *text = getenv("SPOOL_TEST_PATIENCE");
    return text != NULL ? strtol(text, NULL, 10) : 50;
}

/* Wait until a condition of another thread's making is true; it must become so. */
#define test_await(condition)                                                                                          \
    do {                                                                                                               \
        double begin_ = test_now();                                                                                    \
        for (unsigned look_ = 0; !(condition); look_++) {                                                              \
            test_pause(look_);                                                                                         \
            if (test_now() - begin_ > (double)test_patience())                                                         \
                fail_msg("%s:%d: never became true: %s", __FILE__, __LINE__, #condition);                              \
        }                                                                                                              \
    } while (0)

/* Rounds of a race, each of which hands over from thread to thread.  Beside busy processes that takes milliseconds, not less
   than a microsecond: then fewer are enough, a hundredth at least. */
struct test_rounds {
    long most, least, begun;
    double end;
};

static inline struct test_rounds test_rounds(long usual)
{
    enum { SECONDS = 2 };
    long most = test_count(usual), scale = most / usual;
    return (struct test_rounds){ most, 1 + most / 100, 0, test_now() + SECONDS * (double)(scale > 1 ? scale : 1) };
}

/* Is there another round?  `seen`: what the race is for has happened; until then there is. */
static inline bool test_next_round(struct test_rounds *rounds, bool seen)
{
    if (rounds->begun >= rounds->most && seen)
        return false;
    return ++rounds->begun <= rounds->least || !seen || test_now() < rounds->end;
}

#endif
