/* The life of a future.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/refcount.h"
#include "future/future.h"
#include "os/os.h"
#include "park/park.h"

static const sp_task no_task = { .struct_size = sizeof no_task, .name = "?", .file = "?" };
static sp_error no_memory_error = { SP_MEMORY_ERROR, 0, "?", "?", 0, "no memory for the future" };
sp_future sp__future_no_memory = { .refs = 1,
                                   .state = SP__FAILED | SP__FUTURE_SEEN,
                                   .task = &no_task,
                                   .error = &no_memory_error,
                                   .status = SP_MEMORY_ERROR,
                                   .watches = { &sp__future_no_memory.watches, &sp__future_no_memory.watches } };

static size_t result_offset(const sp_task *task)
{
    return sp__task_aligned(sp__task_aligned(sizeof(sp_future)) + task->arg_size);
}

void *sp__future_arg_bytes(const sp_future *future)
{
    return (char *)(uintptr_t)future + sp__task_aligned(sizeof(sp_future));
}

void *sp__future_result_bytes(const sp_future *future)
{
    return (char *)(uintptr_t)future + result_offset(future->task);
}

sp_future *sp__future_create(const sp_task *task, const void *arg, struct sp__owner *owner)
{
    sp_future *future = sp__os_alloc(result_offset(task) + task->result_size);
    if (future == NULL)
        return NULL;
    *future = (sp_future){ .refs = 1, .task = task, .owner = owner, .process = sp__process_number };
    sp__list_init(&future->watches);
    memcpy(sp__future_arg_bytes(future), arg, task->arg_size);
    memset(sp__future_result_bytes(future), 0, task->result_size); /* drop_result may meet a task that never ran */
    return future;
}

sp_future *sp_future_new(const sp_task *task, const void *arg)
{
    sp_future *future = sp__future_create(task, arg, NULL);
    if (future != NULL)
        return future;
    sp__task_drop_foreign_arg(task, arg);
    return &sp__future_no_memory;
}

/* From one phase to another, keeping the bits.  False: it was in a different phase. */
static bool change_phase(sp_future *future, enum sp__phase from, enum sp__phase to)
{
    uint32_t seen = sp__load_relaxed(&future->state); /* relaxed: the CAS decides */
    while ((seen & SP__PHASE_MASK) == (uint32_t)from)
        /* acq_rel: a claim sees what was stored before; what the claimer does comes after */
        if (sp__cas_acq_rel(&future->state, &seen, (seen & ~SP__PHASE_MASK) | (uint32_t)to))
            return true;
    return false;
}

bool sp__future_claim(sp_future *future)
{
    return change_phase(future, SP__PENDING, SP__RUNNING);
}

/* Publish a terminal phase and tell everybody.  False: it was not in phase `from`. */
static bool complete(sp_future *future, enum sp__phase from, enum sp__phase terminal)
{
    uint32_t seen = sp__load_relaxed(&future->state); /* relaxed: the CAS decides */
    do
        if ((seen & SP__PHASE_MASK) != (uint32_t)from)
            return false;
    /* acq_rel: publishes result and error; pairs with sp__future_phase.  Takes PARKED and WATCHED along. */
    while (!sp__cas_acq_rel(&future->state, &seen,
                            (seen & ~(SP__PHASE_MASK | SP__FUTURE_PARKED | SP__FUTURE_WATCHED)) | (uint32_t)terminal));
    if (seen & SP__FUTURE_PARKED)
        sp__unpark(&(struct sp__wake){
            .address = &future->state, .kind = SP__FUTURE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
    if (seen & SP__FUTURE_WATCHED)
        sp__watch_tell(future);
    return true;
}

/* As complete, with an error that the future owns from now on. */
static void complete_failed(sp_future *future, enum sp__phase from, sp_status status, sp_error *error)
{
    bool cancelled = status == SP_CANCELLED;
    future->status = status;
    /* relaxed: published by the terminal phase */
    sp__store_relaxed(&future->error, error);
    if (!cancelled)
        sp__unseen_file(error);
    (void)complete(future, from, cancelled ? SP__CANCELLED : SP__FAILED);
}

void sp__future_run(sp_future *future)
{
    sp_error *error = NULL;
    sp__store_relaxed(&future->runner, sp__self_id()); /* relaxed: for the graph of waits, see runner_of in await.c */
    sp_status status = sp__task_run(future->task, future, &future->state, sp__future_arg_bytes(future),
                                    sp__future_result_bytes(future), &error);
    if (status == SP_OK)
        (void)complete(future, SP__RUNNING, SP__FINISHED);
    else
        complete_failed(future, SP__RUNNING, status, error);
}

bool sp__future_fail(sp_future *future, sp_status status, sp_error *error)
{
    if (!change_phase(future, SP__PENDING, SP__SETTLING)) {
        sp__error_free(error);
        return false;
    }
    complete_failed(future, SP__SETTLING, status, error);
    return true;
}

bool sp_future_cancel(sp_future *future)
{
    if (future == NULL)
        return false;
    if (complete(future, SP__PENDING, SP__CANCELLED))
        return true;
    enum sp__phase phase = sp__future_phase(future);
    if (phase < SP__FINISHED)
        sp__or_relaxed(&future->state, SP__FUTURE_CANCEL_REQUESTED); /* relaxed: a request publishes nothing */
    return phase == SP__CANCELLED;
}

bool sp_cancel_requested(void)
{
    const uint32_t *word = sp__self()->cancel_word;
    return word != NULL && (sp__load_relaxed(word) & SP__FUTURE_CANCEL_REQUESTED); /* relaxed: a request */
}

bool sp_future_set_running(sp_future *future)
{
    return future != NULL && future->owner == NULL && sp__future_claim(future);
}

/* Become the one that settles a future which belongs to no executor. */
static bool begin_settling(sp_future *future)
{
    return future->owner == NULL &&
           (change_phase(future, SP__PENDING, SP__SETTLING) || change_phase(future, SP__RUNNING, SP__SETTLING));
}

sp_status sp_future_set_result(sp_future *future, const void *value, size_t size)
{
    if (future == NULL)
        return SP_VALUE_ERROR;
    if (future != &sp__future_no_memory &&
        (value == NULL ? future->task->result_size > sizeof(sp_none) : size != future->task->result_size))
        return SP_TYPE_ERROR;
    if (!begin_settling(future))
        return SP_INVALID_STATE;
    if (value != NULL)
        memcpy(sp__future_result_bytes(future), value, size);
    (void)complete(future, SP__SETTLING, SP__FINISHED);
    return SP_OK;
}

sp_status sp_future_set_error(sp_future *future, const sp_error *error)
{
    if (future == NULL || error == NULL || error->status == SP_OK)
        return SP_VALUE_ERROR;
    if (!begin_settling(future))
        return SP_INVALID_STATE;
    sp_error named = *error;
    if (named.task == NULL)
        named.task = future->task->name;
    complete_failed(future, SP__SETTLING, error->status, sp__error_copy(&named));
    return SP_OK;
}

sp_error *sp__future_error_of(sp_future *future)
{
    enum sp__phase phase = sp__future_phase(future);
    if (phase != SP__FAILED && phase != SP__CANCELLED)
        return NULL;
    /* acquire: pairs with the CAS below */
    sp_error *error = sp__load_acquire(&future->error);
    if (error != NULL)
        return error;
    const char *file = future->task->file != NULL ? future->task->file : "?";
    sp_error *made = sp__error_new(SP_CANCELLED, future->task->name, file, 0, sp_status_text(SP_CANCELLED));
    /* acq_rel: publishes the record; several may ask at once and one is kept */
    if (sp__cas_acq_rel(&future->error, &error, made))
        return made;
    sp__error_free(made);
    return error;
}

sp_status sp__future_status(sp_future *future)
{
    switch (sp__future_phase(future)) {
    case SP__FAILED:
        return future->status; /* published by the phase, which was acquired */
    case SP__CANCELLED:
        return SP_CANCELLED;
    default:
        return SP_OK;
    }
}

void sp__future_mark_seen(sp_future *future)
{
    /* relaxed: compared at the last release only, which the reference count orders */
    uint32_t before = sp__or_relaxed(&future->state, SP__FUTURE_SEEN);
    if (!(before & SP__FUTURE_SEEN) && (before & SP__PHASE_MASK) == SP__FAILED)
        (void)sp__unseen_take(sp__load_relaxed(&future->error)); /* relaxed: the caller saw the terminal phase */
}

sp_future *sp_future_retain(sp_future *future)
{
    if (future != NULL && future != &sp__future_no_memory)
        sp__ref_up(&future->refs);
    return future;
}

static void destroy(sp_future *future)
{
    uint32_t state = sp__load_relaxed(&future->state);  /* relaxed: nobody else is left; sp__ref_down acquired */
    sp_error *error = sp__load_relaxed(&future->error); /* relaxed: as above */
    if ((state & SP__PHASE_MASK) == SP__FAILED && !(state & SP__FUTURE_SEEN) && sp__unseen_take(error))
        sp__unseen_error(error);
    if (future->task->drop_arg != NULL)
        future->task->drop_arg(sp__future_arg_bytes(future));
    if (future->task->drop_result != NULL)
        future->task->drop_result(sp__future_result_bytes(future));
    sp__watch_drop_callbacks(future);
    sp__error_free(error);
    sp__os_free(future);
}

void sp_future_release(sp_future *future)
{
    if (future != NULL && future != &sp__future_no_memory && sp__ref_down(&future->refs))
        destroy(future);
}

static void after_fork(void)
{
    sp__watch_after_fork();
}

__attribute__((constructor)) static void register_fork_handler(void)
{
    /* As in park/: refused only for want of memory before main. */
    (void)sp__os_at_fork_child(after_fork);
}

void sp_release_all(sp_future *const *futures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sp_future_release(futures[i]);
}
