/* Starting a thread, and all that the thread itself does.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "park/park.h"
#include "thread/thread.h"

_Static_assert(sizeof(sp_thread_options) == 32 || sizeof(void *) != 8, "programs are compiled against it");

static uint64_t last_number; /* atomic, relaxed: of unnamed threads */

static struct sp__thread_name *make_name(const struct sp__thread_plan *plan, const char *task)
{
    char made[128];
    const char *name = plan->name;
    if (name == NULL) {
        unsigned long long number = sp__add_relaxed(&last_number, 1) + 1; /* relaxed: numbers need to differ */
        snprintf(made, sizeof made, "%s-%llu (%s)", plan->prefix != NULL ? plan->prefix : "Thread", number, task);
        name = made;
    }
    return sp__thread_new_name(name);
}

static void publish_native_id(sp_thread *thread)
{
    /* release: pairs with the acquire in sp_thread_native_id */
    sp__store_release(&thread->native_id, sp__os_thread_id());
    sp__unpark(&(struct sp__wake){
        .address = &thread->native_id, .kind = SP__THREAD_END, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

/* The last thing a thread does.  Its memory is kept by the registry until the OS thread is collected. */
static void end(sp_thread *thread)
{
    sp__locals_finish();
    if (sp__registry_end(thread))
        sp__thread_report(thread);
    sp__thread_wake_joiners(thread);
    sp__runner_leave();
}

/* The task has forked, this is the child, and the end of its main thread is the end of the process, as it is of one that
   returns from main: what else would end the threads that wait for work? */
_Noreturn static void end_process(sp_thread *thread)
{
    sp__thread_is_gone(thread);
    sp__os_exit();
}

static void run(void *arg)
{
    sp_thread *thread = arg;
    const uint32_t process = sp__process_number;
    sp__runner_adopt(&thread->own);
    sp__registry_lock(); /* a new name may arrive */
    sp__os_thread_name_self(sp_thread_name(thread));
    sp__registry_unlock();
    publish_native_id(thread);
    thread->status = sp__task_run(thread->task, thread, NULL, thread->arg, thread->result, &thread->error);
    end(thread);
    if (process != sp__process_number)
        end_process(thread);
}

/* One block: handle, argument, result. */
static sp_thread *new_thread(const struct sp__thread_plan *plan, const sp_task *task, const void *arg)
{
    size_t arg_at = sp__task_place(sizeof(sp_thread), task->arg_size);
    size_t result_at = sp__task_place(arg_at + task->arg_size, task->result_size);
    sp_thread *thread = sp__os_zalloc(result_at + task->result_size);
    if (thread == NULL)
        return NULL;
    thread->name = make_name(plan, task->name);
    if (thread->name == NULL) {
        sp__os_free(thread);
        return NULL;
    }
    thread->refs = 2; /* handles, registry */
    thread->handles = 1;
    thread->process = sp__process_number;
    thread->daemon = plan->daemon;
    thread->worker = plan->worker;
    thread->internal = plan->internal;
    thread->task = task;
    thread->arg = (char *)thread + arg_at;
    thread->result = (char *)thread + result_at;
    memcpy(thread->arg, arg, task->arg_size);
    sp__runner_init(&thread->own, thread->name->text);
    thread->own.thread = thread;
    thread->runner = &thread->own;
    thread->ident = thread->own.id;
    thread->os.run = run;
    thread->os.arg = thread;
    return thread;
}

sp_thread *sp__thread_start(const struct sp__thread_plan *plan, const sp_task *task, const void *arg)
{
    sp__registry_collect();
    int error = sp__registry_prepare();
    sp_thread *thread = error == 0 ? new_thread(plan, task, arg) : NULL;
    if (thread == NULL) {
        sp__task_drop_foreign_arg(task, arg);
        errno = ENOMEM;
        return NULL;
    }
    sp__registry_add(thread);
    error = sp__os_thread_start(
        &thread->os, &(struct sp__os_thread_options){ .stack_size = plan->stack_size, .block_signals = plan->worker });
    if (error != 0) {
        /* release: for sp_join_all, which may wait for the thread already; pairs with wait_for_state */
        sp__store_release(&thread->state, SP__THREAD_GONE);
        sp__thread_wake_joiners(thread);
        sp__runner_forget(&thread->own);
        sp__registry_remove(thread);
        sp__thread_ref_down(thread);
        errno = error;
        return NULL;
    }
    return thread;
}

sp_thread *sp_thread_start(const sp_thread_options *options, const sp_task *task, const void *arg)
{
    struct sp__thread_plan plan = { 0 };
    if (options != NULL) {
        plan.name = options->name;
        plan.daemon = options->daemon;
        plan.stack_size = options->stack_size;
    }
    return sp__thread_start(&plan, task, arg);
}
