/* P3 with sp_submit and sp_result.

   SPDX-License-Identifier: MIT */
#include "executor.h"

static uint64_t fib(unsigned n);
SP_FUNCTION(fib, unsigned, uint64_t);

static uint64_t fib(unsigned n)
{
    if (n < 2)
        return n;
    sp_future *first = sp_submit(pool, fib, n - 1);
    uint64_t second = fib(n - 2);
    return pool_result(first) + second;
}

static uint64_t the_fib(unsigned n)
{
    return pool_result(sp_submit(pool, fib, n));
}

#include "../fib.h"
