/* Questions to a future.

   SPDX-License-Identifier: MIT */
#include "future/future.h"

/* pre: it is done. */
static sp_status take_result(sp_future *future, void *ret_value)
{
    if (sp__future_phase(future) == SP__FINISHED) {
        if (ret_value != NULL)
            sp__copy(ret_value, sp__future_result_bytes(future), future->task->result_size);
        return SP_OK;
    }
    sp__future_mark_seen(future);
    return sp__future_status(future);
}

sp_status sp_future_result(sp_future *future, void *ret_value, size_t size, double timeout)
{
    if (future == NULL)
        return SP_VALUE_ERROR;
    if (ret_value != NULL && size != future->task->result_size)
        return future == &sp__future_no_memory ? SP_MEMORY_ERROR : SP_TYPE_ERROR;
    if (sp__is_nan(timeout))
        return SP_VALUE_ERROR;
    if (!sp__future_is_done(future)) {
        sp_status status = sp__await(future, sp__deadline(timeout));
        if (status != SP_OK)
            return status;
    }
    return take_result(future, ret_value);
}

sp_status sp_future_result_of(sp_future *future, const sp_task *task, void *ret_value, double timeout)
{
    if (future != NULL && future != &sp__future_no_memory && !sp__task_same(future->task, task))
        return SP_TYPE_ERROR;
    return sp_future_result(future, ret_value, task->result_size, timeout);
}

bool sp_future_wait(sp_future *future, double timeout)
{
    return future != NULL && sp__await(future, sp__deadline(timeout)) == SP_OK;
}

const sp_error *sp_future_error(sp_future *future)
{
    sp_error *error = future != NULL ? sp__future_error_of(future) : NULL;
    if (error != NULL)
        sp__future_mark_seen(future);
    return error;
}

const void *sp_future_arg(const sp_future *future)
{
    return future == NULL || future == &sp__future_no_memory ? NULL : sp__future_arg_bytes(future);
}

bool sp_future_cancelled(const sp_future *future)
{
    return future != NULL && sp__future_phase(future) == SP__CANCELLED;
}

bool sp_future_running(const sp_future *future)
{
    if (future == NULL)
        return false;
    enum sp__phase phase = sp__future_phase(future);
    return phase == SP__RUNNING || phase == SP__SETTLING;
}

bool sp_future_done(const sp_future *future)
{
    return future != NULL && sp__future_is_done(future);
}

const char *sp_future_task_name(const sp_future *future)
{
    return future != NULL ? future->task->name : "?";
}
