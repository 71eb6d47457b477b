/* Waiting for one future.

   A thread that is no worker of the future's pool sleeps.  A worker that waits without a limit for a queued future of its
   own pool runs it, as a runner of its own, on its own stack.  In all other cases it sleeps, and its pool may let another
   worker run meanwhile.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "os/os.h"
#include "park/park.h"
#include "park/wait_graph.h"

enum { STACK_TO_HELP = 64 * 1024 }; /* bytes that must be left to run a task on this stack */

bool sp__is_own_future(const sp_future *future)
{
    for (const struct sp__runner *runner = sp__self(); runner != NULL; runner = runner->outer)
        if (runner->task == future)
            return true;
    return false;
}

/* Who runs the task of the future; 0: nobody yet, or not any more. */
static uint64_t runner_of(const void *object)
{
    const sp_future *future = object;
    if (sp__future_is_done(future))
        return 0;
    /* relaxed: a runner that waits has stored it before it published its wait */
    return sp__load_relaxed(&future->runner);
}

static bool not_done(void *context)
{
    const sp_future *future = context;
    return (sp__load_relaxed(&future->state) & SP__PHASE_MASK) < SP__FINISHED; /* relaxed: the caller's loop acquires */
}

/* Sleep until it is done.  False: the deadline passed. */
static bool sleep_until_done(sp_future *future, int64_t deadline)
{
    bool in_time = true;
    /* acquire: pairs with the completion; result and error may be read */
    uint32_t seen = sp__load_acquire(&future->state);
    while ((seen & SP__PHASE_MASK) < SP__FINISHED) {
        if (!in_time)
            return false;
        /* acq_rel: as above when it fails; on success the mark publishes nothing */
        if (!(seen & SP__FUTURE_PARKED) && !sp__cas_acq_rel(&future->state, &seen, seen | SP__FUTURE_PARKED))
            continue;
        in_time = sp__park(&(struct sp__wait){ .address = &future->state,
                                               .kind = SP__FUTURE,
                                               .must_wait = not_done,
                                               .context = future,
                                               .deadline = deadline }) != SP__PARK_TIMEOUT;
        seen = sp__load_acquire(&future->state); /* acquire: as above */
    }
    return true;
}

/* What a wait answers without waiting; false: it must wait. */
static bool answers_at_once(const sp_future *future, int64_t deadline, sp_status *ret_status)
{
    if (sp__future_is_done(future))
        *ret_status = SP_OK;
    else if (sp__is_own_future(future))
        *ret_status = SP_DEADLOCK;
    else if (sp__future_is_lost(future))
        *ret_status = SP_SHUT_DOWN;
    else if (deadline == SP__PASSED)
        *ret_status = SP_TIMEOUT;
    else
        return false;
    return true;
}

sp_status sp__await_asleep(sp_future *future, int64_t deadline)
{
    sp_status status;
    if (answers_at_once(future, deadline, &status))
        return status;
    if (deadline != SP__NEVER)
        return sleep_until_done(future, deadline) ? SP_OK : SP_TIMEOUT;
    struct sp__edge edge = {
        .does = "waits for the future", .object = future, .owner = runner_of, .may_be_refused = true
    };
    if (!sp__edge_publish(&edge))
        return SP_DEADLOCK;
    (void)sleep_until_done(future, SP__NEVER);
    sp__edge_withdraw(&edge);
    return SP_OK;
}

static bool is_of_own_pool(const sp_future *future)
{
    return future->owner != NULL && sp__self()->pool == future->owner;
}

static bool has_stack(void)
{
    struct sp__runner *self = sp__self();
    if (self->stack_bottom == 0)
        self->stack_bottom = sp__os_stack_bottom();
    uintptr_t bottom = self->stack_bottom, here = (uintptr_t)__builtin_frame_address(0);
    return bottom != 0 && here > bottom && here - bottom >= STACK_TO_HELP;
}

bool sp__help(sp_future *future)
{
    if (!is_of_own_pool(future) || !has_stack() || !sp__future_claim(future))
        return false;
    struct sp__runner runner;
    sp__runner_push(&runner, future->task->name);
    sp__future_run(future);
    sp__runner_pop(&runner);
    return true;
}

struct sp__owner *sp__lend(struct sp__loan *loan, sp_future *const *futures, size_t n)
{
    bool concerned = false;
    for (size_t i = 0; i < n && !concerned; i++)
        concerned = is_of_own_pool(futures[i]) && !sp__future_is_done(futures[i]);
    if (!concerned)
        return NULL;
    *loan = (struct sp__loan){ .awaited = futures, .n = n };
    struct sp__owner *owner = (struct sp__owner *)(uintptr_t)sp__self()->pool;
    return owner->lend(owner, loan) ? owner : NULL;
}

sp_status sp__await(sp_future *future, int64_t deadline)
{
    sp_status status;
    if (answers_at_once(future, deadline, &status))
        return status;
    if (!is_of_own_pool(future))
        return sp__await_asleep(future, deadline);
    if (deadline == SP__NEVER && sp__help(future))
        return SP_OK;
    /* Also when it runs already: its task may itself wait for something that is queued, and we are no use meanwhile. */
    struct sp__loan loan;
    struct sp__owner *lender = sp__lend(&loan, &future, 1);
    status = sp__await_asleep(future, deadline);
    if (lender != NULL)
        lender->give_back(lender, &loan);
    return status;
}
