/* Futures: the result, or the error, of a task that may not have run yet.

   A future is reference-counted and may be used from any thread.  It ends exactly once: with a result, with an error, or
   cancelled.  Order: everything the task did happens before every call here that saw it done.

   Handles: a call needs the handle by which it was made until it returns.  Only those that end a future (sp_future_cancel,
   _set_result, _set_error) do not once it is done, and sp_future_add_done_callback() not once it has registered: a waiter or
   a callback may release the last handle while they return.

   Waiting inside a task: a task that waits without a limit for queued futures of its own pool (sp_result, sp_future_wait,
   SP_ALL_COMPLETED, sp_map, sp_map_next) runs them itself, each under its own identity; in every other wait for futures of its
   own pool, the pool lets one more worker run (of those that wait for what runs, for .max_compensation at a time).  So a pool of one worker never deadlocks on its own futures.  A thread that is
   no worker never runs tasks, but for those of an sp_inline_pool().

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_FUTURE_H
#define SPOOL_FUTURE_H

#include <spool/api.h>
#include <spool/status.h>
#include <spool/task.h>

SP_BEGIN_DECLS_

typedef struct sp_future sp_future;
/* A set of futures, in the order in which they end. */
typedef struct sp_completion sp_completion;

/* When sp_wait() has waited enough. */
typedef enum sp_wait_until { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR } sp_wait_until;

/* Wait for the future and take its result.  In C: sp_result(future, &value, timeout).

   size is sizeof *ret_value; ret_value NULL asks for the status alone.  May be repeated: the result is copied out.

   Returns SP_OK and writes *ret_value, or the status with which the task failed (the error counts as seen), or
     SP_TIMEOUT      it is not done yet (TimeoutError); sp_future_done() tells this from a task's own SP_TIMEOUT
     SP_CANCELLED    it was cancelled, or the task returned this (CancelledError)
     SP_DEADLOCK     the caller is the task of this future, or waiting would close a cycle of waiting tasks
     SP_SHUT_DOWN, SP_BROKEN_POOL, SP_OS_ERROR  the pool did not run it: closed, or left behind by a fork; broken; no
                     worker could be started, or, for a second, none to stand in for the caller, a task of the pool that
                     cannot run it itself: it runs already, or too little stack is left
     SP_MEMORY_ERROR there was no memory to submit it
     SP_TYPE_ERROR   size is not that of the task's result
     SP_VALUE_ERROR  timeout is NaN, or future is NULL
   Blocks: yes.  Source: CPython 3.13 concurrent.futures.Future.result. */
SP_API SP_MUST_CHECK sp_status sp_future_result(sp_future *future, void *ret_value, size_t size, double timeout);

/* The same, and SP_TYPE_ERROR if the future is not of this task.  In C: sp_result_of(fn, future, &value, timeout), which
   also checks the type of &value when it is compiled. */
SP_API SP_MUST_CHECK sp_status sp_future_result_of(sp_future *future, const sp_task *task, void *ret_value,
                                                   double timeout);

/* Wait only until it is done, however it ends.  False: NULL, or what would be SP_TIMEOUT, SP_DEADLOCK, SP_SHUT_DOWN by a fork
   or SP_OS_ERROR for want of a substitute in sp_result(). */
SP_API bool sp_future_wait(sp_future *future, double timeout);

/* How it failed; never waits.  NULL while it is pending and after success, else never NULL: cancelled and a bare
   `return SP_X;` included.  Lives as long as the future.  Counts as looking at the error.  Source: Future.exception. */
SP_API const sp_error *sp_future_error(sp_future *future);

/* The copied argument of the task, as long as the future lives.  NULL only for the future of a submit without memory. */
SP_API const void *sp_future_arg(const sp_future *future);

/* Cancel it, if it has not begun.

   True: it is cancelled and never runs; waiters are told at once, and callbacks have been called, here, when this returns
   (more than eight deep in other callbacks or drops: when the innermost of these has returned).
   False: it runs or is done, or is NULL; if it runs, sp_cancel_requested() is true in its task from now on.
   Source: Future.cancel. */
SP_API bool sp_future_cancel(sp_future *future);
/* Was it cancelled?  Does it run?  Is it done, one way or another?  False for NULL. */
SP_API bool sp_future_cancelled(const sp_future *future);
SP_API bool sp_future_running(const sp_future *future);
SP_API bool sp_future_done(const sp_future *future);
/* The name of its task. */
SP_API const char *sp_future_task_name(const sp_future *future);

/* One more reference, which is returned; one less.  The last one drops argument and result (SP_TASK_OWNING) and reports an
   error that nobody looked at.  A drop may release other futures, whose drops release others, and so on, in chains of any
   length: they use no more stack than eight calls; all has been dropped when the outermost call returns. */
SP_API sp_future *sp_future_retain(sp_future *future);
SP_API void sp_future_release(sp_future *future);

/* Asked inside a task: did somebody call sp_future_cancel() on it?  False outside. */
SP_API bool sp_cancel_requested(void);

/* Have fn(future, context) called once when the future is done: by the thread that completes it, in the order of
   registration, or here and now if it is done.  The future is lent for the call; fn may release the last other reference,
   submit, add callbacks, or end other futures, whose callbacks do the same, in chains of any length: they nest eight deep, the
   rest is called when the innermost has returned, before the outermost call that ended a future returns.  If there is no memory to register, this call waits for the future and calls fn itself;
   where it cannot wait, in the future's own task, or in a forked child of one that was left behind, fn is called before the end.
   Source: Future.add_done_callback. */
SP_API void sp_future_add_done_callback(sp_future *future, void (*fn)(sp_future *future, void *context), void *context);

/* Wait for a set.  In C: sp_wait(futures, n, SP_FIRST_ERROR, timeout).

   SP_FIRST_ERROR ends with the first failure or when all are done; a cancelled future is no failure, as in Python.
   n may be 0, a future may stand in the set twice.

   Returns SP_OK when the condition is reached, whatever became of the tasks, or
     SP_TIMEOUT       the time was up
     SP_DEADLOCK      the caller is the task of one of them, or, with SP_ALL_COMPLETED, waiting would close a cycle of waiting
                      tasks
     SP_SHUT_DOWN     one of them was left behind by a fork
     SP_OS_ERROR      as in sp_future_result(): no worker could be started to stand in for the caller
     SP_VALUE_ERROR   timeout is NaN, or `until` is none of the three
     SP_MEMORY_ERROR  no memory to watch the set (never for SP_ALL_COMPLETED)
   Source: CPython 3.13 concurrent.futures.wait. */
SP_API SP_MUST_CHECK sp_status sp_futures_wait(sp_future *const *futures, size_t n, sp_wait_until until,
                                               double timeout);

/* Take the futures of a set in the order in which they end; the timeout is for the whole, from now.

   Each future comes once, also if it stands in the set twice.  The set holds a reference to each; the array is not needed
   after the call.  One thread at a time reads a set.

   Returns a handle, the caller's to release; NULL: no memory, which sp_next() and sp_completion_status() understand.
   Source: CPython 3.13 concurrent.futures.as_completed. */
SP_API sp_completion *sp_as_completed(sp_future *const *futures, size_t n, double timeout);

/* The next future that is done, lent as long as the set lives.  NULL: no more, or see the status.  In C: sp_next(set). */
SP_API sp_future *sp_completion_next(sp_completion *completion);

/* Why sp_next() returned NULL: SP_OK, all were given; SP_TIMEOUT; SP_VALUE_ERROR, the timeout was NaN; SP_DEADLOCK, the
   caller is the task of one that is left; SP_SHUT_DOWN, one was left behind by a fork; SP_OS_ERROR, as in sp_future_result();
   SP_MEMORY_ERROR, the set is NULL, or, in a task, there was no memory to have somebody stand in for the caller. */
SP_API SP_MUST_CHECK sp_status sp_completion_status(const sp_completion *completion);

/* Forget the set; its futures go on.  Lifetime: this belongs to the thread that reads the set, and nothing may release the set
   during sp_next(): no other thread, and no task or callback that sp_next() runs while it waits.  A callback may at any other
   time, also one of a future of the set that is just ending. */
SP_API void sp_completion_release(sp_completion *completion);

/* Release each of an array. */
SP_API void sp_release_all(sp_future *const *futures, size_t n);

/* For those who write executors and bindings: a future that they end themselves.

   Returns one reference; without memory the future that has failed with SP_MEMORY_ERROR, never NULL. */
SP_API sp_future *sp_future_new(const sp_task *task, const void *arg);
/* It begins.  False: it was cancelled, or has begun already, or belongs to a pool. */
SP_API bool sp_future_set_running(sp_future *future);
/* It ends with a result of `size` bytes, copied.

   Returns SP_OK, or
     SP_INVALID_STATE  it is done, or belongs to a pool (InvalidStateError)
     SP_TYPE_ERROR     size is not that of the task's result
     SP_VALUE_ERROR    future is NULL */
SP_API SP_MUST_CHECK sp_status sp_future_set_result(sp_future *future, const void *value, size_t size);
/* It ends with an error, copied.  SP_CANCELLED in it makes it cancelled.

   Returns SP_OK, or
     SP_INVALID_STATE  it is done, or belongs to a pool (InvalidStateError)
     SP_VALUE_ERROR    future or error is NULL, or the error's status is SP_OK */
SP_API SP_MUST_CHECK sp_status sp_future_set_error(sp_future *future, const sp_error *error);

SP_END_DECLS_
#endif
