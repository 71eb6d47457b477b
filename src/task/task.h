/* Running a task.

   SPDX-License-Identifier: MIT */
#ifndef SP_TASK_TASK_H
#define SP_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include <spool/task.h>

#include "os/os.h"
#include "park/runner.h"
#include "task/error.h"

/* The task has thrown a C++ exception, which ends here: the status that it has returned instead, with a message. */
sp_status sp__task_threw(const sp_task *task, void *exception);

/* Run the task under the current runner, as the task known by `identity` (see sp__runner.task).  On failure *ret_error is
   its error record, the caller's to free; on success it is untouched. */
static inline sp_status sp__task_run(const sp_task *task, const void *identity, const uint64_t *cancel_word,
                                     const void *arg, void *result, sp_error **ret_error)
{
    struct sp__runner *self = sp__self();
    const void *task_before = self->task; /* a worker is a task itself: that of its thread */
    const uint64_t *cancel_word_before = self->cancel_word;
    self->task = identity;
    self->cancel_word = cancel_word;
    void *exception = NULL;
    sp_status status = (sp_status)sp__os_call_catching((void (*)(void))task->run, arg, result, &exception);
    if (__builtin_expect(exception != NULL, 0))
        status = sp__task_threw(task, exception);
    if (status != SP_OK)
        *ret_error = sp__error_take_raised(status, task->name, task->file != NULL ? task->file : "?");
    else if (self->raised != NULL)
        sp__error_drop_raised();
    self->task = task_before;
    self->cancel_word = cancel_word_before;
    return status;
}

/* The error of a task that will not return, in place of what it may have raised.  Never NULL. */
#define SP__ENDED_BY_PTHREAD "ended by pthread_exit or pthread_cancel"
#define SP__ENDED_BY_EXIT "ended by exit"
sp_error *sp__task_ended_early(const sp_task *task, const char *how);

/* Are these two descriptors of the same task?  By name and sizes; see README.md. */
bool sp__task_same(const sp_task *a, const sp_task *b);
/* Call a drop function, if there is one. */
void sp__task_drop(void (*drop)(void *), void *bytes);
/* Call drop_arg on the bytes of an argument that the caller keeps as const, through a copy. */
void sp__task_drop_foreign_arg(const sp_task *task, const void *arg);
/* Where after `offset` bytes of a block an object of `size` bytes may lie: its alignment divides its size. */
static inline size_t sp__task_place(size_t offset, size_t size)
{
    size_t alignment = size & (~size + 1); /* the lowest bit; 0 of 0 */
    if (alignment > _Alignof(max_align_t))
        alignment = _Alignof(max_align_t);
    if (alignment == 0)
        return offset;
    return (offset + alignment - 1) & ~(alignment - 1);
}

#endif
