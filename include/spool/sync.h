/* Semaphore, event, condition, barrier, once.  Private to the process; nothing to destroy; not to be copied while in use.

   Lifetime: a thread that one of these calls lets go on may free the object at once, even before that call has returned, if no
   other thread uses the object: the thread that got the permit, saw the event set, was notified, left the barrier, or found the
   once done.  A thread that is still in a call of its own uses the object, but for the cases named at conditions and barriers.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_SYNC_H
#define SPOOL_SYNC_H

#include <spool/api.h>
#include <spool/lock.h>
#include <spool/status.h>

SP_BEGIN_DECLS_

/* So many permits.  All bytes zero is a semaphore without a permit; Python's default is SP_SEMAPHORE(1). */
typedef struct sp_semaphore {
    uint64_t sp_word_;
    uint32_t sp_limit_, sp_bounded_;
} sp_semaphore;

/* Initialisers: `static sp_semaphore s = SP_SEMAPHORE(3);`, `s = (sp_semaphore)SP_SEMAPHORE(3);` */
#define SP_SEMAPHORE(n)                                                                                                \
    {                                                                                                                  \
        (uint32_t)(n), 0, 0                                                                                            \
    }
#define SP_BOUNDED_SEMAPHORE(n)                                                                                        \
    {                                                                                                                  \
        (uint32_t)(n), (uint32_t)(n), 1                                                                                \
    }

/* Take a permit, waiting as long as it takes.  Sleepers are served first come first served.
   Order: the release happens before the acquire that it lets in.  Source: CPython 3.13 threading.Semaphore. */
SP_API void sp_semaphore_acquire(sp_semaphore *semaphore);

/* Take a permit within `timeout` seconds.  False: the time was up. */
SP_API bool sp_semaphore_acquire_timeout(sp_semaphore *semaphore, double timeout);

/* Give n permits, waking up to n sleepers, who have theirs when they wake.  Any thread may.

   Returns SP_OK, or
     SP_VALUE_ERROR  n is 0; the semaphore is bounded and would exceed its first value; more than 2^32 - 1 (ValueError) */
SP_API SP_MUST_CHECK sp_status sp_semaphore_release(sp_semaphore *semaphore, unsigned n);

/* A flag to wait for.  All bytes zero: not set. */
typedef struct sp_event {
    uint64_t sp_word_;
} sp_event;

/* Set the flag and release everyone who waits, also if clear follows at once.  Setting a set flag is a release too.
   Order: set happens before the wait that it ends and before sp_event_is_set() that sees it.
   Source: CPython 3.13 threading.Event. */
SP_API void sp_event_set(sp_event *event);
/* Take the flag down. */
SP_API void sp_event_clear(sp_event *event);
/* Is the flag set? */
SP_API bool sp_event_is_set(const sp_event *event);
/* Wait for the flag.  True: it is set, or was set at some moment of the wait.  False: the time was up. */
SP_API bool sp_event_wait(sp_event *event, double timeout);

/* Wait for a change that others make under a lock.  All bytes zero: nobody waits.  The lock is given to wait; several
   conditions may share one, one condition must not be waited on with two at a time (misuse). */
typedef struct sp_condition {
    uint64_t sp_word_, sp_reserved_;
} sp_condition;

/* Give up the lock, wait for a notification or for the time to pass, take the lock back.

   True: a notification was meant for this wait; there are no spurious ones.  False: the time was up.  The lock is held
   again in either case, and taking it back may take longer than the timeout.  Waiting without holding the lock is misuse
   (RuntimeError).  Order: notify happens before the return of the wait that it ends.
   Source: CPython 3.13 threading.Condition.wait. */
SP_API bool sp_condition_wait(sp_condition *condition, sp_lock *lock, double timeout);
/* The same with a reentrant lock: all its levels are given up and taken back. */
SP_API bool sp_condition_wait_rlock(sp_condition *condition, sp_rlock *lock, double timeout);
/* Wait until predicate(context), called with the lock held, is true.  Returns its last value: false when the time was
   up. */
SP_API bool sp_condition_wait_for(sp_condition *condition, sp_lock *lock, bool (*predicate)(void *context),
                                  void *context, double timeout);
/* Wake n waiters, or all when there are fewer; the longest first.  The lock need not be held (Python insists).
   Lifetime: a waiter for which sp_condition_wait() returned true does not use the condition any more, only the lock.  So when
   all waiters are notified, the first of them to return may free the condition; the last, which has released the lock, may free
   the lock.  A thread that sees the change without having been notified may free the condition only when the notifier cannot
   still be in this call: when the notifier holds the lock during the call, and the thread has acquired it since. */
SP_API void sp_condition_notify(sp_condition *condition, unsigned n);
/* Wake all waiters. */
SP_API void sp_condition_notify_all(sp_condition *condition);

/* A meeting point for so many threads.  SP_BARRIER(4), or SP_BARRIER_ACTION(4, fn, context): `fn` is called by the last to
   arrive, before anyone leaves; when it returns false, ends its thread by pthread_exit(), or throws a C++ exception, which
   passes on to who called the wait, the barrier is broken.  It must not wait for its own barrier, nor call exit(): the others
   wait for it, without a limit, and exit() waits for them. */
typedef struct sp_barrier {
    uint64_t sp_word_;
    uint32_t sp_parties_, sp_process_;
    bool (*sp_action_)(void *context);
    void *sp_context_;
} sp_barrier;
#define SP_BARRIER(n) SP_BARRIER_ACTION(n, NULL, NULL)
#define SP_BARRIER_ACTION(n, fn, context)                                                                              \
    {                                                                                                                  \
        0, (uint32_t)(n), 0, (fn), (context)                                                                           \
    }

/* Wait until as many have arrived as the barrier wants, then go on together; it is ready for the next round at once.

   *ret_index, unless NULL, is 0 for the first to arrive and so on: exactly one has 0.

   Returns SP_OK, or
     SP_TIMEOUT         the others did not come within `timeout` seconds: the barrier is broken (BrokenBarrierError)
     SP_BROKEN_BARRIER  it was broken or reset, before or during the wait: by abort, by another's time-out, by its action
                        (BrokenBarrierError)
     SP_VALUE_ERROR     timeout is NaN; it is for nobody, all bytes zero (ValueError)
   Order: what each did before its wait happens before the action and before every return with SP_OK.
   Lifetime: the first thread to return with SP_OK may free the barrier at once, if no thread outside this round uses it: the
     others of the round do not use it any more.  The same after SP_BROKEN_BARRIER, when the action does not run, the others of
     the round have all arrived, and none but the one that broke it waits with a limit.
   Blocks: yes.  Fork: in the child a barrier that somebody waited for is broken.  Source: CPython 3.13 threading.Barrier. */
SP_API SP_MUST_CHECK sp_status sp_barrier_wait(sp_barrier *barrier, unsigned *ret_index, double timeout);
/* Make it as new.  Who waits gets SP_BROKEN_BARRIER. */
SP_API void sp_barrier_reset(sp_barrier *barrier);
/* Break it until the next reset.  Who waits gets SP_BROKEN_BARRIER. */
SP_API void sp_barrier_abort(sp_barrier *barrier);
/* How many wait; old when it arrives. */
SP_API unsigned sp_barrier_n_waiting(const sp_barrier *barrier);
/* Is it broken? */
SP_API bool sp_barrier_broken(const sp_barrier *barrier);

/* Something that is done once.  All bytes zero: not yet. */
typedef struct sp_once {
    uint64_t sp_word_;
} sp_once;

/* Call fn(context) if no call on *once did before; wait until that call has returned.  Calling it from inside fn is
   reported as a deadlock.  A C++ exception that leaves fn passes on to its caller, and the once is new again.
   Order: what fn did happens before every return.  Source: pthread_once(3).
   Lifetime: fn must not free the once; a thread whose call returned may, even before the call that ran fn has returned. */
SP_API void sp_once_call(sp_once *once, void (*fn)(void *context), void *context);

SP_END_DECLS_
#endif
