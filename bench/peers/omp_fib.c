/* P3 with tasks of OpenMP.

   SPDX-License-Identifier: MIT */
#include "../bench.h"

static uint64_t fib(unsigned n)
{
    if (n < 2)
        return n;
    uint64_t first;
#pragma omp task shared(first)
    first = fib(n - 1);
    uint64_t second = fib(n - 2);
#pragma omp taskwait
    return first + second;
}

static uint64_t the_fib(unsigned n)
{
    return fib(n);
}

static void the_pool_run(void (*body)(void))
{
#pragma omp parallel num_threads(BENCH_WORKERS)
#pragma omp master
    body();
}

#include "../fib.h"
