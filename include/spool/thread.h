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
    size_t stack_size; /* bytes, rounded up to the page and the system's minimum, which is enough for every call of the
                          library; thread-local variables of the program come on top.  0: the system's default */
} sp_thread_options;

/* Start a thread that runs the task: threading.Thread(target=...).start().  In C: sp_start(), sp_start_with().

   `arg` points to task->arg_size bytes, which are copied; what they point to must live until the thread ends.  The stack
   of main is dead once main has returned, though threads are waited for then.  options may be NULL.

   Returns a handle, one reference, the caller's to release; NULL when there is no memory or no thread (errno: ENOMEM,
     EAGAIN, ...), the argument dropped.
   A task that ends its thread by pthread_exit() or pthread_cancel() has failed with SP_RUNTIME_ERROR; so has, of a thread or
   a pool, one that throws a C++ exception.
   Order: everything before the start happens before the task.
   Signals: the thread inherits the signal mask, and with it CPU mask and scheduling, as one of pthread_create() does.
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
   Ownership: the handle stays the caller's; the result's bytes are copied.  Once this call, sp_thread_wait() or
     sp_thread_native_id() has begun to wait, another thread, or that thread itself, may release the last handle; what a
     result with a drop_result points to is then dropped before the return.
   Order: everything the task did happens before the return.  Blocks: yes. */
SP_API SP_MUST_CHECK sp_status sp_thread_join(sp_thread *thread, void *ret_result, size_t size, double timeout);

/* Wait until the thread is gone, whatever became of its task.  SP_OK, or the last five of sp_thread_join(). */
SP_API SP_MUST_CHECK sp_status sp_thread_wait(sp_thread *thread, double timeout);

/* Does it still run: its task, or what its end runs (finalisers, destructors)?  False for NULL. */
SP_API bool sp_thread_is_alive(const sp_thread *thread);

/* Its name.  "?" for NULL.  The pointer is valid as long as the handle and until the thread has been given 64 other names. */
SP_API const char *sp_thread_name(const sp_thread *thread);

/* Rename it.  The system's tools see the first 15 bytes.

   Returns SP_OK, or
     SP_VALUE_ERROR   thread or name is NULL
     SP_MEMORY_ERROR  no memory for the copy */
SP_API SP_MUST_CHECK sp_status sp_thread_set_name(sp_thread *thread, const char *name);

/* Its number in this process, never 0 and never reused (Python's ident may be).  0 for NULL. */
SP_API uint64_t sp_thread_ident(const sp_thread *thread);

/* The system's number of it (gettid), waiting until it runs.  0 for NULL, and in the child of a fork for a thread that had not
   run yet. */
SP_API uint64_t sp_thread_native_id(const sp_thread *thread);

/* Does process exit leave it behind?  False for NULL. */
SP_API bool sp_thread_is_daemon(const sp_thread *thread);

/* The error of its task: NULL while it runs and after success, else never NULL.  Counts as looking at it. */
SP_API const sp_error *sp_thread_error(sp_thread *thread);

/* One more reference.  Returns the handle. */
SP_API sp_thread *sp_thread_retain(sp_thread *thread);

/* One reference less.  The thread is not stopped.  NULL is fine.  The thread itself may release its last handle.  Threads and
   timers may own one another through their arguments, in chains of any length. */
SP_API void sp_thread_release(sp_thread *thread);

/* Be told of a thread's error that nobody looked at: once, when its last handle goes (in the ended thread itself, if it had
   none left), or at process exit.  The default writes one line to standard error.  NULL restores it.  The handle is lent
   for the call.  Source: threading.excepthook. */
SP_API void sp_set_excepthook(void (*hook)(sp_thread *thread, const sp_error *error, void *context), void *context);

/* The handle of the calling thread, lent: valid until the thread ends, retain it to keep it longer.

   A thread that the library did not start gets one here ("Dummy-1", daemon), which ends with it; the main thread has one
   from the start.  NULL: no memory (errno ENOMEM), now or at the thread's first call of the library.  In the last round of
   destructors, when its end cannot be noticed any more, it gets one that counts as gone.  Source: CPython 3.13 threading.current_thread. */
SP_API sp_thread *sp_thread_current(void);

/* The handle of the main thread, lent, for ever.  In the child of a fork that is the thread that forked.  NULL only when the
   library was loaded later by another thread, until the main thread asks, or for want of memory after a fork by a thread of somebody else's.  When the
   function of that thread returns, the process exits with 0, as by a return from main.  Source: CPython 3.13 threading.main_thread. */
SP_API sp_thread *sp_thread_main(void);

/* How many threads run: the main thread, all that were started and have not ended, workers of pools, and foreign threads
   that have asked for their handle.  Old when it arrives.  Source: CPython 3.13 threading.active_count. */
SP_API size_t sp_thread_active_count(void);

/* Those threads: up to n handles into ret_threads, each with a reference that is the caller's to release.
   Returns how many there are, which may be more than n; then the first n were given.  Source: threading.enumerate. */
SP_API size_t sp_thread_enumerate(sp_thread **ret_threads, size_t n);

/* Wait for every thread that is no daemon, then for pending timers and their tasks, then close and drain every pool, until
   nothing is left.

   Call it last in main; else exit() does the same, before the handlers of atexit() where it can (docs/contracts.md).  The
   calling thread and its own pool are skipped.  A forked child waits for what it has started itself.

   With a limit nothing is closed before all has come to rest; then the pools are closed.  True: all done.  False: the time was
   up; everything goes on as before, and pools accept more, unless it was up while workers of resting pools were ending.
   False without a limit: a task of the next pool waits for the caller's, as in sp_executor_shutdown(); that pool is closed,
   those behind it are not. */
SP_API bool sp_join_all(double timeout);

/* A task that runs later, once. */
typedef struct sp_timer sp_timer;

/* Run the task in `seconds`, on a thread of its own: threading.Timer(seconds, ...).start().  In C: sp_timer_start().

   `arg` is copied, as by sp_thread_start().  One thread of the library keeps the time for all timers.  0 and less: at once.
   The thread of the task has the signal mask of the caller, and CPU mask and scheduling of the main thread.

   Returns a handle, one reference, the caller's to release (the timer goes on without); NULL: no memory or no thread to keep
     the time (errno ENOMEM, EAGAIN, ...), or NaN (errno EINVAL), the argument dropped.
   Order: everything before the start happens before the task.
   Errors: those of the task go to the excepthook, unless sp_timer_join() has looked.  When no thread can be had at the
     time, the task does not run: SP_OS_ERROR, reported as an error that nobody looked at.
   Fork: in the child it never runs.  Exit: a pending timer is waited for, as in Python; cancel it if that is not wanted.
   Source: CPython 3.13 threading.Timer. */
SP_API sp_timer *sp_timer_new(double seconds, const sp_task *task, const void *arg);

/* Do not run it.  True: it has not begun and never will, however often asked.  False: it runs or has run; or NULL; or it
   was made before the fork that made this process.
   Lifetime: a thread to which sp_timer_join() has returned SP_CANCELLED may release the last handle at once, even before this
   call has returned. */
SP_API bool sp_timer_cancel(sp_timer *timer);

/* Wait until its task has ended and its thread is gone.

   Returns SP_OK, or the status with which the task failed (its error counts as seen), or
     SP_TIMEOUT       it did not end in time
     SP_CANCELLED     it was cancelled and never ran
     SP_OS_ERROR      no thread could be had for it
     SP_DEADLOCK      the caller is its task (RuntimeError)
     SP_VALUE_ERROR   timeout is NaN
     SP_MEMORY_ERROR  timer is NULL
     SP_SHUT_DOWN     it was made before the fork that made this process
   Ownership: the handle stays the caller's; once this call waits, another thread or the task itself may release the last one.
   Order: everything the task did happens before the return.  Blocks: yes. */
SP_API SP_MUST_CHECK sp_status sp_timer_join(sp_timer *timer, double timeout);

/* Give the handle back; the timer goes on.  NULL is fine.  Its own task may do so.  The argument of a timer that was cancelled is
   dropped with the last handle. */
SP_API void sp_timer_release(sp_timer *timer);

/* A variable of which each thread has its own: threading.local.

       static sp_local user = SP_LOCAL(struct user, init, fini);

   init and fini may be NULL.  Use objects that live as long as the threads which use them, and do not copy them. */
typedef struct sp_local {
    size_t sp_size_, sp_align_;
    void (*sp_init_)(void *value);
    void (*sp_fini_)(void *value);
    uint64_t sp_key_;
} sp_local;
#define SP_LOCAL(Type, init, fini)                                                                                     \
    {                                                                                                                  \
        sizeof(Type), __alignof__(Type), (init), (fini), 0                                                             \
    }

/* The calling thread's value: made on its first use in this thread, all bytes zero, then given to init.

   NULL: no memory (errno ENOMEM); a later call tries again, but for a thread of somebody else's at whose first call of the
     library there was none: its end would not be noticed.  The value stays where it is until the thread ends.
   End: fini is called for it in the thread, before the thread counts as ended, whoever started the thread; a value that a
     finaliser makes is finished too, up to four rounds, then its memory is given back without.  A value that the
     destructor of a pthread key makes in the system's last round is never finished, as that of a key would not be.
     Values of the main thread live until the process ends, without fini.  fini gets the value for the last time and may
     release what it owns, also the handle of its own thread; it must not free the value.
   A pool's worker keeps its values from one task to the next.  A task that has asked for a value has it to itself until it
     ends: while it waits for other tasks of its pool, these run in other threads; where the system refuses one, the task
     that runs on the waiting one's stack has values of its own, which end with it.  Tasks of an inline pool have those of
     the thread they run in.  What is not kept apart is the thread's own: errno, and thread-local variables of the program and
     of other libraries; a task that sets such a one before it waits for tasks of its pool finds what these have set.
   Source: CPython 3.13 threading.local, pthread_key_create(3). */
SP_API void *sp_local_get(sp_local *local);

SP_END_DECLS_
#endif
