/* A pthread mutex of any type as the_lock; the including file defines MUTEX_TYPE.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_PTHREAD_MUTEX_H
#define BENCH_PTHREAD_MUTEX_H

#include <pthread.h>

typedef pthread_mutex_t the_lock;

static void the_lock_init(the_lock *mutex)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, MUTEX_TYPE);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static inline void the_lock_acquire(the_lock *mutex)
{
    pthread_mutex_lock(mutex);
}

static inline void the_lock_release(the_lock *mutex)
{
    pthread_mutex_unlock(mutex);
}

#include "../lock.h"

#endif
