/* Lazy map: inputs are pulled as results are taken, in input order, and only so many are on their way at a time.

   A ring of futures in input order; its first is the next to be taken.  Whoever calls sp_map_next does all the work: pulls
   inputs until the ring is full, waits for the first, takes it out.  So nothing is pulled, and no result is held, for which
   nobody has asked.  Tasks know their futures only, never the mapping: it can go while they run.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "executor/executor.h"
#include "os/os.h"

_Static_assert(sizeof(sp_map_lazy_options) == 16 || sizeof(void *) != 8, "programs are compiled against it");

/* All fields belong to the one thread that reads the mapping. */
struct sp_mapping {
    sp_executor *executor; /* a handle; NULL: there was none */
    const sp_task *task;
    bool (*next_input)(void *context, void *ret_arg);
    void *context;
    void *input;       /* in this block: where next_input writes */
    sp_future *failed; /* a reference; NULL, or the future whose failure the last call returned */
    size_t buffersize;
    size_t first, count; /* of the ring: what is on its way */
    bool exhausted;      /* next_input is not called any more */
    bool active;         /* sp_map_next is being called, perhaps by what it runs */
    bool released;       /* by what that call runs: next_input, a task, or a drop; the call frees it */
    sp_future *ring[];   /* references */
};

static const sp_error no_mapping = { SP_MEMORY_ERROR, 0, "?", "?", 0, "no memory for the mapping" };

static size_t input_offset(const sp_task *task, size_t buffersize)
{
    return sp__task_place(sizeof(sp_mapping) + buffersize * sizeof(sp_future *), task->arg_size);
}

static sp_mapping *allocate(const sp_task *task, size_t buffersize)
{
    if (buffersize > SIZE_MAX / 2 / sizeof(sp_future *) || task->arg_size > SIZE_MAX / 4)
        return NULL;
    return sp__os_zalloc(input_offset(task, buffersize) + task->arg_size);
}

sp_mapping *sp_executor_map_lazy(sp_executor *executor, const sp_task *task,
                                 bool (*next_input)(void *context, void *ret_arg), void *context,
                                 const sp_map_lazy_options *options)
{
    size_t buffersize = options != NULL && options->buffersize != 0 ? options->buffersize : 0;
    if (buffersize == 0)
        buffersize = 2 * (size_t)sp__default_workers(); /* of a thread pool: one runs, one is ready */
    sp_mapping *mapping = next_input != NULL ? allocate(task, buffersize) : NULL;
    if (mapping == NULL) {
        errno = next_input != NULL ? ENOMEM : EINVAL;
        return NULL;
    }
    mapping->executor = sp_executor_retain(executor);
    mapping->task = task;
    mapping->next_input = next_input;
    mapping->context = context;
    mapping->input = (char *)mapping + input_offset(task, buffersize);
    mapping->buffersize = buffersize;
    return mapping;
}

/* Submit one more input, if there is one.  What failed already, because it was refused or has run at once, is the last. */
static void pull(sp_mapping *mapping)
{
    memset(mapping->input, 0, mapping->task->arg_size);
    void *exception = NULL;
    int more = sp__os_call_catching((void (*)(void))mapping->next_input, mapping->context, mapping->input, &exception);
    mapping->exhausted = exception != NULL || !(more & 0xff); /* a bool is one byte */
    if (exception != NULL) {
        mapping->active = false;
        if (mapping->released)
            sp_mapping_release(mapping);
        sp__os_exception_go_on(exception);
    }
    if (mapping->exhausted)
        return;
    sp_future *future = sp_executor_submit(mapping->executor, mapping->task, mapping->input);
    mapping->ring[(mapping->first + mapping->count++) % mapping->buffersize] = future;
    mapping->exhausted = sp__future_status(future) != SP_OK;
}

/* Nobody will take what is on its way.  `told`: a failure was returned, which speaks for those that may follow. */
static void cancel_rest(sp_mapping *mapping, bool told)
{
    mapping->exhausted = true;
    while (mapping->count > 0) { /* the newest first: the oldest is the next to begin */
        sp_future *future = mapping->ring[(mapping->first + --mapping->count) % mapping->buffersize];
        (void)sp_future_cancel(future);
        if (told)
            sp__future_mark_seen(future);
        sp_future_release(future);
    }
}

static void forget_failure(sp_mapping *mapping)
{
    sp_future_release(mapping->failed);
    mapping->failed = NULL;
}

static sp_status fail(sp_mapping *mapping, sp_future *future, sp_status status)
{
    sp__future_mark_seen(future);
    mapping->failed = future;
    cancel_rest(mapping, true);
    return status;
}

/* Out of the ring, with its reference. */
static sp_future *take_first(sp_mapping *mapping)
{
    sp_future *future = mapping->ring[mapping->first];
    mapping->first = (mapping->first + 1) % mapping->buffersize;
    mapping->count--;
    return future;
}

static sp_status next(sp_mapping *mapping, void *ret_output, int64_t deadline)
{
    while (!mapping->exhausted && mapping->count < mapping->buffersize && !mapping->released)
        pull(mapping);
    if (mapping->count == 0 || mapping->released)
        return SP_STOP;
    sp_status status = sp__await(mapping->ring[mapping->first], deadline);
    if (mapping->released)
        return SP_STOP;
    if (status != SP_OK)
        return status; /* it could not be waited for; a later call may */
    sp_future *future = take_first(mapping);
    status = sp__future_status(future);
    if (status != SP_OK)
        return fail(mapping, future, status);
    if (ret_output != NULL)
        sp__future_take_result(future, ret_output);
    sp_future_release(future);
    return SP_OK;
}

static sp_status check(const sp_mapping *mapping, const void *ret_output, size_t size, double timeout)
{
    if (ret_output != NULL && size != mapping->task->result_size)
        return SP_TYPE_ERROR;
    return sp__is_nan(timeout) ? SP_VALUE_ERROR : SP_OK;
}

sp_status sp_mapping_next(sp_mapping *mapping, void *ret_output, size_t size, double timeout)
{
    if (mapping == NULL)
        return SP_MEMORY_ERROR;
    if (mapping->active)
        return SP_VALUE_ERROR;
    mapping->active = true;
    forget_failure(mapping);
    sp_status status = check(mapping, ret_output, size, timeout);
    if (status == SP_OK)
        status = next(mapping, ret_output, sp__deadline(timeout));
    mapping->active = false;
    if (mapping->released)
        sp_mapping_release(mapping);
    return status;
}

const sp_error *sp_mapping_error(sp_mapping *mapping)
{
    if (mapping == NULL)
        return &no_mapping;
    return mapping->failed != NULL ? sp__future_error_of(mapping->failed) : NULL;
}

void sp_mapping_release(sp_mapping *mapping)
{
    if (mapping == NULL)
        return;
    if (mapping->active) {
        mapping->released = true;
        return;
    }
    forget_failure(mapping);
    cancel_rest(mapping, false);
    sp_executor_release(mapping->executor);
    sp__os_free(mapping);
}
