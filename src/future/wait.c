/* sp_wait: all, the first, or the first failure of a set.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "park/park.h"
#include "park/wait_graph.h"

enum { FEW = 4 }; /* so many are waited for one after the other: that costs as many wake-ups, but no memory */

/* One after the other; the order does not matter. */
struct borrowed {
    struct sp__loan loan;
    struct sp__owner *lender; /* NULL: nothing was lent */
};

static void give_back(void *argument)
{
    struct borrowed *borrowed = argument;
    if (borrowed->lender != NULL)
        borrowed->lender->give_back(borrowed->lender, &borrowed->loan);
}

static sp_status wait_in_turn(sp_future *const *futures, size_t n, int64_t deadline)
{
    struct borrowed borrowed = { .lender = NULL };
    sp_status status = SP_OK;
    if (deadline != SP__NEVER && deadline != SP__PASSED && sp__self()->pool != NULL)
        (void)sp__lend(&borrowed.loan, futures, n, deadline,
                       &borrowed.lender); /* if it is refused, each wait asks again */
    SP__ON_UNWIND(give_back, &borrowed);  /* tasks of inline pools run in here */
    for (size_t i = 0; i < n && status == SP_OK; i++)
        status = borrowed.lender != NULL ? sp__await_asleep(futures[i], deadline) : sp__await(futures[i], deadline);
    SP__END_UNWIND(true);
    return status;
}

/* A set, for the graph of waits: it waits for each of them. */
struct rest {
    sp_future *const *futures;
    size_t n;
};

static uint64_t next_runner(const void *object, size_t *at)
{
    const struct rest *rest = object;
    uint64_t runner = 0;
    while (runner == 0 && *at < rest->n)
        runner = sp__future_runner(rest->futures[(*at)++]);
    return runner;
}

/* All with one sleep.  pre: the caller is no worker. */
static sp_status wait_at_once(sp_completion *completion, sp_future *const *futures, size_t n, int64_t deadline)
{
    struct rest rest = { futures, n };
    struct sp__edge edge = {
        .does = "waits for futures, this is the set", .object = &rest, .next_owner = next_runner, .may_be_refused = true
    };
    return sp__completion_await_all(completion, deadline == SP__NEVER ? &edge : NULL);
}

/* Have those run whose executor is driven by who waits.  False: the deadline passed. */
static bool drive_all(sp_future *const *futures, size_t n, int64_t deadline)
{
    for (size_t i = 0; i < n; i++)
        while (!sp__future_is_done(futures[i]) && sp__drive(futures[i]))
            if (sp__deadline_passed(deadline))
                return false;
    return true;
}

static size_t count_pending(sp_future *const *futures, size_t n, bool *ret_lost)
{
    size_t pending = 0;
    *ret_lost = false;
    for (size_t i = 0; i < n; i++)
        if (!sp__future_is_done(futures[i])) {
            pending++;
            *ret_lost = *ret_lost || sp__future_is_lost(futures[i]);
        }
    return pending;
}

static sp_status wait_all(sp_future *const *futures, size_t n, int64_t deadline)
{
    bool lost;
    size_t pending = count_pending(futures, n, &lost);
    if (pending == 0)
        return SP_OK;
    if (lost)
        return SP_SHUT_DOWN;
    if (deadline == SP__PASSED)
        return SP_TIMEOUT;
    sp_completion *completion = NULL;
    if (pending > FEW && sp__self()->pool == NULL) /* a worker runs what it waits for itself */
        completion = sp__completion_new(futures, n, deadline);
    if (completion == NULL)
        return wait_in_turn(futures, n, deadline);
    const uint32_t process = sp__process_number;
    bool in_time = drive_all(futures, n, deadline);
    if (process != sp__process_number) { /* a task that was run has forked, this is the child, others are lost */
        sp_completion_release(completion);
        return wait_all(futures, n, deadline);
    }
    sp_status status = wait_at_once(completion, futures, n, in_time ? deadline : SP__PASSED);
    sp_completion_release(completion);
    return status;
}

/* Is this one enough?  As in Python, a cancelled future is no error. */
static bool ends_wait(const sp_future *future, sp_wait_until until)
{
    return until == SP_FIRST_COMPLETED || sp__future_phase(future) == SP__FAILED;
}

/* Is the condition reached as things stand? */
static bool reached(sp_future *const *futures, size_t n, sp_wait_until until)
{
    bool all_done = true;
    for (size_t i = 0; i < n; i++) {
        if (!sp__future_is_done(futures[i]))
            all_done = false;
        else if (ends_wait(futures[i], until))
            return true;
    }
    return all_done;
}

static sp_status wait_first(sp_future *const *futures, size_t n, sp_wait_until until, int64_t deadline)
{
    if (reached(futures, n, until))
        return SP_OK;
    if (deadline == SP__PASSED)
        return SP_TIMEOUT;
    sp_completion *completion = sp__completion_new(futures, n, deadline);
    if (completion == NULL)
        return SP_MEMORY_ERROR;
    sp_future *future;
    while ((future = sp_completion_next(completion)) != NULL && !ends_wait(future, until))
        continue;
    sp_status status = future != NULL ? SP_OK : sp_completion_status(completion);
    sp_completion_release(completion);
    return status;
}

sp_status sp_futures_wait(sp_future *const *futures, size_t n, sp_wait_until until, double timeout)
{
    if (sp__is_nan(timeout) || (until != SP_ALL_COMPLETED && until != SP_FIRST_COMPLETED && until != SP_FIRST_ERROR))
        return SP_VALUE_ERROR;
    if (sp__self()->task != NULL)
        for (size_t i = 0; i < n; i++)
            if (sp__is_own_future(futures[i]))
                return SP_DEADLOCK;
    int64_t deadline = sp__deadline(timeout);
    sp__run_deferred(); /* as in sp__await */
    return until == SP_ALL_COMPLETED ? wait_all(futures, n, deadline) : wait_first(futures, n, until, deadline);
}
