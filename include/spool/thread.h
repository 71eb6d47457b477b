/* Threads that have a result.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_THREAD_H
#define SPOOL_THREAD_H

#include <spool/api.h>
#include <spool/status.h>
#include <spool/task.h>

SP_BEGIN_DECLS_

/* A handle of a thread: reference-counted, from any thread.  The thread goes on without handles. */
typedef struct sp_thread sp_thread;

/* Options of sp_thread_start(); SP_THREAD(.name = "poll", .daemon = true) makes one. */
typedef struct SP_KEYWORDS_ sp_thread_options {
    size_t struct_size;
    const char *name;  /* copied; NULL: "Thread-N (task)" */
    bool daemon;       /* process exit does not wait for it */
    size_t stack_size; /* bytes, rounded up to the page and the system's minimum; 0: the system's default */
} sp_thread_options;

/* Start a thread that runs the task: threading.Thread(target=...).start().  In C: sp_start(), sp_start_with().

   `arg` points to task->arg_size bytes, which are copied; what they point to must live until the thread ends.  The stack
   of main is dead once main has returned, though threads are waited for then.  options may be NULL.

   Returns a handle, one reference, the caller's to release; NULL when there is no memory or no thread (errno: ENOMEM,
     EAGAIN, ...), the argument dropped.
   Order: everything before the start happens before the task.
   Signals: the thread inherits the signal mask.
   Source: CPython 3.13 threading.Thread, pthread_create(3). */
SP_API sp_thread *sp_thread_start(const sp_thread_options *options, const sp_task *task, const void *arg);

/* Wait until the thread is gone and take its result.  In C: sp_join(thread, &result, timeout).

   size is sizeof *ret_result; ret_result NULL asks for the status alone.  May be called again, and from several threads.

   Returns SP_OK and writes *ret_result, or the status with which the task failed (its error counts as seen), or
     SP_TIMEOUT       it did not end in time (Python returns; ask is_alive)
     SP_DEADLOCK      the caller is that thread (RuntimeError)
     SP_TYPE_ERROR    size is not that of the task's result
     SP_VALUE_ERROR   timeout is NaN
     SP_MEMORY_ERROR  thread is NULL: it was never started
     SP_SHUT_DOWN     it belongs to the parent of this forked process
   Ownership: the handle stays the caller's; the result's bytes are copied.
   Order: everything the task did happens before the return.  Blocks: yes. */
SP_API SP_MUST_CHECK sp_status sp_thread_join(sp_thread *thread, void *ret_result, size_t size, double timeout);

/* Wait until the thread is gone, whatever became of its task.  SP_OK, or the last five of sp_thread_join(). */
SP_API SP_MUST_CHECK sp_status sp_thread_wait(sp_thread *thread, double timeout);

/* Does its task still run?  False for NULL. */
SP_API bool sp_thread_is_alive(const sp_thread *thread);

/* Its name; valid as long as the handle. */
SP_API const char *sp_thread_name(const sp_thread *thread);

/* Rename it.  The system's tools see the first 15 bytes.

   Returns SP_OK, or
     SP_VALUE_ERROR   thread or name is NULL
     SP_MEMORY_ERROR  no memory for the copy */
SP_API SP_MUST_CHECK sp_status sp_thread_set_name(sp_thread *thread, const char *name);

/* Its number in this process, never 0 and never reused (Python's ident may be). */
SP_API uint64_t sp_thread_ident(const sp_thread *thread);

/* The system's number of it (gettid), waiting until it runs. */
SP_API uint64_t sp_thread_native_id(const sp_thread *thread);

/* Does process exit leave it behind? */
SP_API bool sp_thread_is_daemon(const sp_thread *thread);

/* The error of its task: NULL while it runs and after success, else never NULL.  Counts as looking at it. */
SP_API const sp_error *sp_thread_error(sp_thread *thread);

/* One more reference.  Returns the handle. */
SP_API sp_thread *sp_thread_retain(sp_thread *thread);

/* One reference less.  The thread is not stopped. */
SP_API void sp_thread_release(sp_thread *thread);

/* Be told of a thread's error that nobody looked at: once, when its last handle goes (in the ended thread itself, if it had
   none left), or at process exit.  The default writes one line to standard error.  NULL restores it.  The handle is lent
   for the call.  Source: threading.excepthook. */
SP_API void sp_set_excepthook(void (*hook)(sp_thread *thread, const sp_error *error, void *context), void *context);

/* Wait for every thread that is no daemon, then close and drain every pool, until neither is left.

   Call it last in main; else an exit handler does the same (Python's rule).  The calling thread and its own pool are
   skipped.  In a forked child there is nothing to wait for.  True: all done.  False: the time was up. */
SP_API bool sp_join_all(double timeout);

SP_END_DECLS_
#endif
