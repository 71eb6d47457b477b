/* Locks.  Ready when all bytes are zero; nothing to destroy; private to the process.

   Order: everything before a release happens before everything after the acquire that follows it.
   Fairness: a thread that comes by may overtake sleepers, but one that has waited for a millisecond is next.
   Blocks: a wait spins for up to 25 us, less where that was of no use, never with one CPU; then it sleeps.
   Signals: a handler that returns does not end a wait.  Nothing here may be called from a handler.
   Fork: a lock held by the forking thread is its own in the child; waiting for one that another thread held is reported as
   a deadlock, for its owner does not exist there.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_LOCK_H
#define SPOOL_LOCK_H

#include <spool/api.h>

SP_BEGIN_DECLS_

/* A mutual exclusion lock: threading.Lock, with an owner.

   Do not copy one that is in use.  The word, to help with debugging: 0 free; bits 0-60 the id of the owner, never reused;
   bit 61 its release wakes whom a condition has notified; bit 62 the next release is for a waiter that has waited long; bit 63 somebody may sleep for it. */
typedef struct sp_lock {
    uint64_t sp_word_;
} sp_lock;

/* A lock that its owner may acquire again: threading.RLock.  Free again after as many releases. */
typedef struct sp_rlock {
    uint64_t sp_word_;
    uint32_t sp_depth_, sp_reserved_;
} sp_rlock;

/* Acquire the lock, waiting as long as it takes.
   Acquiring a lock that the caller holds is reported through sp_set_deadlock_hook(), then the process aborts; so is a wait
   that closes a cycle of threads which wait for each other's locks, ends, or results.
   Blocks: yes.  Source: CPython 3.13 threading.Lock.acquire. */
SP_API void sp_lock_acquire(sp_lock *lock);

/* Acquire the lock if that is possible within `timeout` seconds.  False: the time was up; also for the caller's own lock.
   SP_FOREVER is sp_lock_acquire(). */
SP_API bool sp_lock_acquire_timeout(sp_lock *lock, double timeout);

/* Release the lock.  The caller must be its owner; anything else is misuse (where Python raises RuntimeError for a free
   lock and lets anybody release a held one: use a semaphore or an event to signal across threads).
   Lifetime: the next owner may free the lock at once, even before this call has returned, if no other thread uses it. */
SP_API void sp_lock_release(sp_lock *lock);

/* Is the lock held by anybody?  The answer may be old when it arrives. */
SP_API bool sp_lock_locked(const sp_lock *lock);

/* The same four for the reentrant lock.  More than 2^32 - 1 levels are misuse.  Source: CPython 3.13 threading.RLock. */
SP_API void sp_rlock_acquire(sp_rlock *lock);
/* True at once for the owner, one level deeper. */
SP_API bool sp_rlock_acquire_timeout(sp_rlock *lock, double timeout);
/* Give up one level; the last one makes the lock free.  Misuse unless the caller is the owner (RuntimeError).
   Lifetime: as for sp_lock_release(). */
SP_API void sp_rlock_release(sp_rlock *lock);
/* Is the lock held by anybody? */
SP_API bool sp_rlock_locked(const sp_rlock *lock);
/* Does the caller hold it? */
SP_API bool sp_rlock_is_owned(const sp_rlock *lock);

/* ---- The inline part.  It knows two values of a word, 0 and exactly one's own id, and leaves the rest to the library. ---- */

/* The id of what runs on this thread; 0 until its first call of the library. */
extern SP_API SP_TLS_ uint64_t sp_self_id_;
/* What a program's thread sanitizer is told of the inline part.  The library has defined these for its own copy.  A
   program's copy is seen, but the first release of a word is noted only after the word is free; by then the library may
   have acquired it, so that release is told before. */
#ifndef SP_BEFORE_RELEASE_
#ifdef SP_THREAD_SANITIZER_
extern void __tsan_release(void *address);
#define SP_BEFORE_RELEASE_(word) __tsan_release(word)
#else
#define SP_BEFORE_RELEASE_(word) ((void)0)
#endif
#define SP_AFTER_ACQUIRE_(word) ((void)0)
#endif
/* What the inline part leaves to the library. */
SP_API void sp_lock_acquire_(sp_lock *lock);
SP_API void sp_lock_release_(sp_lock *lock);
SP_API void sp_rlock_acquire_(sp_rlock *lock);
SP_API void sp_rlock_release_(sp_rlock *lock);

#ifndef SPOOL_NO_INLINE

SP_INLINE_ void sp_lock_acquire(sp_lock *lock)
{
    uint64_t expected = 0, self = sp_self_id_;
    /* acquire: pairs with the release of the last owner; its section happens before ours */
    if (self == 0 || !__atomic_compare_exchange_n(&lock->sp_word_, &expected, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        sp_lock_acquire_(lock);
    SP_AFTER_ACQUIRE_(&lock->sp_word_);
}

SP_INLINE_ void sp_lock_release(sp_lock *lock)
{
    uint64_t self = sp_self_id_;
    SP_BEFORE_RELEASE_(&lock->sp_word_);
    /* release: pairs with the acquire of the next owner.  LAST TOUCH: it may free the lock. */
    if (self == 0 || !__atomic_compare_exchange_n(&lock->sp_word_, &self, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        sp_lock_release_(lock);
}

/* __builtin_expect: whoever holds it already takes the straight path, the compare-and-swap of the others hides a jump. */
SP_INLINE_ void sp_rlock_acquire(sp_rlock *lock)
{
    uint64_t found = 0, self = sp_self_id_;
    /* relaxed: only the owner stores its own id, hence whoever reads it is the owner */
    if (__builtin_expect(__atomic_load_n(&lock->sp_word_, __ATOMIC_RELAXED) == self, 1) && self != 0 &&
        lock->sp_depth_ != UINT32_MAX)
        lock->sp_depth_++;
    /* acquire: as in sp_lock_acquire */
    else if (self != 0 &&
             __atomic_compare_exchange_n(&lock->sp_word_, &found, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        lock->sp_depth_ = 1;
    else
        sp_rlock_acquire_(lock);
    SP_AFTER_ACQUIRE_(&lock->sp_word_);
}

SP_INLINE_ void sp_rlock_release(sp_rlock *lock)
{
    uint64_t self = sp_self_id_;
    SP_BEFORE_RELEASE_(&lock->sp_word_);
    /* relaxed: as in sp_rlock_acquire.  A word that is not just our id may become so at any moment, and says nothing of the
       levels: the library looks at both. */
    if (__builtin_expect(__atomic_load_n(&lock->sp_word_, __ATOMIC_RELAXED) == self, 1) && self != 0) {
        if (__builtin_expect(lock->sp_depth_ > 1, 1)) {
            lock->sp_depth_--;
            return;
        }
        /* release: as in sp_lock_release */
        if (__atomic_compare_exchange_n(&lock->sp_word_, &self, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return;
    }
    sp_rlock_release_(lock);
}

#endif

SP_END_DECLS_
#endif
