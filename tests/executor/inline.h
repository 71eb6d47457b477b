/* What the tests of the inline pool share: a task that notes the order, and ways to wait.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_EXECUTOR_INLINE_H
#define SP_TESTS_EXECUTOR_INLINE_H

#include "child.h"

#include <spool.h>

#include "base/atomic.h"

static sp_executor *pool; /* of the test that runs */

/* What ran, in which order. */
enum { MOST = 512 };
static int order[MOST];
static uint32_t ran; /* atomic */

static sp_status note(const int *in, int *out)
{
    uint32_t index = sp__add_seq_cst(&ran, 1);
    if (index < MOST)
        order[index] = *in;
    *out = *in + 1;
    return *in < 0 ? sp_raise(SP_VALUE_ERROR, "%d is negative", *in) : SP_OK;
}
SP_TASK(note, int, int);

static inline void forget_order(void)
{
    memset(order, -1, sizeof order);
    sp__store_relaxed(&ran, 0);
}

static inline uint32_t ran_so_far(void)
{
    return sp__load_seq_cst(&ran);
}

static inline void close_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

enum way { RESULT, RESULT_TIMED, WAIT_ONE, ALL, ALL_TIMED, FIRST, FIRST_ERROR, NEXT, WAYS };

/* Wait for all n, or for one at least.  Returns how many must be done. */
static inline size_t wait_in_this_way(enum way way, sp_future *const *futures, size_t n)
{
    sp_auto(sp_completion) set = way == NEXT ? sp_as_completed(futures, n, 60.0) : NULL;
    switch (way) {
    case RESULT:
    case RESULT_TIMED:
        for (size_t i = 0; i < n; i++)
            assert_int_equal(sp_result(futures[i], NULL, way == RESULT ? SP_FOREVER : 60.0), SP_OK);
        return n;
    case WAIT_ONE:
        assert_true(sp_future_wait(futures[n / 2], SP_FOREVER));
        assert_true(sp_future_done(futures[n / 2]));
        return 1;
    case ALL:
    case ALL_TIMED:
        assert_int_equal(sp_wait(futures, n, SP_ALL_COMPLETED, way == ALL ? SP_FOREVER : 60.0), SP_OK);
        return n;
    case FIRST:
        assert_int_equal(sp_wait(futures, n, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
        return 1;
    case FIRST_ERROR: /* there is none: all */
        assert_int_equal(sp_wait(futures, n, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
        return n;
    default:
        while (sp_next(set) != NULL)
            continue;
        assert_int_equal(sp_completion_status(set), SP_OK);
        return n;
    }
}

#endif
