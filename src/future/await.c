/* Waiting for one future.

   A thread that is no worker of the future's pool sleeps.  A worker that waits without a limit for a queued future of its
   own pool runs it, as a runner of its own, on its own stack.  In all other cases it sleeps, and its pool may let another
   worker run meanwhile.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "os/os.h"
#include "park/park.h"
#include "park/spin.h"
#include "park/wait_graph.h"

enum { STACK_TO_HELP = 64 * 1024 }; /* bytes that must be left to run a task on this stack */

bool sp__is_own_future(const sp_future *future)
{
    for (const struct sp__runner *runner = sp__self(); runner != NULL; runner = runner->outer)
        if (runner->task == future)
            return true;
    return false;
}

uint64_t sp__future_runner(const void *object)
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
    return !sp__is_terminal(sp__load_relaxed(&future->word)); /* relaxed: the caller's loop acquires */
}

/* Watch it for a while.  False: it is not done. */
static bool spin_until_done(const sp_future *future)
{
    struct sp__spin spin = SP__SPIN;
    while (!sp__future_is_done(future))
        if (!sp__spin(&spin))
            return false;
    sp__spin_paid(&spin);
    return true;
}

/* Sleep until it is done.  False: the deadline passed. */
static bool sleep_until_done(sp_future *future, int64_t deadline)
{
    bool in_time = true;
    while (sp__word_mark(&future->word, SP__FUTURE_PARKED)) {
        if (!in_time)
            return false;
        in_time = sp__park(&(struct sp__wait){ .address = &future->word,
                                               .kind = SP__FUTURE,
                                               .must_wait = not_done,
                                               .context = future,
                                               .deadline = deadline,
                                               .spun = true }) != SP__PARK_TIMEOUT;
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

/* pre: it does not answer at once. */
static sp_status sleep_for(sp_future *future, int64_t deadline)
{
    if (deadline != SP__NEVER)
        return sleep_until_done(future, deadline) ? SP_OK : SP_TIMEOUT;
    struct sp__edge edge = {
        .does = "waits for the future", .object = future, .owner = sp__future_runner, .may_be_refused = true
    };
    if (!sp__edge_publish(&edge))
        return SP_DEADLOCK;
    (void)sleep_until_done(future, SP__NEVER);
    sp__edge_withdraw(&edge);
    return SP_OK;
}

sp_status sp__await_asleep(sp_future *future, int64_t deadline)
{
    sp_status status;
    if (answers_at_once(future, deadline, &status))
        return status;
    return sleep_for(future, deadline);
}

static bool is_of_pool(const sp_future *future, const struct sp__runner *self)
{
    return future->owner != NULL && self->pool == future->owner;
}

static bool has_stack(struct sp__runner *self)
{
    if (self->stack_bottom == 0)
        self->stack_bottom = sp__os_stack_bottom();
    uintptr_t bottom = self->stack_bottom, here = (uintptr_t)__builtin_frame_address(0);
    return bottom != 0 && here > bottom && here - bottom >= STACK_TO_HELP;
}

/* pre: the caller is a worker of the future's pool. */
static bool help(sp_future *future, struct sp__runner *self)
{
    if (sp__future_phase(future) != SP__PENDING || !has_stack(self))
        return false;
    bool drop = future->owner->take_back(self->worker, future);
    if (!sp__future_claim(future)) {
        if (drop)
            sp_future_release(future);
        return false;
    }
    struct sp__runner runner;
    sp__runner_push(&runner, future->task->name);
    sp__future_run(future, drop);
    sp__runner_pop(&runner);
    return true;
}

bool sp__help(sp_future *future)
{
    struct sp__runner *self = sp__self();
    return is_of_pool(future, self) && help(future, self);
}

struct sp__owner *sp__lend(struct sp__loan *loan, sp_future *const *futures, size_t n)
{
    const struct sp__runner *self = sp__self();
    bool concerned = false;
    for (size_t i = 0; i < n && !concerned; i++)
        concerned = is_of_pool(futures[i], self) && !sp__future_is_done(futures[i]);
    if (!concerned)
        return NULL;
    *loan = (struct sp__loan){ .awaited = futures, .n = n };
    struct sp__owner *owner = (struct sp__owner *)(uintptr_t)self->pool;
    return owner->lend(owner, loan) ? owner : NULL;
}

/* Watch it for as long as a small task takes, when another worker has it: lending would cost more. */
static bool glance_until_done(const sp_future *future)
{
    struct sp__spin spin = SP__SPIN;
    while (spin.round < SP__SHORT_ROUNDS && !sp__future_is_done(future))
        (void)sp__spin(&spin);
    return sp__future_is_done(future);
}

/* A worker of the future's pool waits. */
static sp_status await_own(sp_future *future, int64_t deadline, struct sp__runner *self)
{
    sp_status status;
    if (deadline == SP__NEVER && help(future, self))
        return SP_OK;
    if (answers_at_once(future, deadline, &status))
        return status;
    if (sp__future_phase(future) != SP__PENDING && sp__spin_limit > 0 && glance_until_done(future))
        return SP_OK;
    /* Also when it runs already: its task may itself wait for something that is queued, and we are no use meanwhile. */
    struct sp__loan loan;
    struct sp__owner *lender = sp__lend(&loan, &future, 1);
    status = sp__await_asleep(future, deadline);
    if (lender != NULL)
        lender->give_back(lender, &loan);
    return status;
}

sp_status sp__await(sp_future *future, int64_t deadline)
{
    sp_status status;
    struct sp__runner *self = sp__self();
    if (sp__future_is_done(future))
        return SP_OK;
    if (is_of_pool(future, self))
        return await_own(future, deadline, self);
    if (answers_at_once(future, deadline, &status))
        return status;
    return spin_until_done(future) ? SP_OK : sleep_for(future, deadline);
}
