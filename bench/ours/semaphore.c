/* L4 with sp_semaphore.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include "../bench.h"

typedef sp_semaphore the_signal;

static void the_signal_init(the_signal *semaphore)
{
    memset(semaphore, 0, sizeof *semaphore);
}

static inline void the_signal_give(the_signal *semaphore)
{
    bench_check(sp_semaphore_release(semaphore, 1) == SP_OK, "the semaphore takes no permit");
}

static inline void the_signal_take(the_signal *semaphore)
{
    sp_semaphore_acquire(semaphore);
}

#include "../signal.h"
