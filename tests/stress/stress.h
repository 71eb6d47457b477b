/* What the stress tests share: threads note what is wrong, the main thread asserts that nothing was; children.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_STRESS_H
#define SP_TESTS_STRESS_STRESS_H

#include "testing.h"

#include "base/atomic.h"

/* The first thing that a thread found wrong: cmocka's assertions are for the main thread. */
static const char *stress_wrong; /* atomic */
static int stress_wrong_line;    /* published by stress_wrong */
static uint32_t stress_noting;   /* atomic */

static inline void stress_note(const char *what, int line)
{
    if (sp__add_seq_cst(&stress_noting, 1) != 0)
        return;
    stress_wrong_line = line;
    sp__store_release(&stress_wrong, what);
}

/* In any thread: note it unless the condition is true. */
#define stress_expect(condition) ((condition) ? (void)0 : stress_note(#condition, __LINE__))

/* In the main thread, when the others have been joined. */
static inline void stress_assert_nothing_wrong(void)
{
    const char *what = sp__load_acquire(&stress_wrong);
    if (what != NULL)
        fail_msg("line %d: not true: %s", stress_wrong_line, what);
}

/* Burn about so many pauses: less than a system call, more than nothing. */
static inline void stress_linger(uint64_t pauses)
{
    while (pauses-- > 0)
        sp__cpu_relax();
}

/* True with a probability of one in n. */
static inline bool stress_one_in(uint64_t n, uint64_t *random)
{
    return test_random(random) % n == 0;
}

/* Do something of a random length, from nothing to giving the CPU away. */
static inline void stress_dawdle(uint64_t *random)
{
    uint64_t drawn = test_random(random);
    if (drawn % 16 == 0)
        sched_yield();
    else
        stress_linger(drawn >> 32 & (drawn % 8 == 1 ? 1023 : 31));
}

#endif
