/* What the tests of lazy map share: numbers as inputs, and tasks.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_EXECUTOR_MAPPING_H
#define SP_TESTS_EXECUTOR_MAPPING_H

#include "testing.h"

#include <stdbool.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static sp_event gate; /* tasks that wait do so here */

/* Inputs 0, 1, ... below n; counts what was pulled. */
struct numbers {
    int n, pulled;
};

static inline bool next_number(void *context, void *ret_arg)
{
    struct numbers *numbers = context;
    if (numbers->pulled == numbers->n)
        return false;
    *(int *)ret_arg = numbers->pulled++;
    return true;
}

static int triple(int x)
{
    return 3 * x;
}
SP_FUNCTION(triple, int, int);

/* Fails at 5 and 7. */
static sp_status picky(const int *in, int *out)
{
    if (*in == 5 || *in == 7)
        return sp_raise(SP_USER_ERROR + *in, "I don't like %d", *in);
    *out = 10 * *in;
    return SP_OK;
}
SP_TASK(picky, int, int);

static uint32_t begun; /* atomic */

#endif
