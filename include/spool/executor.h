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
/* A lazy map that is under way: results in input order, as they are asked for. */
typedef struct sp_mapping sp_mapping;
typedef struct sp_gil sp_gil; /* not there yet */

/* Options of sp_thread_pool_new(); in C: sp_thread_pool(.max_workers = 8). */
typedef struct SP_KEYWORDS_ sp_thread_pool_options {
    size_t struct_size;
    unsigned max_workers;           /* tasks at a time, 2^18 at most; 0: min(32, sp_cpu_count() + 4), as Python */
    const char *thread_name_prefix; /* workers are PREFIX-0, PREFIX-1, ...; copied; NULL: "sp-N", N the pool's number */
    sp_status (*initializer)(void *arg); /* run by each worker before its first task; a failure breaks the pool */
    void *initializer_arg;               /* given to both */
    void (*finalizer)(void *arg);        /* run by each worker that was initialized, at its end */
    double idle_seconds;                 /* an idle worker ends after so long; 0: it stays */
    size_t max_pending;                  /* submits from outside block while so many of them are queued; 0: no bound */
    size_t stack_size;                   /* of workers, as in sp_thread_options; 0: the system's default */
    sp_gil *gil;                         /* must be NULL for now */
    bool inherit_signal_mask;  /* workers have the signal mask of the thread that makes the pool; else all are blocked */
    size_t stack_to_help;      /* a waiting task runs another on its stack only with so much left; 0: half of it */
    unsigned max_compensation; /* extra workers for tasks that wait for what others run; 0: 4 * max_workers + 16 */
} sp_thread_pool_options;

/* Options of sp_inline_pool_new(); in C: sp_inline_pool(.seed = 7). */
typedef struct SP_KEYWORDS_ sp_inline_pool_options {
    size_t struct_size;
    uint64_t seed; /* 0: a task runs before its submit returns; else it is queued, and the seed decides the order */
} sp_inline_pool_options;

/* Options of sp_executor_map(). */
typedef struct SP_KEYWORDS_ sp_map_options {
    size_t struct_size;
    size_t chunksize;       /* inputs that go to a worker together; 0: 1 */
    sp_future **ret_failed; /* or NULL; on failure the future of the first failed input, the caller's to release */
} sp_map_options;

/* Options of sp_executor_map_lazy(). */
typedef struct SP_KEYWORDS_ sp_map_lazy_options {
    size_t struct_size;
    size_t buffersize; /* inputs that are on their way at a time; 0: 2 * min(32, sp_cpu_count() + 4) */
} sp_map_lazy_options;

/* Options of sp_executor_shutdown(). */
typedef struct SP_KEYWORDS_ sp_shutdown_options {
    size_t struct_size;
    bool no_wait;        /* return at once */
    bool cancel_futures; /* cancel what is queued */
} sp_shutdown_options;

/* Counters of an executor: tasks accepted; tasks that have ended, cancelled ones included (one that a waiting task runs itself
   counts when it begins); threads that there are, asleep or not. */
typedef struct sp_executor_statistics {
    uint64_t submitted, completed;
    unsigned workers;
} sp_executor_statistics;

/* Make a pool of threads: ThreadPoolExecutor.  In C: sp_thread_pool(...).

   Workers start on demand; idle ones are used first, the last to become idle before the others.  No task begins while
   .max_workers others run.  Those that wait for futures of the pool do not count, others run in their place: so there may be
   more threads for a while, and, when such a wait ends, more tasks that run; a pool of one worker whose tasks wait for each
   other is no lock.  Tasks that wait for what others run already do count when .max_compensation waits are compensated for; but
   when all tasks of the pool sleep, at least one of them in such a wait, and others are queued, one more begins, at first after
   a millisecond, then more and more slowly.  Tasks that all sleep in other waits are only reported
   (sp_set_starvation_hook()).  (A wait that the library knows nothing of, for a pipe, say, is no sleep.)  A pool that has nothing to do makes no system call.

   Workers have the CPU mask and the scheduling of the thread that makes the pool, whoever's submit starts them, as far as the
   system allows: one that is to leave a nice of 10 for 0 may have to keep it.  They are never real-time (SCHED_FIFO, SCHED_RR)
   but by an initializer that says so.  What else a thread inherits, such as its rounding mode, is the submitter's.  All signals
   but the synchronous ones are blocked in workers, and so in the programs that tasks start: those ignore SIGTERM and SIGINT
   unless the task sets their mask (posix_spawnattr_setsigmask with POSIX_SPAWN_SETSIGMASK, or sigprocmask between fork and
   exec), or the pool was made with .inherit_signal_mask.

   A worker counts as one that runs when its initializer is over; while that lasts idle workers are used, and others are
   started, as long as there are fewer than .max_workers.  An initializer, or finalizer, that waits for futures of the pool
   runs none of them; if all workers that there may be wait so in their initializers, without a limit, for what is queued, the
   last such wait is refused with SP_DEADLOCK.

   If the initializer fails in a worker the pool is broken: what is queued, and every later submit, fails with SP_BROKEN_POOL
   and the initializer's message; what runs goes on.  If the system refuses a thread the pool goes on with those it has; if it
   has none, or all sleep in waits for futures of the pool, what is queued fails with SP_OS_ERROR.

   Returns a handle, one reference; NULL: no memory (ENOMEM) or .gil is set (EINVAL).
   Order: tasks that one thread submits from outside begin in the order of the submits, but for those that tasks of the pool
   wait for: these may begin before.  What a task submits to its own pool is run in that order, up to 256 that are queued, by
   the worker that runs the task, or by others who have nothing else to do.
   Fork: the child's copy is closed.  A task that forks goes on in the child; when it returns there its worker runs no other,
   and the process exits with 0 as by a return from main.
   Source: CPython 3.13 ThreadPoolExecutor; R. D. Blumofe and C. E. Leiserson, "Scheduling Multithreaded Computations by Work
   Stealing" (1999). */
SP_API sp_executor *sp_thread_pool_new(const sp_thread_pool_options *options);

/* Make an executor without threads, for tests of what uses executors.  In C: sp_inline_pool(.seed = 7).

   Seed 0: each task runs in the caller of its submit, before that returns; a task that submits runs the new one on its own
   stack, as deep as a recursive call.
   Any other seed: tasks are queued.  They run, in an order that depends only on the seed and on what was submitted before,
   in whoever waits: for a future of this executor (sp_result, sp_future_wait, sp_wait, sp_next, sp_map, sp_map_next), until
   it is done; in sp_executor_wait_idle() and sp_shutdown(); in the release of the last handle; at the exit of the process.
   With SP_NOWAIT nothing runs; a time limit is looked at between tasks.
   A task that waits for futures of its own executor runs those and nothing else, in the order in which it waits.

   All else is as with a thread pool of one worker, whose thread is borrowed: tasks have ids, locks and errors of their own; a
   task that waits for another one by a queue or an event may wait for ever.  It may be used by several threads; then each
   runs what it takes, and the order is the threads' as well.  The counters say that there are 0 workers.  .no_wait leaves
   what is queued to who waits for it, to the last release, or to the exit.

   Returns a handle, one reference; NULL: no memory (ENOMEM).
   Fork: the child's copy is closed.  Source: none in Python; SQLite runs its worker threads in the caller for such tests. */
SP_API sp_executor *sp_inline_pool_new(const sp_inline_pool_options *options);

/* Have the task run by the executor.  In C: sp_submit(pool, fn, .url = "..."), sp_submit_from(pool, fn, &arg).

   `arg` points to task->arg_size bytes, which are copied; what they point to must live until the future is done.  Waits
   for room if the pool has .max_pending, except for its own tasks and callbacks; a future that is cancelled, or run by the
   task that waits for it, gives its room up at once.

   Returns a future, one reference, never NULL.  A submit that is not accepted is a future that has failed already: with
     SP_SHUT_DOWN     the executor was shut down (RuntimeError)
     SP_BROKEN_POOL   its initializer failed, with whose message (BrokenThreadPool)
     SP_OS_ERROR      there is no worker, or all sleep in waits for futures of the pool, and none could be started
     SP_MEMORY_ERROR  no memory, or executor is NULL because there was none to make it
   Order: everything before the submit happens before the task.  Source: Executor.submit. */
SP_API sp_future *sp_executor_submit(sp_executor *executor, const sp_task *task, const void *arg);

/* The same without a future: a rejection is returned, one of the four; a failure of the task goes to the unseen-error
   hook.  In C: sp_post(pool, fn, ...). */
SP_API SP_MUST_CHECK sp_status sp_executor_post(sp_executor *executor, const sp_task *task, const void *arg);

/* Run the task on n inputs; results in input order.  In C: sp_map(pool, fn, inputs, outputs, n, .chunksize = 100).

   Waits for all.  After a failure no input that comes later in the order begins, not even in a chunk that runs already;
   sp_cancel_requested() is true in those that run; and the call returns when nothing of it runs any more.  ret_outputs NULL
   asks for the status alone, and each result is dropped.

   Returns SP_OK, all outputs written, or the first failure in input order (a status of the task's, or one of
     sp_executor_submit()), outputs untouched, or
     SP_MEMORY_ERROR  no memory to hold the results (MemoryError)
     SP_CANCELLED     a task returned this, or sp_shutdown() cancelled it (CancelledError)
     SP_DEADLOCK, SP_OS_ERROR  in a task of the executor: the wait was refused, as in sp_future_result().  Then one of the tasks
                      may run on, with a copy of its input, and *ret_failed tells the status but has no argument
   Ownership: drop_arg is called once for each input, on a copy.  On success the results are the caller's and drop_result is
     not called; on failure, or without ret_outputs, it is called for each that was produced.
   Source: Executor.map. */
SP_API SP_MUST_CHECK sp_status sp_executor_map(sp_executor *executor, const sp_task *task, const void *inputs,
                                               void *ret_outputs, size_t n, const sp_map_options *options);

/* Begin a map whose inputs are pulled as its results are taken.  In C: sp_map_lazy(pool, fn, next_input, context,
   .buffersize = 100).  Nothing is pulled before the first sp_map_next().

   next_input(context, ret_arg) writes the next input to *ret_arg, task->arg_size bytes, which are zero before, and returns
   true; or it returns false, what it wrote is forgotten, and it is not called again.  It is called by sp_map_next(), in the
   caller's thread, and nowhere else.  Its type cannot be checked against the task's: ret_arg is a void *.

   Returns a handle, the caller's to release; NULL: no memory (ENOMEM), which sp_map_next() understands, or next_input is
     NULL (EINVAL).
   Ownership: inputs are copied, as sp_submit() does; what they point to must live until their tasks are done.  The mapping
     holds a handle of the executor, which may be NULL: then the first input fails with SP_MEMORY_ERROR.
   Fork: a mapping made before answers as its executor does in the child: SP_SHUT_DOWN.
   Source: CPython 3.14 Executor.map(buffersize=), but that nothing is pulled in advance. */
SP_API sp_mapping *sp_executor_map_lazy(sp_executor *executor, const sp_task *task,
                                        bool (*next_input)(void *context, void *ret_arg), void *context,
                                        const sp_map_lazy_options *options);

/* Take the result of the next input, in input order.  In C: sp_map_next(mapping, &value, timeout).

   Pulls and submits inputs until .buffersize are on their way or there are no more, then waits for the oldest.  The timeout,
   in seconds from the call, is for that wait: next_input, and a submit that waits for room (.max_pending), take the time
   they take.  size is sizeof *ret_output; ret_output NULL asks for the status alone, and the result is dropped.

   Returns SP_OK and writes *ret_output, or
     SP_STOP          there are no more: all were taken, or one has failed (StopIteration); so it stays
     SP_TIMEOUT       the result is not there yet (TimeoutError); a later call goes on
     a failure        that of the task, or of its submit (SP_SHUT_DOWN, SP_BROKEN_POOL, SP_OS_ERROR, SP_MEMORY_ERROR), or
                      SP_CANCELLED by sp_shutdown(); what comes after is cancelled and does not report errors of its
                      own, nothing more is pulled; then SP_STOP.  sp_mapping_error() is not NULL, which tells it from
                      the others here
     SP_DEADLOCK      the caller is the task of the input it would wait for, or waiting would close a cycle of waiting tasks
     SP_SHUT_DOWN     that task was left behind by a fork
     SP_OS_ERROR      as in sp_future_result(): no worker could be started to stand in for the caller
     SP_TYPE_ERROR    size is not that of the task's result (TypeError)
     SP_VALUE_ERROR   timeout is NaN, or the caller is what this call runs: next_input, a drop (ValueError)
     SP_MEMORY_ERROR  mapping is NULL (MemoryError)
   All but the failure leave the mapping as it was: what is on its way stays so.

   Ownership: a result that was written is the caller's, drop_result is not called for it; for every other it is.  drop_arg
     is called once for each input that was pulled.
   Order: everything next_input did happens before the task; everything the task did before the return with its result.
   Blocks: yes, as sp_result() does; a task may read a mapping over its own pool.  One thread at a time reads a mapping. */
SP_API SP_MUST_CHECK sp_status sp_mapping_next(sp_mapping *mapping, void *ret_output, size_t size, double timeout);

/* How the input of the last sp_map_next() failed.  NULL if that call returned anything but the failure of an input.  Lives
   until the next call or the release.  For a NULL mapping: that there was no memory. */
SP_API const sp_error *sp_mapping_error(sp_mapping *mapping);

/* Give up a mapping, at its end or before: what is queued is cancelled, what runs is asked to stop (sp_cancel_requested())
   and not waited for; its results are dropped when it ends.  Errors of which no call has told count as unseen.
   Lifetime: this belongs to the thread that reads the mapping.  next_input, and a task that sp_map_next() runs in that thread,
   may release it: that sp_map_next() then returns SP_STOP as soon as it comes back to it, and must be the last. */
SP_API void sp_mapping_release(sp_mapping *mapping);

/* Close the executor.  In C: sp_shutdown(pool), sp_shutdown(pool, .cancel_futures = true).

   Submits fail from now on, blocked ones too; what is queued still runs, or is cancelled; then the workers end, which is
   waited for unless .no_wait.  May be repeated, from any thread: each call waits until all futures of the executor are done
   and all workers have ended, whatever the others asked for.

   Returns SP_OK, also for NULL, or
     SP_DEADLOCK  called without .no_wait by a task or a callback of this executor, or by a callback of a future that another
                  call further down on the same stack cancels: it is closed, but not waited for.  So is a call that would
                  close a cycle of waits for pools and futures: a task of this executor waits for the caller's, say
   Order: every task and finalizer happens before a return that waited.  Source: Executor.shutdown. */
SP_API SP_MUST_CHECK sp_status sp_executor_shutdown(sp_executor *executor, const sp_shutdown_options *options);

/* Wait until nothing is queued and nothing runs.  False: the time was up, the caller is a task or a callback of it, or the
   wait, without limit, would close a cycle as in sp_executor_shutdown().  True for NULL.  Order: every task happens before a
   return of true that finds it done. */
SP_API bool sp_executor_wait_idle(sp_executor *executor, double timeout);

/* Read the counters; zeros for NULL. */
SP_API void sp_executor_stats(const sp_executor *executor, sp_executor_statistics *ret_stats);

/* One more reference, which is returned; one less; NULL is fine for both.  An executor whose last handle goes without shutdown
   drains what is queued and ends.

   A call needs the handle by which it was made until the executor has accepted a task or begun to wait: a task may release
   that handle, also as the last one, while sp_executor_submit(), _post(), _map(), _shutdown() or _wait_idle() is on its way
   back.  A mapping has a handle of its own; it and its calls belong to one thread. */
SP_API sp_executor *sp_executor_retain(sp_executor *executor);
SP_API void sp_executor_release(sp_executor *executor);

SP_END_DECLS_
#endif
