/* What all tests share: cmocka, a scale for repeat counts, a seed that is printed, random numbers.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_TESTING_H
#define SP_TESTS_TESTING_H

#include <inttypes.h>
#include <setjmp.h>
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

/* A thread of the tests' own: they must not need what they test. */
#include <pthread.h>

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

/* Wait until a condition of another thread's making is true; it must become so. */
#define test_await(condition)                                                                                          \
    do {                                                                                                               \
        struct timespec begin_, now_;                                                                                  \
        clock_gettime(CLOCK_MONOTONIC, &begin_);                                                                       \
        while (!(condition)) {                                                                                         \
            sched_yield();                                                                                             \
            clock_gettime(CLOCK_MONOTONIC, &now_);                                                                     \
            if (now_.tv_sec - begin_.tv_sec > 50)                                                                      \
                fail_msg("%s:%d: never became true: %s", __FILE__, __LINE__, #condition);                              \
        }                                                                                                              \
    } while (0)

#include <sched.h>

#endif
