/* L4 with a semaphore made of nsync's mutex and condition variable.

   SPDX-License-Identifier: MIT */
#include "nsync_monitor.h"

typedef struct the_signal {
    the_mutex mutex;
    the_condition given;
    unsigned permits;
} the_signal;

static void the_signal_init(the_signal *semaphore)
{
    the_mutex_init(&semaphore->mutex);
    the_condition_init(&semaphore->given);
    semaphore->permits = 0;
}

static inline void the_signal_give(the_signal *semaphore)
{
    the_mutex_lock(&semaphore->mutex);
    semaphore->permits++;
    the_condition_notify(&semaphore->given);
    the_mutex_unlock(&semaphore->mutex);
}

static inline void the_signal_take(the_signal *semaphore)
{
    the_mutex_lock(&semaphore->mutex);
    while (semaphore->permits == 0)
        the_condition_wait(&semaphore->given, &semaphore->mutex);
    semaphore->permits--;
    the_mutex_unlock(&semaphore->mutex);
}

#include "../signal.h"
