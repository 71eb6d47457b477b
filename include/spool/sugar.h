/* The macros: keyword arguments, typed tasks, scopes.  For C; C++ and -DSPOOL_NO_SUGAR do without.

   Each macro is one call of an exported function, whose page says what it does; those that declare or control flow
   (SP_TASK and its sisters, SP_HOLD, SP_WITH, sp_auto) are the only others.  They are silent under gcc and clang with
   -Wall -Wextra -Wpedantic -Wshadow -Wconversion, from C11 on.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_SUGAR_H
#define SPOOL_SUGAR_H

#include <spool/api.h>
#ifndef SPOOL_NO_SUGAR

#include <spool/executor.h>
#include <spool/future.h>
#include <spool/lock.h>
#include <spool/queue.h>
#include <spool/status.h>
#include <spool/sync.h>
#include <spool/task.h>
#include <spool/thread.h>

#define SP_UNUSED_ __attribute__((unused))
#define SP_CLEANUP_(f) __attribute__((cleanup(f)))
#define SP_CAT2_(a, b) a##b
#define SP_CAT_(a, b) SP_CAT2_(a, b)
/* sizeof *p; 1 when p is NULL or a void *, in ISO C: so sp_result(f, NULL, t) may ask for the status alone */
#define SP_SIZEOF_(p) (sizeof *_Generic((p), void *: (char *)0, const void *: (char *)0, default: (p)))
/* the argument of a task.  __extension__: { } is GNU before C23, -Wpedantic stays silent; real warnings stay */
#define SP_ARG_(fn, ...) __extension__ &(const fn##_sp_arg){ __VA_ARGS__ }
#define SP_OPTIONS_(type, ...) &(const type){ .struct_size = sizeof(type), __VA_ARGS__ }

/* ---- Declaring tasks: at file scope, after the function or its prototype. ----

       struct download { const char *url; double seconds; };
       static sp_status download(const struct download *in, size_t *ret_bytes) { ... }
       SP_TASK(download, struct download, size_t);

       static int square(int x) { return x * x; }
       SP_FUNCTION(square, int, int);               cannot fail

   Arg and Result may be sp_none.  Array and function types need a typedef. */
#define SP_TASK(fn, Arg, Result) SP_TASK_OWNING(fn, Arg, Result, NULL, NULL)
#define SP_FUNCTION(fn, Arg, Result)                                                                                   \
    SP_TASK_TYPES_(fn, Arg, Result);                                                                                   \
    SP_TASK_BODY_(fn, NULL, NULL, NULL, SP_CALL_FUNCTION_(fn))
/* A task whose argument or result owns memory; see drop_arg and drop_result in task.h. */
#define SP_TASK_OWNING(fn, Arg, Result, drop_arg_, drop_result_)                                                       \
    SP_TASK_TYPES_(fn, Arg, Result);                                                                                   \
    SP_TASK_BODY_(fn, NULL, (drop_arg_), (drop_result_), SP_CALL_TASK_(fn))
/* In a header: types, prototype and, in each file that includes it, a descriptor.  One file defines the function and says
   no SP_TASK. */
#define SP_TASK_EXTERN(fn, Arg, Result)                                                                                \
    SP_TASK_TYPES_(fn, Arg, Result);                                                                                   \
    extern sp_status fn(const fn##_sp_arg *, fn##_sp_result *);                                                        \
    SP_TASK_BODY_(fn, NULL, NULL, NULL, SP_CALL_TASK_(fn))
/* The argument of a task without one: sp_submit(pool, tick, SP_NONE); refused where an argument is wanted. */
#define SP_NONE .sp_unused_ = 0

#define SP_IS_BYTES_(Type) _Generic((Type *)0, sp_bytes *: 1, default: 0)
/* What is kept with a future or a thread is aligned as malloc aligns. */
#define SP_TASK_TYPES_(fn, Arg, Result)                                                                                \
    typedef Arg fn##_sp_arg;                                                                                           \
    typedef Result fn##_sp_result;                                                                                     \
    _Static_assert(_Alignof(fn##_sp_arg) <= _Alignof(max_align_t) && _Alignof(fn##_sp_result) <= _Alignof(max_align_t), \
                   "argument and result of a task must not be over-aligned")
#define SP_TASK_BODY_(fn, Codec, drop_a, drop_r, body)                                                                 \
    static sp_status fn##_sp_run(const void *sp_a_, void *sp_r_) { body }                                              \
    static const sp_task fn##_sp_task SP_UNUSED_ = {                                                                   \
        .struct_size = sizeof(sp_task), .name = #fn, .file = __FILE__, .arg_size = sizeof(fn##_sp_arg),                \
        .result_size = sizeof(fn##_sp_result), .run = fn##_sp_run, .drop_arg = drop_a, .drop_result = drop_r,          \
        .codec = Codec, .arg_is_bytes = SP_IS_BYTES_(fn##_sp_arg), .result_is_bytes = SP_IS_BYTES_(fn##_sp_result) }
#define SP_CALL_TASK_(fn) return fn((const fn##_sp_arg *)sp_a_, (fn##_sp_result *)sp_r_);
#define SP_CALL_FUNCTION_(fn)                                                                                          \
    *(fn##_sp_result *)sp_r_ = fn(*(const fn##_sp_arg *)sp_a_);                                                        \
    return SP_OK;

/* ---- Calls.  A trailing comma gives the inner macro's "..." an argument, as C11 demands; { 7, } is fine. ---- */

/* status.h */
#define sp_raise(status, ...) sp_raise_at(__FILE__, __LINE__, (sp_status)(status), __VA_ARGS__) /* cast: user codes */
#define sp_raise_errno(...) sp_raise_errno_at(__FILE__, __LINE__, __VA_ARGS__)

/* executor.h */
#define sp_thread_pool(...) sp_thread_pool_new(SP_OPTIONS_(sp_thread_pool_options, __VA_ARGS__))
#define sp_inline_pool(...) sp_inline_pool_new(SP_OPTIONS_(sp_inline_pool_options, __VA_ARGS__))
#define sp_submit(pool, ...) SP_SUBMIT_(sp_executor_submit, (pool), __VA_ARGS__, )
#define sp_post(pool, ...) SP_SUBMIT_(sp_executor_post, (pool), __VA_ARGS__, )
#define SP_SUBMIT_(call, pool, fn, ...) call(pool, &fn##_sp_task, SP_ARG_(fn, __VA_ARGS__))
/* an argument that exists already: sp_submit_from(pool, fetch, &request) */
#define sp_submit_from(pool, fn, arg) SP_SUBMIT_FROM_((pool), fn, (arg))
#define SP_SUBMIT_FROM_(pool, fn, arg) sp_executor_submit(pool, &fn##_sp_task, (const fn##_sp_arg *){ arg })
#define sp_map(pool, fn, in, out, ...) SP_MAP_((pool), fn, (in), (out), __VA_ARGS__, )
#define SP_MAP_(pool, fn, in, out, n, ...)                                                                             \
    sp_executor_map(pool, &fn##_sp_task, (const fn##_sp_arg *){ in }, (fn##_sp_result *){ out }, (n),                  \
                    SP_OPTIONS_(sp_map_options, __VA_ARGS__))
#define sp_map_lazy(pool, fn, next, ...) SP_MAP_LAZY_((pool), fn, (next), __VA_ARGS__, )
#define SP_MAP_LAZY_(pool, fn, next, context, ...)                                                                     \
    sp_executor_map_lazy(pool, &fn##_sp_task, next, (context), SP_OPTIONS_(sp_map_lazy_options, __VA_ARGS__))
#define sp_map_next(mapping, out, timeout) sp_mapping_next((mapping), (out), SP_SIZEOF_(out), (timeout))
#define sp_shutdown(...) SP_SHUTDOWN_(__VA_ARGS__, )
#define SP_SHUTDOWN_(pool, ...) sp_executor_shutdown((pool), SP_OPTIONS_(sp_shutdown_options, __VA_ARGS__))

/* thread.h */
#define sp_start(...) SP_START_(NULL, __VA_ARGS__, )
#define sp_start_with(options, ...) SP_START_((options), __VA_ARGS__, )
#define SP_START_(options, fn, ...) sp_thread_start(options, &fn##_sp_task, SP_ARG_(fn, __VA_ARGS__))
#define SP_THREAD(...) (SP_OPTIONS_(sp_thread_options, __VA_ARGS__)) /* the parentheses shield its commas */
#define sp_timer_start(seconds, ...) SP_TIMER_START_((seconds), __VA_ARGS__, )
#define SP_TIMER_START_(seconds, fn, ...) sp_timer_new(seconds, &fn##_sp_task, SP_ARG_(fn, __VA_ARGS__))
#define sp_join(thread, out, timeout) sp_thread_join((thread), (out), SP_SIZEOF_(out), (timeout))

/* future.h */
#define sp_result(future, out, timeout) sp_future_result((future), (out), SP_SIZEOF_(out), (timeout))
#define sp_result_of(fn, future, out, timeout) SP_RESULT_OF_(fn, (future), (out), (timeout))
#define SP_RESULT_OF_(fn, future, out, timeout)                                                                        \
    sp_future_result_of(future, &fn##_sp_task, (fn##_sp_result *){ out }, timeout)
#define sp_wait(futures, n, until, timeout) sp_futures_wait((futures), (n), (until), (timeout))
#define sp_next(completion) sp_completion_next(completion)

/* queue.h */
#define sp_queue_of(...) SP_QUEUE_OF_(__VA_ARGS__, )
#define SP_QUEUE_OF_(Type, ...) sp_queue_new(sizeof(Type), SP_OPTIONS_(sp_queue_options, __VA_ARGS__))
#define sp_put(queue, item, timeout) sp_queue_put((queue), (item), sizeof *(item), (timeout))
#define sp_get(queue, item, timeout) sp_queue_get((queue), (item), sizeof *(item), (timeout))
#define sp_queue_put_many(queue, items, n, done, timeout)                                                              \
    sp_queue_put_items((queue), (items), sizeof *(items), (n), (done), (timeout))
#define sp_queue_get_many(queue, items, n, done, timeout)                                                              \
    sp_queue_get_items((queue), (items), sizeof *(items), (n), (done), (timeout))

/* ---- Scopes.  Cleanup does not run on longjmp. ---- */

typedef struct sp_guard {
    void *sp_object_;
    void (*sp_leave_)(void *object);
    bool sp_live_;
} sp_guard;

static inline SP_UNUSED_ void sp_leave_lock_(void *lock)
{
    sp_lock_release((sp_lock *)lock);
}

static inline SP_UNUSED_ void sp_leave_rlock_(void *lock)
{
    sp_rlock_release((sp_rlock *)lock);
}

static inline SP_UNUSED_ void sp_leave_semaphore_(void *semaphore)
{
    sp_status status = sp_semaphore_release((sp_semaphore *)semaphore, 1);
    (void)status; /* it has room for the permit that was taken on entry */
}

static inline SP_UNUSED_ sp_guard sp_guard_lock_(sp_lock *lock)
{
    sp_lock_acquire(lock);
    return (sp_guard){ lock, sp_leave_lock_, true };
}

static inline SP_UNUSED_ sp_guard sp_guard_rlock_(sp_rlock *lock)
{
    sp_rlock_acquire(lock);
    return (sp_guard){ lock, sp_leave_rlock_, true };
}

static inline SP_UNUSED_ sp_guard sp_guard_semaphore_(sp_semaphore *semaphore)
{
    sp_semaphore_acquire(semaphore);
    return (sp_guard){ semaphore, sp_leave_semaphore_, true };
}

static inline SP_UNUSED_ void sp_guard_leave_(sp_guard *guard)
{
    guard->sp_leave_(guard->sp_object_);
}

#define SP_ENTER_(l)                                                                                                   \
    _Generic((l), sp_lock *: sp_guard_lock_, sp_rlock *: sp_guard_rlock_, sp_semaphore *: sp_guard_semaphore_)(l)
/* Hold a lock, reentrant lock or permit until the end of the enclosing block, however it is left. */
#define SP_HOLD(l) sp_guard SP_CAT_(sp_guard_, __COUNTER__) SP_CLEANUP_(sp_guard_leave_) SP_UNUSED_ = SP_ENTER_(l)
/* Python's with: hold it for the statement that follows.  break and continue leave that statement, not a loop around
   it; return and goto are fine. */
#define SP_WITH(l) SP_BLOCK_(SP_CAT_(sp_guard_, __COUNTER__), SP_ENTER_(l))
#define SP_BLOCK_(guard, enter)                                                                                        \
    for (sp_guard guard SP_CLEANUP_(sp_guard_leave_) = enter; guard.sp_live_; guard.sp_live_ = false)

/* A handle that ends with its scope: `sp_auto(sp_executor) pool = sp_thread_pool();`.  An executor is shut down (drained)
   and released; a mapping is released, which cancels the rest; a completion, thread, timer, queue and future are released.  NULL is
   fine. */
#define sp_auto(Type) SP_CLEANUP_(Type##_scope_end_) SP_UNUSED_ Type *

static inline SP_UNUSED_ void sp_executor_scope_end_(sp_executor **handle)
{
    sp_status status = sp_executor_shutdown(*handle, NULL);
    (void)status; /* SP_DEADLOCK from its own task: it is closed all the same */
    sp_executor_release(*handle);
}

static inline SP_UNUSED_ void sp_mapping_scope_end_(sp_mapping **handle)
{
    sp_mapping_release(*handle);
}

static inline SP_UNUSED_ void sp_completion_scope_end_(sp_completion **handle)
{
    sp_completion_release(*handle);
}

static inline SP_UNUSED_ void sp_thread_scope_end_(sp_thread **handle)
{
    sp_thread_release(*handle);
}

static inline SP_UNUSED_ void sp_timer_scope_end_(sp_timer **handle)
{
    sp_timer_release(*handle);
}

static inline SP_UNUSED_ void sp_queue_scope_end_(sp_queue **handle)
{
    sp_queue_release(*handle);
}

static inline SP_UNUSED_ void sp_future_scope_end_(sp_future **handle)
{
    sp_future_release(*handle);
}

#endif
#endif
