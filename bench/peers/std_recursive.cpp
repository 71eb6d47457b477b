/* L3 with std::recursive_mutex.

   SPDX-License-Identifier: MIT */
#include <mutex>

typedef std::recursive_mutex the_lock;

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
