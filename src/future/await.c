/* Waiting for one future.

   A thread that is no worker of the future's pool sleeps, unless the tasks of that pool are run by those who wait for them:
   then it drives the pool.  A worker that waits without a limit for a queued future of its own pool runs it, as a runner of
   its own, on its own stack, if there is room for it and nothing that it could spoil; but not in its initializer nor in its
   finalizer.  In all other cases it sleeps, and its pool may let another worker run meanwhile.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "future/future.h"
#include "os/os.h"
#include "park/park.h"
#include "park/spin.h"
#include "park/wait_graph.h"
#include "thread/thread.h"

enum { LEAST_TO_HELP = 16 * 1024 };         /* bytes; of a stack, on which every call of the library works */
#define RETRY_NANOSECONDS INT64_C(10000000) /* until a worker is asked for again that the system refused; then double */
enum { RETRIES = 7 }; /* that takes a little more than a second; then a wait without limit gives up */

bool (*sp__future_driver)(sp_future *awaited);
uint32_t sp__driven_executors;

bool sp__is_own_future(const sp_future *future)
{
    /* relaxed: what this thread has stored itself it sees; anything else is not its tag, or not so for long */
    if (sp__load_relaxed(&future->thread_tag) != sp__thread_tag() || sp__future_phase(future) != SP__RUNNING)
        return false;
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

/* Sleep until it is done.  pre: it does not answer at once. */
static sp_status sleep_for(sp_future *future, int64_t deadline)
{
    struct sp__edge edge = {
        .does = "waits for the future", .object = future, .owner = sp__future_runner, .may_be_refused = true
    };
    enum sp__parked parked = SP__PARK_RECHECK;
    while (sp__word_mark(&future->word, SP__FUTURE_PARKED)) {
        if (parked == SP__PARK_TIMEOUT || parked == SP__PARK_DEADLOCK)
            return parked == SP__PARK_TIMEOUT ? SP_TIMEOUT : SP_DEADLOCK;
        SP__PAUSE("future: not done");
        parked = sp__park(&(struct sp__wait){ .address = &future->word,
                                              .kind = SP__FUTURE,
                                              .must_wait = not_done,
                                              .context = future,
                                              .deadline = deadline,
                                              .edge = deadline == SP__NEVER ? &edge : NULL,
                                              .spun = true });
    }
    return SP_OK;
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

/* Wait while others run it, or drive the executor that it belongs to. */
static sp_status await_others(sp_future *future, int64_t deadline, bool may_spin)
{
    sp_status status;
    while (!answers_at_once(future, deadline, &status)) {
        if (!sp__drive(future))
            return may_spin && spin_until_done(future) ? SP_OK : sleep_for(future, deadline);
        if (sp__deadline_passed(deadline))
            deadline = SP__PASSED; /* what was run took its time */
    }
    return status;
}

sp_status sp__await_asleep(sp_future *future, int64_t deadline)
{
    return await_others(future, deadline, false);
}

/* The runner by which the caller is a worker of the future's pool, or NULL. */
static struct sp__runner *worker_for(const sp_future *future)
{
    return future->owner != NULL ? sp__runner_of_pool(future->owner) : NULL;
}

/* How much of a stack of that size must be left for another task. */
static size_t stack_to_help(const struct sp__owner *owner, size_t size)
{
    if (owner->stack_to_help != 0)
        return owner->stack_to_help;
    return size / 2 > LEAST_TO_HELP ? size / 2 : LEAST_TO_HELP;
}

/* 0: nothing is known of the stack. */
static uintptr_t find_help_floor(const struct sp__owner *owner)
{
    size_t size;
    uintptr_t bottom = sp__os_stack_bottom(&size);
    if (bottom == 0)
        return 0;
    size_t needed = stack_to_help(owner, size);
    return needed < UINTPTR_MAX - bottom ? bottom + needed : UINTPTR_MAX;
}

enum stack { TOO_LITTLE, ENOUGH, UNKNOWN };

/* pre: the caller is a worker of that owner. */
static enum stack look_at_stack(const struct sp__owner *owner)
{
    struct sp__runner *self = sp__self();
    if (self->help_floor == 0)
        self->help_floor = find_help_floor(owner);
    if (self->help_floor == 0)
        return UNKNOWN;
    return (uintptr_t)__builtin_frame_address(0) >= self->help_floor ? ENOUGH : TOO_LITTLE;
}

/* May another task of that owner run on this stack, as things are?  It needs a stack of its own, and it would have the
   thread-local values of the one that waits, which may count on them.  Tasks of an executor without workers run in those who
   wait in any case. */
static bool may_run_here(const struct sp__owner *owner)
{
    return owner->lend == NULL || (!sp__self()->uses_locals && look_at_stack(owner) == ENOUGH);
}

/* A task that is run by a waiting one. */
struct helped {
    struct sp__runner runner;
    struct sp__nesting outer;
};

static void leave(void *argument)
{
    struct helped *helped = argument;
    sp__runner_pop(&helped->runner);
    sp__nesting = helped->outer;
}

/* Run it if it is queued.  `worker`: the runner by which the caller works for its pool. */
static bool run_here(sp_future *future, const struct sp__runner *worker)
{
    struct sp__owner *owner = future->owner;
    if (!sp__future_claim(future))
        return false;
    bool drop = owner->claimed(owner, worker->worker, future);
    struct helped helped;
    helped.outer = sp__nesting;
    sp__nesting = (struct sp__nesting){ 0 }; /* what its end calls is called before the waiting task goes on */
    sp__runner_push(&helped.runner, future->task->name);
    helped.runner.pool = worker->pool;
    helped.runner.worker = worker->worker;
    SP__ON_UNWIND(leave, &helped);
    sp__future_run(future, drop);
    SP__END_UNWIND(true);
    return true;
}

/* Is it one that may be run here?  Not after a fork: it is the parent's. */
static bool is_queued(const sp_future *future)
{
    return sp__future_phase(future) == SP__PENDING && !sp__future_is_lost(future);
}

/* What a task had before it ran another one apart from it. */
struct apart {
    struct sp__locals locals;
    bool uses_locals;
};

static void end_apart(void *argument)
{
    const struct apart *before = argument;
    sp__locals_restore(&before->locals);
    sp__self()->uses_locals = before->uses_locals;
}

/* The same for a task that has values in locals: the other one has its own, which end with it. */
static bool run_apart(sp_future *future, const struct sp__runner *worker)
{
    struct apart before = { sp__locals_set_aside(), sp__self()->uses_locals };
    bool ran;
    sp__self()->uses_locals = false;
    SP__ON_UNWIND(end_apart, &before);
    ran = run_here(future, worker);
    SP__END_UNWIND(true);
    return ran;
}

bool sp__help(sp_future *future, bool at_any_price)
{
    const struct sp__runner *worker = worker_for(future);
    if (worker == NULL || !worker->helps || !is_queued(future))
        return false;
    if (may_run_here(future->owner))
        return run_here(future, worker);
    return at_any_price && look_at_stack(future->owner) != TOO_LITTLE && run_apart(future, worker);
}

sp_status sp__lend(struct sp__loan *loan, sp_future *const *futures, size_t n, int64_t deadline,
                   struct sp__owner **ret_lender)
{
    *ret_lender = NULL;
    for (size_t i = 0; i < n; i++) {
        struct sp__owner *owner = futures[i]->owner;
        if (worker_for(futures[i]) == NULL || owner->lend == NULL || sp__future_is_done(futures[i]))
            continue;
        *loan = (struct sp__loan){ .awaited = futures, .n = n, .for_ever = deadline == SP__NEVER };
        sp_status status = owner->lend(owner, loan);
        if (status == SP_OK)
            *ret_lender = owner;
        return status;
    }
    return SP_OK;
}

int64_t sp__retry_at(unsigned tries, int64_t deadline)
{
    int64_t retry = sp__os_now() + (RETRY_NANOSECONDS << (tries < RETRIES ? tries : RETRIES));
    return retry < deadline ? retry : deadline;
}

bool sp__gives_up(unsigned tries, int64_t deadline)
{
    return tries >= RETRIES && deadline == SP__NEVER;
}

/* Watch it for as long as a small task takes, when another worker has it: lending would cost more. */
static bool glance_until_done(const sp_future *future)
{
    struct sp__spin spin = SP__SPIN;
    while (spin.round < SP__SHORT_ROUNDS && !sp__future_is_done(future) && sp__spin(&spin))
        continue;
    return sp__future_is_done(future);
}

/* A worker of the future's pool sleeps, and lets another run meanwhile.  While the system refuses one, it asks again, less and
   less often, until the deadline or, without one, for a second; then, too, it runs the task itself on a stack of which nothing
   is known, rather than wait for nobody. */
static sp_status lend_and_sleep(sp_future *future, int64_t deadline)
{
    for (unsigned tries = 0; !sp__gives_up(tries, deadline); tries++) {
        struct sp__loan loan;
        struct sp__owner *lender;
        sp_status lent = sp__lend(&loan, &future, 1, deadline, &lender), status;
        if (lent == SP_DEADLOCK)
            return lent;
        if (lent == SP_OK) {
            status = sp__await_asleep(future, deadline);
            if (lender != NULL)
                lender->give_back(lender, &loan);
            return status;
        }
        if (deadline == SP__NEVER && sp__help(future, true))
            return SP_OK;
        if (!is_queued(future))
            return sp__await_asleep(future, deadline); /* somebody runs it */
        status = sp__await_asleep(future, sp__retry_at(tries, deadline));
        if (status != SP_TIMEOUT || sp__deadline_passed(deadline))
            return status;
    }
    return SP_OS_ERROR;
}

/* A worker of the future's pool waits. */
static sp_status await_own(sp_future *future, int64_t deadline, const struct sp__runner *worker)
{
    sp_status status;
    if (deadline == SP__NEVER && worker->helps && is_queued(future) && may_run_here(future->owner) &&
        run_here(future, worker))
        return SP_OK;
    if (answers_at_once(future, deadline, &status))
        return status;
    if (!is_queued(future) && sp__may_spin() && glance_until_done(future))
        return SP_OK;
    /* Also when it runs already: its task may itself wait for something that is queued, and we are no use meanwhile. */
    return lend_and_sleep(future, deadline);
}

sp_status sp__await(sp_future *future, int64_t deadline)
{
    sp__run_deferred(); /* it may be for what this thread has put off that we would wait */
    const struct sp__runner *worker = worker_for(future);
    return worker != NULL ? await_own(future, deadline, worker) : await_others(future, deadline, true);
}
