/* What every executor is.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_EXECUTOR_H
#define SP_EXECUTOR_EXECUTOR_H

#include <stdbool.h>

#include <spool/executor.h>

#include "future/future.h"
#include "thread/thread.h"

struct sp__executor_ops {
    /* Accept the future with a reference of the caller's, or say why not; then the reference stays the caller's.  An accepted
       future may have failed already, when no worker can be started. */
    sp_status (*enqueue)(sp_executor *executor, sp_future *future);
    /* More about a refusal, for the future that it is told through; NULL: there is no more.  Optional. */
    sp_error *(*explain)(sp_executor *executor, sp_status status, const sp_task *task);
    /* SP_DEADLOCK from a task of its own, or if waiting would close a cycle of waits; SP_TIMEOUT when the deadline passed. */
    sp_status (*shutdown)(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline);
    bool (*wait_idle)(sp_executor *executor, int64_t deadline);
    void (*stats)(sp_executor *executor, sp_executor_statistics *ret_stats);
    void (*destroy)(sp_executor *executor);
};

struct sp_executor {
    const struct sp__executor_ops *ops; /* set once */
    struct sp__owner owner;             /* what its futures carry */
    struct sp__drainable drainable;     /* what process exit waits for */
    uint32_t handles;                   /* atomic; users' references */
    uint32_t refs;                      /* atomic; of the memory: README.md, invariant 5 */
    uint32_t process;                   /* set once; sp__process_number when it was made */
};

/* Was it made before the fork that made this process?  Then its workers, who may have been in the middle of anything, are the
   parent's.  Whoever has run code of the user's for it asks again: that may have forked. */
static inline bool sp__executor_is_inherited(const sp_executor *executor)
{
    return executor->process != sp__process_number;
}

/* Fill in what all executors share; process exit waits for it from now on. */
void sp__executor_init(sp_executor *executor, const struct sp__executor_ops *ops);
/* An inherited one is kept for ever: a thread of the parent may have been in the middle of it. */
void sp__executor_ref_down(sp_executor *executor);
/* Python's min(32, cpus + 4): threads mostly wait. */
unsigned sp__default_workers(void);
/* Is the calling thread running a task or a callback of this executor? */
bool sp__executor_is_own(const sp_executor *executor);

#endif
