/* Executors: pools that run tasks.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_EXECUTOR_H
#define SPOOL_EXECUTOR_H

#include <spool/api.h>
#include <spool/future.h>
#include <spool/status.h>
#include <spool/task.h>

SP_BEGIN_DECLS_

typedef struct sp_executor sp_executor;
typedef struct sp_gil sp_gil; /* not there yet */

/* Options of sp_thread_pool_new(); in C: sp_thread_pool(.max_workers = 8). */
typedef struct SP_KEYWORDS_ sp_thread_pool_options {
    size_t struct_size;
    unsigned max_workers;             /* tasks that run at a time; 0: min(32, sp_cpu_count() + 4), as Python */
    const char *thread_name_prefix;   /* workers are PREFIX-0, PREFIX-1, ...; copied; NULL: "sp-N", N the pool's number */
    sp_status (*initializer)(void *arg); /* run by each worker before its first task; a failure breaks the pool */
    void *initializer_arg;            /* given to both */
    void (*finalizer)(void *arg);     /* run by each worker that was initialized, at its end */
    double idle_seconds;              /* an idle worker ends after so long; 0: it stays */
    size_t max_pending;               /* submit blocks while so many are queued; 0: no bound */
    size_t stack_size;                /* of workers, bytes; 0: the system's default */
    sp_gil *gil;                      /* must be NULL for now */
} sp_thread_pool_options;

/* Options of sp_executor_map(). */
typedef struct SP_KEYWORDS_ sp_map_options {
    size_t struct_size;
    size_t chunksize;       /* inputs that go to a worker together; 0: 1 */
    sp_future **ret_failed; /* or NULL; on failure the future of the first failed input, the caller's to release */
} sp_map_options;

/* Options of sp_executor_shutdown(). */
typedef struct SP_KEYWORDS_ sp_shutdown_options {
    size_t struct_size;
    bool no_wait;        /* return at once */
    bool cancel_futures; /* cancel what is queued */
} sp_shutdown_options;

/* Counters of an executor: accepted, taken by workers (cancelled ones included), and how many workers there are. */
typedef struct sp_executor_statistics {
    uint64_t submitted, completed;
    unsigned workers;
} sp_executor_statistics;

/* Make a pool of threads: ThreadPoolExecutor.  In C: sp_thread_pool(...).

   Workers start on demand, idle ones are used first.  All signals but the synchronous ones are blocked in them.

   Returns a handle, one reference; NULL: no memory (ENOMEM) or .gil is set (EINVAL).
   Fork: the child's copy is closed.  Source: CPython 3.13 ThreadPoolExecutor. */
SP_API sp_executor *sp_thread_pool_new(const sp_thread_pool_options *options);

/* Have the task run by the executor.  In C: sp_submit(pool, fn, .url = "..."), sp_submit_from(pool, fn, &arg).

   `arg` points to task->arg_size bytes, which are copied; what they point to must live until the future is done.  Waits
   for room if the pool has .max_pending, except for its own tasks and callbacks.

   Returns a future, one reference, never NULL.  A submit that is not accepted is a future that has failed already: with
     SP_SHUT_DOWN     the executor was shut down (RuntimeError)
     SP_BROKEN_POOL   its initializer failed, with whose message (BrokenThreadPool)
     SP_OS_ERROR      there is no worker and none could be started
     SP_MEMORY_ERROR  no memory, or executor is NULL because there was none to make it
   Order: everything before the submit happens before the task.  Source: Executor.submit. */
SP_API sp_future *sp_executor_submit(sp_executor *executor, const sp_task *task, const void *arg);

/* The same without a future: a rejection is returned, one of the four; a failure of the task goes to the unseen-error
   hook.  In C: sp_post(pool, fn, ...). */
SP_API SP_MUST_CHECK sp_status sp_executor_post(sp_executor *executor, const sp_task *task, const void *arg);

/* Run the task on n inputs; results in input order.  In C: sp_map(pool, fn, inputs, outputs, n, .chunksize = 100).

   Waits for all.  After a failure what is queued is cancelled, and the call returns when nothing of it runs any more.

   Returns SP_OK, all outputs written, or the first failure in input order (a status of the task's, or one of
     sp_executor_submit()), outputs untouched; SP_MEMORY_ERROR also when there is no memory to hold the results.
   Ownership: drop_arg is called once for each input, on a copy.  On success the results are the caller's and drop_result is
     not called; on failure it is called for each that was produced.
   Source: Executor.map. */
SP_API SP_MUST_CHECK sp_status sp_executor_map(sp_executor *executor, const sp_task *task, const void *inputs,
                                               void *ret_outputs, size_t n, const sp_map_options *options);

/* Close the executor.  In C: sp_shutdown(pool), sp_shutdown(pool, .cancel_futures = true).

   Submits fail from now on, blocked ones too; what is queued still runs, or is cancelled; then the workers end, which is
   waited for unless .no_wait.  May be repeated, from any thread.

   Returns SP_OK, also for NULL, or
     SP_DEADLOCK  called by a task or a callback of this executor, without .no_wait: it is closed, but not waited for
   Source: Executor.shutdown. */
SP_API SP_MUST_CHECK sp_status sp_executor_shutdown(sp_executor *executor, const sp_shutdown_options *options);

/* Wait until nothing is queued and nothing runs.  False: the time was up, or the caller is a task of it.  True for NULL. */
SP_API bool sp_executor_wait_idle(sp_executor *executor, double timeout);

/* Read the counters. */
SP_API void sp_executor_stats(const sp_executor *executor, sp_executor_statistics *ret_stats);

/* One more reference; one less.  An executor whose last handle goes without shutdown drains what is queued and ends. */
SP_API sp_executor *sp_executor_retain(sp_executor *executor);
SP_API void sp_executor_release(sp_executor *executor);

SP_END_DECLS_
#endif
