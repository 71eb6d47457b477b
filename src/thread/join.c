/* Waiting for a thread, and collecting it.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include <spool/time.h>

#include "base/atomic.h"
#include "base/pause.h"
#include "base/refcount.h"
#include "park/deadline.h"
#include "park/park.h"
#include "park/spin.h"
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
    /* acquire: pairs with the releases in sp__thread_leave and is_gone; all that the thread did happens before */
    while (sp__load_acquire(&thread->state) < (uint32_t)wanted) {
        if (deadline == SP__PASSED)
            return false;
        SP__PAUSE("join: not there");
        if (sp__park(&(struct sp__wait){ .address = &thread->state,
                                         .kind = SP__THREAD_END,
                                         .must_wait = not_there_yet,
                                         .context = &wait,
                                         .deadline = deadline,
                                         .edge = deadline == SP__NEVER ? edge : NULL,
                                         .spun = true }) == SP__PARK_TIMEOUT) {
            SP__PAUSE("join: out of time");
            deadline = SP__PASSED; /* one more look: it may have ended together with the time */
        }
    }
    return true;
}

void sp__thread_wake_joiners(sp_thread *thread)
{
    sp__unpark(&(struct sp__wake){
        .address = &thread->state, .kind = SP__THREAD_END, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

/* ---- who collects it ---- */

/* pre: the caller is the collector, and the OS thread is gone. */
static void is_gone(sp_thread *thread)
{
    bool has_left = sp__load_relaxed(&thread->state) == SP__THREAD_LEFT; /* relaxed: it was stored before its end */
    /* release: pairs with the acquire in wait_for_state */
    sp__store_release(&thread->state, SP__THREAD_GONE);
    if (!has_left)
        sp__runner_gone(&thread->own); /* now nobody waits for its end any more, as runner_of says */
    sp__thread_wake_joiners(thread);
    sp__registry_remove(thread);
}

static bool become_collector(sp_thread *thread)
{
    uint32_t nobody = 0;
    return sp__cas_acq_rel(&thread->collector, &nobody, 1); /* acq_rel: after another's try, which came to nothing */
}

bool sp__thread_try_finish(sp_thread *thread)
{
    /* acquire: as in wait_for_state */
    if (sp__load_acquire(&thread->state) == SP__THREAD_GONE)
        return true;
    if (!become_collector(thread))
        return false;
    if (sp__os_thread_try_join(&thread->os)) {
        is_gone(thread);
        return true;
    }
    sp__store_release(&thread->collector, 0); /* release: pairs with become_collector */
    sp__thread_wake_joiners(thread);          /* one of them is needed */
    return false;
}

static void join_os_thread(void *arg)
{
    sp__os_thread_join(arg);
}

/* Its end is a matter of microseconds, most of the time: a sleep would take longer. */
static bool join_spinning(sp_thread *thread)
{
    struct sp__spin spin = SP__SPIN;
    while (!sp__os_thread_try_join(&thread->os))
        if (!sp__spin(&spin))
            return false;
    sp__spin_paid(&spin);
    return true;
}

static bool another_collects(void *context)
{
    const sp_thread *thread = context;
    /* relaxed: the caller's loop acquires */
    return sp__load_relaxed(&thread->collector) != 0 && sp__load_relaxed(&thread->state) != SP__THREAD_GONE;
}

static void collect_or_wait(sp_thread *thread, struct sp__edge *edge)
{
    while (sp__load_acquire(&thread->state) != SP__THREAD_GONE) { /* acquire: as in wait_for_state */
        if (!become_collector(thread)) {
            sp__park(&(struct sp__wait){ .address = &thread->state,
                                         .kind = SP__THREAD_END,
                                         .must_wait = another_collects,
                                         .context = thread,
                                         .deadline = SP__NEVER,
                                         .spun = true,
                                         .edge = edge });
            continue;
        }
        if (!join_spinning(thread))
            sp__park_block(join_os_thread, &thread->os, edge);
        is_gone(thread);
    }
}

/* It is in its last round, and nobody will tell us of its end.  Looked for every millisecond: this is rare. */
static bool poll(sp_thread *thread, int64_t deadline)
{
    while (!sp__thread_try_finish(thread)) {
        if (sp__deadline_passed(deadline))
            return false;
        sp_sleep(0.001);
    }
    return true;
}

/* The runner whose end is waited for; 0: it has ended. */
static uint64_t runner_of(const void *object)
{
    const sp_thread *thread = object;
    /* relaxed: the end of a thread that waits cannot have come */
    return sp__load_relaxed(&thread->state) < SP__THREAD_LEFT ? thread->ident : 0;
}

bool sp__thread_finish(sp_thread *thread, int64_t deadline)
{
    struct sp__edge edge = { .does = "waits for the end of the thread", .object = thread, .owner = runner_of };
    struct sp__edge *for_its_end = deadline == SP__NEVER ? &edge : NULL;
    if (sp__thread_is_inherited(thread))
        return true;
    if (!wait_for_state(thread, thread->foreign ? SP__THREAD_GONE : SP__THREAD_LATE, deadline, for_its_end))
        return false;
    /* acquire: pairs with the release of the collector */
    uint32_t state = sp__load_acquire(&thread->state);
    if (state == SP__THREAD_LATE && deadline != SP__NEVER)
        return poll(thread, deadline);
    collect_or_wait(thread, for_its_end); /* no user code is left to wait for, or there is no limit */
    return true;
}

/* Wait until the OS thread is gone. */
static sp_status wait_gone(sp_thread *thread, int64_t deadline)
{
    if (sp__thread_is_caller(thread))
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
    if (sp__is_nan(timeout))
        return SP_VALUE_ERROR;
    sp__ref_up(&thread->refs); /* another thread, or this one itself, may release the handle meanwhile */
    sp_status status = wait_gone(thread, sp__deadline(timeout));
    sp__thread_ref_down(thread);
    return status;
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
    sp__ref_up(&thread->refs); /* as in sp_thread_wait */
    sp_status status = sp__thread_join_until(thread, sp__deadline(timeout));
    if (status == SP_OK && ret_result != NULL)
        memcpy(ret_result, thread->result, size);
    sp__thread_ref_down(thread);
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
