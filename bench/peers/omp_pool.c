/* P1, P2 with tasks of OpenMP: no handles; results go to slots, one wait for all, in which the caller runs tasks.

   SPDX-License-Identifier: MIT */
#include "../task.h"

#define THE_CALLER_RUNS_TASKS 1

typedef struct slot {
    uint64_t value;
} the_future;

static bool waited;

static void the_pool_run(void (*body)(void))
{
#pragma omp parallel num_threads(BENCH_WORKERS)
#pragma omp master
    body();
}

static inline void the_submit(the_future *slot, uint64_t i)
{
    waited = false;
#pragma omp task firstprivate(slot, i)
    slot->value = task(i);
}

static inline uint64_t the_result(the_future *slot)
{
    if (!waited) {
#pragma omp taskwait
    }
    waited = true;
    return slot->value;
}

#include "../pool.h"
