/* Running a task; see task.h.

   SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <stddef.h>
#include <string.h>

#include "os/os.h"

_Static_assert(sizeof(sp_task) == 80 || sizeof(void *) != 8, "programs are compiled against sp_task");

bool sp__task_same(const sp_task *a, const sp_task *b)
{
    return a == b || (a->arg_size == b->arg_size && a->result_size == b->result_size && strcmp(a->name, b->name) == 0);
}

sp_error *sp__task_ended_early(const sp_task *task, const char *how)
{
    sp__error_drop_raised();
    return sp__error_new(SP_RUNTIME_ERROR, task->name, task->file != NULL ? task->file : "?", 0, how);
}

sp_status sp__task_threw(const sp_task *task, void *exception)
{
    char text[256];
    sp__os_exception_end(exception, text, sizeof text);
    return sp_raise_at(task->file != NULL ? task->file : "?", 0, SP_RUNTIME_ERROR, "%s", text);
}

void sp__task_drop(void (*drop)(void *), void *bytes)
{
    if (drop != NULL)
        sp__os_call_firmly("a drop function", (void (*)(void))drop, bytes, NULL);
}

void sp__task_drop_foreign_arg(const sp_task *task, const void *arg)
{
    enum { ON_STACK = 768 };
    if (task->drop_arg == NULL)
        return;
    _Alignas(max_align_t) unsigned char on_stack[ON_STACK];
    void *copy = task->arg_size <= ON_STACK ? on_stack : sp__os_alloc(task->arg_size);
    if (copy == NULL) {
        sp__os_complain("spool: task %s: no memory to drop an argument of %zu bytes, it leaks", task->name,
                        task->arg_size);
        return;
    }
    memcpy(copy, arg, task->arg_size);
    sp__task_drop(task->drop_arg, copy);
    if (copy != on_stack)
        sp__os_free(copy);
}
