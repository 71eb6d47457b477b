/* What the pools of P4 run: a chunk of a map, or a millisecond of work.

   Included by contestants before they define what map.h asks for.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_CHUNK_H
#define BENCH_CHUNK_H

#include <math.h>
#include "bench.h"

#define CHUNKS 64

struct chunk {
    const double *in;
    double *out;
    size_t n;
};

static unsigned work_steps;
static uint64_t chunks_done;

static inline double chunk_function(double x)
{
    return sqrt(x) * 1.5;
}

static inline void chunk_run(const struct chunk *chunk)
{
    const double *in = chunk->in;
    double *out = chunk->out;
    size_t n = chunk->n;
    for (size_t i = 0; i < n; i++)
        out[i] = chunk_function(in[i]);
    __atomic_add_fetch(&chunks_done, 1, __ATOMIC_RELAXED);
}

static inline uint64_t work_run(uint64_t i)
{
    return bench_work(i, work_steps);
}

#endif
