/* P3 with oneTBB's parallel_invoke.

   SPDX-License-Identifier: MIT */
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/task_arena.h>
#include "../bench.h"

static uint64_t the_fib(unsigned n)
{
    if (n < 2)
        return n;
    uint64_t first, second;
    tbb::parallel_invoke([&first, n] { first = the_fib(n - 1); }, [&second, n] { second = the_fib(n - 2); });
    return first + second;
}

static void the_pool_run(void (*body)(void))
{
    tbb::task_arena arena(BENCH_WORKERS); /* the caller is one of them */
    arena.execute(body);
}

#include "../fib.h"
