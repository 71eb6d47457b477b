/* What the pools of P1, P2 and C1 run: a task that returns its number and knows whose thread it runs in.

   Included by contestants before they define what pool.h asks for.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_TASK_H
#define BENCH_TASK_H

#include "bench.h"

static struct {
    pthread_t submitter;
    uint64_t ran_there; /* tasks that ran in the submitter's thread; written only by it */
    bool held;          /* tasks wait at the gate; set before the first one is submitted */
    struct bench_gate gate;
} pool_tasks;

static inline uint64_t task(uint64_t i)
{
    if (pthread_equal(pthread_self(), pool_tasks.submitter))
        pool_tasks.ran_there++;
    if (pool_tasks.held)
        bench_gate_pass(&pool_tasks.gate);
    return i;
}

/* The calling thread will submit. */
static inline void task_submitter(void)
{
    pool_tasks.submitter = pthread_self();
}

/* Handing the work to other threads is what is measured. */
static inline void task_check_submitter(void)
{
    bench_check(pool_tasks.ran_there == 0, "the submitter's thread ran tasks");
}

static inline void task_check_sum(uint64_t sum, uint64_t count)
{
    bench_check(sum == count * (count - 1) / 2, "the sum of the results is wrong");
}

#endif
