/* Statuses, errors, and the hooks for what nobody can be given a status for.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_STATUS_H
#define SPOOL_STATUS_H

#include <spool/api.h>

SP_BEGIN_DECLS_

/* One list makes the enum, the names and the texts.  Append only: the numbers are ABI.

   TIMEOUT TimeoutError · CANCELLED CancelledError · INVALID_STATE InvalidStateError · EMPTY queue.Empty · FULL queue.Full
   SHUT_DOWN queue.ShutDown, or RuntimeError of a closed pool · BROKEN_BARRIER BrokenBarrierError · BROKEN_POOL
   BrokenExecutor · RUNTIME_ERROR · VALUE_ERROR · TYPE_ERROR · MEMORY_ERROR · OS_ERROR · PICKLING_ERROR · DEADLOCK a wait
   that would never end · INTERRUPTED reserved · STOP StopIteration */
#define SP_STATUS_LIST_(X)                                                                                             \
    X(OK)                                                                                                              \
    X(TIMEOUT) X(CANCELLED) X(INVALID_STATE) X(EMPTY) X(FULL) X(SHUT_DOWN) X(BROKEN_BARRIER) X(BROKEN_POOL)            \
        X(RUNTIME_ERROR) X(VALUE_ERROR) X(TYPE_ERROR) X(MEMORY_ERROR) X(OS_ERROR) X(PICKLING_ERROR) X(DEADLOCK)        \
            X(INTERRUPTED) X(STOP)

#define SP_STATUS_ENUM_(name) SP_##name,
typedef enum sp_status {
    SP_STATUS_LIST_(SP_STATUS_ENUM_) SP_USER_ERROR = 1000, /* a program's own statuses begin here */
    SP_STATUS_MAX_ = 0x7fffffff
} sp_status;
#undef SP_STATUS_ENUM_

/* The name of a status, "SP_TIMEOUT"; "SP_USER_ERROR" for all from there on; "SP_UNKNOWN".  Never NULL, static. */
SP_API const char *sp_status_name(sp_status status);

/* One sentence about a status, with the name of Python's exception.  Never NULL, static. */
SP_API const char *sp_status_text(sp_status status);

/* What a failed task left: Python's exception object.

   Fields are appended, never changed.  Lives as long as the future or thread handle that gave it; nothing in it is the
   caller's to free.  os_errno is 0 when no system call was to blame.  file and line are those of sp_raise, or of the task
   with line 0 when it returned a bare status. */
typedef struct sp_error {
    sp_status status;
    int os_errno;
    const char *task, *file;
    int line;
    const char *message;
} sp_error;

/* Fail with a message: `return sp_raise(SP_VALUE_ERROR, "no port %d", n);` is `raise ValueError(...)`.

   sp_raise() in sugar.h adds file and line.  Inside a task the message is kept with the task, in place of an earlier one;
   it becomes the task's error if the task returns this very status.  Outside of a task nothing is kept.

   Returns `status`.
   Ownership: the message is copied.  Without memory the status arrives and the message is replaced by a fixed one; a message
     that cannot be formatted is replaced by its format.
   Source: Python's raise. */
SP_API sp_status sp_raise_at(const char *file, int line, sp_status status, const char *format, ...) SP_PRINTF_(4, 5);

/* The same for a system call that failed: keeps errno, appends ": " and its text.  Returns SP_OS_ERROR (OSError); errno is
   as before. */
SP_API sp_status sp_raise_errno_at(const char *file, int line, const char *format, ...) SP_PRINTF_(3, 4);

/* The library's version, "0.1.0"; compare with SPOOL_VERSION, the header's. */
SP_API const char *sp_version(void);

/* Be told of misuse: releasing a lock that is not yours, waiting without the lock, and what docs call misuse.

   The default writes "spool: SENTENCE" to standard error and aborts.  When a hook returns, the misused call has no effect.
   NULL restores the default; the last one set wins.  May be set and may run in any thread; the hook may call the library.
   The sentence lives for the call only. */
SP_API void sp_set_panic_hook(void (*hook)(const char *sentence, void *context), void *context);

/* Be told of an error that nobody looked at, once, when the last reference to its future goes or when the process exits.

   Looked at means: sp_result() returned its status, or sp_future_error() was called.  Cancelled futures are no errors.
   The default writes one line to standard error.  A thread's errors go to sp_set_excepthook().  The error lives for the
   call only.  Source: asyncio's "exception was never retrieved". */
SP_API void sp_set_unseen_error_hook(void (*hook)(const sp_error *error, void *context), void *context);

/* Be told of a wait that can never end, before the process aborts: for a lock that the caller holds; one that closes a cycle
   of runners which wait without limit for each other's locks, onces, ends, futures or pools; for what a thread held that has
   ended.  The report is one line that names each runner, what it waits for, and who holds that.  A cycle of futures and pools
   only is not reported: the call that would close it returns SP_DEADLOCK.

   The default writes the report to standard error.  Whatever the hook does, abort() follows. */
SP_API void sp_set_deadlock_hook(void (*hook)(const char *report, void *context), void *context);

/* Be told that a thread pool makes no progress: for a second every task that it may run at a time has slept in a wait of this
   library (for a lock, a queue, an event, another pool's future; not in sp_sleep), and others are queued which perhaps ought
   to end these waits.  The report is one line that names the pool, the tasks that wait and the one that is next.

   Once, until one of the waits ends.  The default writes the report to standard error; the pool waits on.  The hook runs in a
   worker that waits, or in a thread that submits.  It may call the library, end the wait, submit, and wait itself, for a lock
   under which the program logs for example: until it returns, its worker does not count as waiting, and its wait does not
   end.  Waits for futures of the own pool never starve it, see future.h. */
SP_API void sp_set_starvation_hook(void (*hook)(const char *report, void *context), void *context);

SP_END_DECLS_
#endif
