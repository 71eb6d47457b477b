/* A pthread mutex and condition variables as the_mutex and the_condition.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_PTHREAD_MONITOR_H
#define BENCH_PTHREAD_MONITOR_H

#include <pthread.h>

typedef pthread_mutex_t the_mutex;
typedef pthread_cond_t the_condition;

static void the_mutex_init(the_mutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

static inline void the_mutex_lock(the_mutex *mutex)
{
    pthread_mutex_lock(mutex);
}

static inline void the_mutex_unlock(the_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

static void the_condition_init(the_condition *condition)
{
    pthread_cond_init(condition, NULL);
}

static inline void the_condition_wait(the_condition *condition, the_mutex *mutex)
{
    pthread_cond_wait(condition, mutex);
}

static inline void the_condition_notify(the_condition *condition)
{
    pthread_cond_signal(condition);
}

#endif
