/* P3 without tasks: a limit, the compiler inlines several levels.

   SPDX-License-Identifier: MIT */
#include "../bench.h"

static uint64_t the_fib(unsigned n)
{
    return n < 2 ? n : the_fib(n - 1) + the_fib(n - 2);
}

static void the_pool_run(void (*body)(void))
{
    body();
}

#include "../fib.h"
