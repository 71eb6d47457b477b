/* The fault table: makes the calls of this room fail on purpose.  Exists in test builds only (SPOOL_TEST_BUILD).

   SPDX-License-Identifier: MIT */
#ifndef SP_OS_FAULT_H
#define SP_OS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef SPOOL_TEST_BUILD

/* Fail call number `call` from now, counted from 1; with `for_ever` every later one too.  Restarts the count. */
void sp__fault_arm(uint64_t call, bool for_ever);
/* Fail nothing any more.  Returns how many calls were made to fail since sp__fault_arm. */
uint64_t sp__fault_disarm(void);
/* How many fallible calls there were since sp__fault_arm. */
uint64_t sp__fault_calls(void);
/* Let `per_mille` of all futex waits return at once, for no reason; seeded.  0 ends it. */
void sp__fault_spurious(uint64_t seed, unsigned per_mille);

/* Refuse all futex waits from now on, as a sandbox does, or no more. */
void sp__fault_futex(bool refused);

/* How many blocks of memory the library has. */
uint64_t sp__fault_blocks(void);
/* Told of every block of memory; NULL is none.  One that is about to be freed is filled: who uses it all the same fails. */
void sp__fault_made(const void *memory);
void sp__fault_freed(void *memory);

/* Asked by every fallible call of the room. */
bool sp__fault_now(void);
/* Asked by every futex wait. */
bool sp__fault_spurious_now(void);
bool sp__fault_futex_now(void);

#else

static inline void sp__fault_made(const void *memory)
{
    (void)memory;
}

static inline void sp__fault_freed(void *memory)
{
    (void)memory;
}

static inline bool sp__fault_now(void)
{
    return false;
}

static inline bool sp__fault_spurious_now(void)
{
    return false;
}

static inline bool sp__fault_futex_now(void)
{
    return false;
}

#endif
#endif
