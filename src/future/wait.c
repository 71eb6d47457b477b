/* sp_wait: all, the first, or the first failure of a set.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "park/park.h"

/* All: wait for one after the other; the order does not matter, and nothing has to be allocated. */
static sp_status wait_all(sp_future *const *futures, size_t n, int64_t deadline)
{
    struct sp__loan loan;
    struct sp__owner *lender = NULL;
    if (deadline != SP__NEVER && deadline != SP__PASSED && sp__self()->pool != NULL)
        lender = sp__lend(&loan, futures, n);
    sp_status status = SP_OK;
    for (size_t i = 0; i < n && status == SP_OK; i++)
        status = lender != NULL ? sp__await_asleep(futures[i], deadline) : sp__await(futures[i], deadline);
    if (lender != NULL)
        lender->give_back(lender, &loan);
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
    return until == SP_ALL_COMPLETED ? wait_all(futures, n, deadline) : wait_first(futures, n, until, deadline);
}
