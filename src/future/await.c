/* Waiting for one future.

   A thread that is no worker of the future's pool sleeps.  A worker that waits without a limit for a queued future of its
   own pool runs it, as a runner of its own, on its own stack.  In all other cases it sleeps, and its pool may let another
   worker run meanwhile.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "park/park.h"
#include "park/word_lock.h"

enum { STACK_TO_HELP = 64 * 1024 }; /* bytes that must be left to run a task on this stack */

/* A wait without a limit, published while its thread sleeps. */
struct edge {
    struct sp__list link;            /* guarded by edge_lock */
    const struct sp__runner *waiter; /* asleep while the edge is linked */
    const sp_future *awaited;        /* kept by the waiter's caller */
};

static struct sp__word_lock edge_lock;
static struct sp__list edges SP__GUARDED_BY(edge_lock) = { &edges, &edges };

void sp__await_after_fork(void) SP__UNCHECKED
{
    edge_lock = (struct sp__word_lock){ 0 };
    sp__list_init(&edges); /* who waited does not exist here */
}

static bool runs(const struct sp__runner *runner, const sp_future *future)
{
    for (; runner != NULL; runner = runner->outer)
        if (runner->task == future)
            return true;
    return false;
}

bool sp__is_own_future(const sp_future *future)
{
    return runs(sp__self(), future);
}

/* What the task of `future` waits for, or NULL when it does not wait. */
static const sp_future *awaited_by(const sp_future *future) SP__REQUIRES(edge_lock)
{
    for (const struct sp__list *at = edges.next; at != &edges; at = at->next) {
        const struct edge *edge = sp__container_of(at, const struct edge, link);
        if (runs(edge->waiter, future))
            return sp__future_is_done(edge->awaited) ? NULL : edge->awaited;
    }
    return NULL;
}

static bool closes_cycle(const struct edge *own) SP__REQUIRES(edge_lock)
{
    const sp_future *at = own->awaited, *slow = at;
    for (bool odd = false; at != NULL; odd = !odd) {
        if (runs(own->waiter, at))
            return true;
        at = awaited_by(at);
        if (odd && slow != NULL)
            slow = awaited_by(slow);
        if (at != NULL && at == slow)
            return false; /* a cycle of others; one of them was told */
    }
    return false;
}

/* False: the wait would close a cycle of waiting tasks. */
static bool publish(struct edge *edge)
{
    sp__word_lock_acquire(&edge_lock);
    bool ends = !closes_cycle(edge);
    if (ends)
        sp__list_append(&edges, &edge->link);
    sp__word_lock_release(&edge_lock);
    return ends;
}

static void withdraw(struct edge *edge)
{
    sp__word_lock_acquire(&edge_lock);
    sp__list_remove(&edge->link);
    sp__word_lock_release(&edge_lock);
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
    const struct sp__runner *self = sp__self();
    if (deadline != SP__NEVER || self->task == NULL)
        return sleep_until_done(future, deadline) ? SP_OK : SP_TIMEOUT;
    struct edge edge = { .waiter = self, .awaited = future };
    if (!publish(&edge))
        return SP_DEADLOCK;
    (void)sleep_until_done(future, SP__NEVER);
    withdraw(&edge);
    return SP_OK;
}

static bool is_of_own_pool(const sp_future *future)
{
    return future->owner != NULL && sp__self()->pool == future->owner;
}

static bool has_stack(void)
{
    uintptr_t bottom = sp__self()->stack_bottom, here = (uintptr_t)__builtin_frame_address(0);
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
