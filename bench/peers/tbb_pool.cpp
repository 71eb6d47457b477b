/* P1, P2 with oneTBB's task group: no handles; results go to slots, one wait for all, in which the caller runs tasks.

   SPDX-License-Identifier: MIT */
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include "../task.h"

#define THE_CALLER_RUNS_TASKS 1

typedef struct slot {
    uint64_t value;
} the_future;

static tbb::task_group *group;
static bool waited;

static void the_pool_run(void (*body)(void))
{
    tbb::task_arena arena(BENCH_WORKERS); /* the caller is one of them */
    arena.execute([body] {
        tbb::task_group tasks;
        group = &tasks;
        body();
    });
}

static inline void the_submit(the_future *slot, uint64_t i)
{
    waited = false;
    group->run([slot, i] { slot->value = task(i); });
}

static inline uint64_t the_result(the_future *slot)
{
    if (!waited)
        group->wait();
    waited = true;
    return slot->value;
}

#include "../pool.h"
