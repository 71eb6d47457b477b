/* L1, L2 with oneTBB's spin mutex: a limit, it never sleeps.

   SPDX-License-Identifier: MIT */
#include <oneapi/tbb/spin_mutex.h>

typedef tbb::spin_mutex the_lock;

static void the_lock_init(the_lock *)
{
}

static inline void the_lock_acquire(the_lock *mutex)
{
    mutex->lock();
}

static inline void the_lock_release(the_lock *mutex)
{
    mutex->unlock();
}

#include "../lock.h"
