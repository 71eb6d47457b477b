/* The fault table; see fault.h.

   SPDX-License-Identifier: MIT */
#include "os/fault.h"

#ifdef SPOOL_TEST_BUILD

#include <malloc.h>
#include <string.h>

#include "base/atomic.h"

static uint64_t calls;      /* atomic, relaxed: a count */
static uint64_t failed;     /* atomic, relaxed: a count */
static uint64_t fail_from;  /* atomic; 0: nothing is armed */
static uint64_t fail_until; /* atomic; last call that fails */
static uint64_t blocks;     /* atomic, relaxed: a count */
static uint64_t random_state;
static unsigned spurious_per_mille;
static bool futex_refused; /* atomic */

void sp__fault_arm(uint64_t call, bool for_ever)
{
    /* relaxed: all four; a test arms the table before it starts the threads that it wants to fail */
    sp__store_relaxed(&calls, 0);
    sp__store_relaxed(&failed, 0);
    sp__store_relaxed(&fail_until, for_ever ? UINT64_MAX : call);
    sp__store_relaxed(&fail_from, call);
}

uint64_t sp__fault_disarm(void)
{
    /* relaxed: as in sp__fault_arm */
    sp__store_relaxed(&fail_from, 0);
    return sp__load_relaxed(&failed);
}

uint64_t sp__fault_calls(void)
{
    return sp__load_relaxed(&calls); /* relaxed: a count */
}

bool sp__fault_now(void)
{
    /* relaxed: the number of a call is all that matters, it publishes nothing */
    uint64_t number = sp__add_relaxed(&calls, 1) + 1;
    uint64_t from = sp__load_relaxed(&fail_from);
    /* relaxed: written before fail_from by the thread that arms */
    if (from == 0 || number < from || number > sp__load_relaxed(&fail_until))
        return false;
    /* relaxed: a count */
    sp__add_relaxed(&failed, 1);
    return true;
}

uint64_t sp__fault_blocks(void)
{
    return sp__load_relaxed(&blocks); /* relaxed: a count */
}

void sp__fault_made(const void *memory)
{
    if (memory != NULL)
        sp__add_relaxed(&blocks, 1); /* relaxed: a count */
}

/* The allocator overwrites little of it itself, and late. */
void sp__fault_freed(void *memory)
{
    enum { FREED = 0xA5 }; /* no address, and no state of anything */
    if (memory == NULL)
        return;
    sp__sub_relaxed(&blocks, 1); /* relaxed: a count */
    memset(memory, FREED, malloc_usable_size(memory));
}

void sp__fault_spurious(uint64_t seed, unsigned per_mille)
{
    /* relaxed: set by a test before its threads start */
    sp__store_relaxed(&random_state, seed);
    sp__store_relaxed(&spurious_per_mille, per_mille);
}

bool sp__fault_spurious_now(void)
{
    unsigned wanted = sp__load_relaxed(&spurious_per_mille); /* relaxed: a setting */
    if (wanted == 0)
        return false;
    /* relaxed: each caller draws its own number from a Weyl sequence, mixed as in splitmix64 */
    uint64_t z = sp__add_relaxed(&random_state, UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % 1000 < wanted;
}

void sp__fault_futex(bool refused)
{
    sp__store_relaxed(&futex_refused, refused); /* relaxed: a setting */
}

bool sp__fault_futex_now(void)
{
    return sp__load_relaxed(&futex_refused); /* relaxed: a setting */
}

#else
typedef int sp__fault_is_off; /* ISO C forbids an empty translation unit */
#endif
