/* L1, L2 with Concurrency Kit's fetch-and-store spinlock: a limit, it never sleeps.

   SPDX-License-Identifier: MIT */
#include <ck_spinlock.h>

typedef ck_spinlock_fas_t the_lock;

static void the_lock_init(the_lock *lock)
{
    ck_spinlock_fas_init(lock);
}

static inline void the_lock_acquire(the_lock *lock)
{
    ck_spinlock_fas_lock(lock);
}

static inline void the_lock_release(the_lock *lock)
{
    ck_spinlock_fas_unlock(lock);
}

#include "../lock.h"
