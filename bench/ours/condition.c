/* L4 with sp_lock and sp_condition.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include "../bench.h"

typedef sp_lock the_mutex;
typedef sp_condition the_condition;

static void the_mutex_init(the_mutex *lock)
{
    memset(lock, 0, sizeof *lock);
}

static inline void the_mutex_lock(the_mutex *lock)
{
    sp_lock_acquire(lock);
}

static inline void the_mutex_unlock(the_mutex *lock)
{
    sp_lock_release(lock);
}

static void the_condition_init(the_condition *condition)
{
    memset(condition, 0, sizeof *condition);
}

static inline void the_condition_wait(the_condition *condition, the_mutex *lock)
{
    bench_check(sp_condition_wait(condition, lock, SP_FOREVER), "the wait ended without a notification");
}

static inline void the_condition_notify(the_condition *condition)
{
    sp_condition_notify(condition, 1);
}

#include "../condition.h"
