/* Tasks and futures that the tests of futures and pools share.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CONFORMANCE_FUTURES_H
#define SP_TESTS_CONFORMANCE_FUTURES_H

#include "testing.h"

#include <spool.h>

#include "base/atomic.h"

/* A gate at which tasks wait, so that a test decides when they go on. */
static struct {
    sp_event open;
    uint32_t inside, peak, passed; /* atomic */
} gate;

static inline void gate_close(void)
{
    sp_event_clear(&gate.open);
    sp__store_release(&gate.inside, 0);
    sp__store_release(&gate.peak, 0);
    sp__store_release(&gate.passed, 0);
}

static inline void gate_open(void)
{
    sp_event_set(&gate.open);
}

static inline void gate_await(uint32_t tasks)
{
    test_await(sp__load_acquire(&gate.inside) == tasks);
}

static inline sp_status pass(const int *in, int *out)
{
    uint32_t now = sp__add_seq_cst(&gate.inside, 1) + 1, peak = sp__load_relaxed(&gate.peak);
    while (now > peak && !sp__cas_relaxed(&gate.peak, &peak, now))
        continue;
    sp_event_wait(&gate.open, SP_FOREVER);
    sp__sub_seq_cst(&gate.inside, 1);
    sp__add_seq_cst(&gate.passed, 1);
    *out = 2 * *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

struct factors {
    int x, y;
};

static inline int mul(struct factors in)
{
    return in.x * in.y;
}
SP_FUNCTION(mul, struct factors, int);

static inline sp_status divide(const struct factors *in, int *out)
{
    if (in->y == 0)
        return sp_raise(SP_VALUE_ERROR, "%d divided by zero", in->x);
    *out = in->x / in->y;
    return SP_OK;
}
SP_TASK(divide, struct factors, int);

/* Futures that no pool runs, in each of their states. */
static inline sp_future *pending_future(void)
{
    return sp_future_new(&mul_sp_task, &(struct factors){ 6, 7 });
}

static inline sp_future *running_future(void)
{
    sp_future *future = pending_future();
    assert_true(sp_future_set_running(future));
    return future;
}

static inline sp_future *cancelled_future(void)
{
    sp_future *future = pending_future();
    assert_true(sp_future_cancel(future));
    return future;
}

static inline void end_with(sp_future *future, int value)
{
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_OK);
}

static inline void fail_with(sp_future *future, const char *message)
{
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR, .message = message }), SP_OK);
}

static inline sp_future *failed_future(void)
{
    sp_future *future = pending_future();
    fail_with(future, "as it was told");
    assert_non_null(sp_future_error(future)); /* it has been looked at: nobody need be told of it */
    return future;
}

static inline sp_future *successful_future(void)
{
    sp_future *future = pending_future();
    end_with(future, 42);
    return future;
}

#endif
