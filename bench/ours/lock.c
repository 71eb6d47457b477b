/* L1, L2 with sp_lock.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <string.h>

typedef sp_lock the_lock;

static void the_lock_init(the_lock *lock)
{
    memset(lock, 0, sizeof *lock);
}

static inline void the_lock_acquire(the_lock *lock)
{
    sp_lock_acquire(lock);
}

static inline void the_lock_release(the_lock *lock)
{
    sp_lock_release(lock);
}

#include "../lock.h"
