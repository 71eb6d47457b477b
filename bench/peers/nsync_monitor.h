/* nsync's mutex and condition variables as the_mutex and the_condition.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_NSYNC_MONITOR_H
#define BENCH_NSYNC_MONITOR_H

#include <nsync.h>

typedef nsync_mu the_mutex;
typedef nsync_cv the_condition;

static void the_mutex_init(the_mutex *mutex)
{
    nsync_mu_init(mutex);
}

static inline void the_mutex_lock(the_mutex *mutex)
{
    nsync_mu_lock(mutex);
}

static inline void the_mutex_unlock(the_mutex *mutex)
{
    nsync_mu_unlock(mutex);
}

static void the_condition_init(the_condition *condition)
{
    nsync_cv_init(condition);
}

static inline void the_condition_wait(the_condition *condition, the_mutex *mutex)
{
    nsync_cv_wait(condition, mutex);
}

static inline void the_condition_notify(the_condition *condition)
{
    nsync_cv_signal(condition);
}

#endif
