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
/* The calling thread's record, if it was started here: also when it has given up its runner. */
static _Thread_local const sp_thread *own;

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

bool sp__thread_is_caller(const sp_thread *thread)
{
    return thread == own || sp__runner_on_stack(thread->ident);
}

void sp__thread_end(sp_thread *thread)
{
    thread->is_ending = true;
    sp__locals_finish();
    if (sp__registry_end(thread)) {
        sp__thread_report(thread);
        sp__locals_finish(); /* what the excepthook has used */
    }
}

void sp__thread_leave(sp_thread *thread, bool sure)
{
    /* release: pairs with the acquires in join.c */
    sp__store_release(&thread->state, sure ? SP__THREAD_LEFT : SP__THREAD_LATE);
    sp__thread_wake_joiners(thread);
    if (thread->owner != NULL)
        thread->owner->left(thread->owned);
}

/* pthread_exit(), or pthread_cancel(): the task does not return. */
static void ended_early(void *argument)
{
    sp_thread *thread = argument;
    if (thread->owner != NULL)
        thread->owner->abandoned(thread->owned, false);
    thread->status = SP_RUNTIME_ERROR;
    thread->error = sp__task_ended_early(thread->task, SP__ENDED_BY_PTHREAD);
    sp__thread_end(thread);
}

static void run(void *argument)
{
    sp_thread *thread = argument;
    const uint32_t process = sp__process_number;
    own = thread;
    bool told = sp__runner_adopt(&thread->own);
    sp__registry_add(thread);
    sp__registry_lock(); /* a new name may arrive */
    sp__os_thread_name_self(sp_thread_name(thread));
    sp__registry_unlock();
    publish_native_id(thread);
    sp__exit_watch(thread);
    SP__ON_UNWIND(ended_early, thread);
    thread->status = sp__task_run(thread->task, thread, NULL, thread->arg, thread->result, &thread->error);
    SP__END_UNWIND(false);
    sp__thread_end(thread);
    /* The task has forked, this is the child, and the end of its main thread is the end of the process, as it is of one that
       returns from main: what else would end the threads that wait for work? */
    if (process != sp__process_number)
        sp__os_exit();
    if (!told) /* for want of memory: what destructors do is not seen */
        sp__thread_leave(thread, false);
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
    thread->owner = plan->owner;
    thread->owned = plan->owned;
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

/* It was not started, and nobody has seen it. */
static void forget(sp_thread *thread)
{
    sp__runner_gone(&thread->own);
    thread->refs = 1;
    sp__thread_ref_down(thread);
}

sp_thread *sp__thread_start(const struct sp__thread_plan *plan, const sp_task *task, const void *arg)
{
    if (!plan->internal) /* the timer thread is started under the lock of the timers, and a drop may start a timer */
        sp__registry_collect();
    int error = sp__registry_prepare();
    sp_thread *thread = error == 0 ? new_thread(plan, task, arg) : NULL;
    if (thread == NULL) {
        sp__task_drop_foreign_arg(task, arg);
        errno = ENOMEM;
        return NULL;
    }
    error = sp__os_thread_start(&thread->os, &(struct sp__os_thread_options){ .stack_size = plan->stack_size,
                                                                              .block_signals = plan->worker,
                                                                              .traits = plan->traits });
    if (error != 0) {
        forget(thread);
        errno = error;
        return NULL;
    }
    sp__registry_add(thread); /* unless the thread was quicker: before we return it is listed */
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
