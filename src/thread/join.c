/* Waiting for a thread, and collecting it.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/atomic.h"
#include "park/deadline.h"
#include "park/park.h"
#include "park/wait_graph.h"
#include "thread/thread.h"

struct state_wait {
    const sp_thread *thread;
    uint32_t below; /* wait while the state is less */
};

static bool not_there_yet(void *context)
{
    const struct state_wait *wait = context;
    return sp__load_relaxed(&wait->thread->state) < wait->below; /* relaxed: the caller's loop acquires */
}

static bool wait_for_state(sp_thread *thread, enum sp__thread_state wanted, int64_t deadline, struct sp__edge *edge)
{
    struct state_wait wait = { thread, wanted };
    /* acquire: pairs with the releases in sp__registry_end and collect; all that the thread did happens before */
    while (sp__load_acquire(&thread->state) < (uint32_t)wanted) {
        if (deadline == SP__PASSED)
            return false;
        if (sp__park(&(struct sp__wait){ .address = &thread->state,
                                         .kind = SP__THREAD_END,
                                         .must_wait = not_there_yet,
                                         .context = &wait,
                                         .deadline = deadline,
                                         .edge = deadline == SP__NEVER ? edge : NULL,
                                         .spun = true }) == SP__PARK_TIMEOUT)
            deadline = SP__PASSED; /* one more look: it may have ended together with the time */
    }
    return true;
}

void sp__thread_wake_joiners(sp_thread *thread)
{
    sp__unpark(&(struct sp__wake){
        .address = &thread->state, .kind = SP__THREAD_END, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

static void join_os_thread(void *arg)
{
    sp__os_thread_join(arg);
}

/* The runner whose end is waited for; 0: it has ended. */
static uint64_t runner_of(const void *object)
{
    const sp_thread *thread = object;
    /* relaxed: the end of a thread that waits cannot have come */
    return sp__load_relaxed(&thread->state) == SP__THREAD_RUNNING ? thread->ident : 0;
}

/* pre: the caller is the collector. */
static void collect(sp_thread *thread, struct sp__edge *edge)
{
    sp__park_block(join_os_thread, &thread->os, edge); /* also waits for the end, when it has not come yet */
    /* release: pairs with the acquire in wait_for_state */
    sp__store_release(&thread->state, SP__THREAD_GONE);
    sp__thread_wake_joiners(thread);
    sp__registry_remove(thread);
}

bool sp__thread_finish(sp_thread *thread, int64_t deadline)
{
    uint32_t nobody = 0;
    struct sp__edge edge = { .does = "waits for the end of the thread", .object = thread, .owner = runner_of };
    if (sp__thread_is_inherited(thread))
        return true;
    if (thread->foreign)
        return wait_for_state(thread, SP__THREAD_GONE, deadline, &edge);
    if (deadline != SP__NEVER && !wait_for_state(thread, SP__THREAD_ENDED, deadline, NULL))
        return false;
    /* acquire: pairs with the release of the collector */
    if (sp__load_acquire(&thread->state) == SP__THREAD_GONE)
        return true;
    struct sp__edge *for_its_end = deadline == SP__NEVER ? &edge : NULL;
    /* acq_rel: the one who gets it here collects */
    if (sp__cas_acq_rel(&thread->collector, &nobody, 1))
        collect(thread, for_its_end);
    else /* short, or the caller has no limit either */
        (void)wait_for_state(thread, SP__THREAD_GONE, SP__NEVER, for_its_end);
    return true;
}

static bool is_caller(const sp_thread *thread)
{
    return sp__runner_on_stack(thread->ident);
}

/* Wait until the OS thread is gone. */
static sp_status wait_gone(sp_thread *thread, int64_t deadline)
{
    if (is_caller(thread))
        return SP_DEADLOCK;
    /* acquire: pairs with the release in sp__registry_end */
    if (sp__thread_is_inherited(thread))
        return sp__load_acquire(&thread->state) == SP__THREAD_RUNNING ? SP_SHUT_DOWN : SP_OK;
    return sp__thread_finish(thread, deadline) ? SP_OK : SP_TIMEOUT;
}

sp_status sp_thread_wait(sp_thread *thread, double timeout)
{
    if (thread == NULL)
        return SP_MEMORY_ERROR;
    return sp__is_nan(timeout) ? SP_VALUE_ERROR : wait_gone(thread, sp__deadline(timeout));
}

sp_status sp__thread_join_until(sp_thread *thread, int64_t deadline)
{
    sp_status status = wait_gone(thread, deadline);
    if (status != SP_OK)
        return status;
    if (thread->status != SP_OK)
        (void)sp__registry_take_failed(thread);
    return thread->status;
}

sp_status sp_thread_join(sp_thread *thread, void *ret_result, size_t size, double timeout)
{
    if (thread == NULL)
        return SP_MEMORY_ERROR;
    if (ret_result != NULL && size != thread->task->result_size)
        return SP_TYPE_ERROR;
    if (sp__is_nan(timeout))
        return SP_VALUE_ERROR;
    sp_status status = sp__thread_join_until(thread, sp__deadline(timeout));
    if (status == SP_OK && ret_result != NULL)
        memcpy(ret_result, thread->result, size);
    return status;
}

const sp_error *sp_thread_error(sp_thread *thread)
{
    /* acquire: pairs with the release in sp__registry_end */
    if (thread == NULL || sp__load_acquire(&thread->state) < SP__THREAD_ENDED || thread->error == NULL)
        return NULL;
    (void)sp__registry_take_failed(thread);
    return thread->error;
}
