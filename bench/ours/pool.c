/* P1, P2 and the idle pool with sp_submit and sp_result.

   SPDX-License-Identifier: MIT */
#include "executor.h"
#include "../task.h"

typedef sp_future *the_future;

SP_FUNCTION(task, uint64_t, uint64_t);

static inline void the_submit(the_future *ret_future, uint64_t i)
{
    *ret_future = sp_submit(pool, task, i);
}

static inline uint64_t the_result(the_future *future)
{
    return pool_result(*future);
}

#include "../pool.h"
