/* L1, L2 with nsync's mutex.

   SPDX-License-Identifier: MIT */
#include <nsync.h>

typedef nsync_mu the_lock;

static void the_lock_init(the_lock *mu)
{
    nsync_mu_init(mu);
}

static inline void the_lock_acquire(the_lock *mu)
{
    nsync_mu_lock(mu);
}

static inline void the_lock_release(the_lock *mu)
{
    nsync_mu_unlock(mu);
}

#include "../lock.h"
