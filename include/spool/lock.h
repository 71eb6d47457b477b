/* Locks.  Ready when all bytes are zero; nothing to destroy; private to the process.

   Order: everything before a release happens before everything after the acquire that follows it.
   Fair enough: a thread that comes by may overtake sleepers.
   Fork: a lock held by the forking thread is its own in the child.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_LOCK_H
#define SPOOL_LOCK_H

#include <spool/api.h>

SP_BEGIN_DECLS_

/* A mutual exclusion lock: threading.Lock, with an owner.

   Do not copy one that is in use.  The word, to help with debugging: 0 free; bits 0-61 the id of the owner, never reused;
   bit 63 somebody may sleep for it; bit 62 reserved. */
typedef struct sp_lock {
    uint64_t sp_word_;
} sp_lock;

/* A lock that its owner may acquire again: threading.RLock.  Free again after as many releases. */
typedef struct sp_rlock {
    uint64_t sp_word_;
    uint32_t sp_depth_, sp_reserved_;
} sp_rlock;

/* Acquire the lock, waiting as long as it takes.
   Acquiring a lock that the caller holds is reported through sp_set_deadlock_hook(), then the process aborts.
   Blocks: yes.  Source: CPython 3.13 threading.Lock.acquire. */
SP_API void sp_lock_acquire(sp_lock *lock);

/* Acquire the lock if that is possible within `timeout` seconds.  False: the time was up; also for the caller's own lock.
   SP_FOREVER is sp_lock_acquire(). */
SP_API bool sp_lock_acquire_timeout(sp_lock *lock, double timeout);

/* Release the lock.  The caller must be its owner; anything else is misuse (where Python raises RuntimeError for a free
   lock and lets anybody release a held one: use a semaphore or an event to signal across threads).
   The lock may be freed by its next owner while this call returns. */
SP_API void sp_lock_release(sp_lock *lock);

/* Is the lock held by anybody?  The answer may be old when it arrives. */
SP_API bool sp_lock_locked(const sp_lock *lock);

/* The same four for the reentrant lock.  More than 2^32 - 1 levels are misuse.  Source: CPython 3.13 threading.RLock. */
SP_API void sp_rlock_acquire(sp_rlock *lock);
/* True at once for the owner, one level deeper. */
SP_API bool sp_rlock_acquire_timeout(sp_rlock *lock, double timeout);
/* Give up one level; the last one makes the lock free.  Misuse unless the caller is the owner (RuntimeError). */
SP_API void sp_rlock_release(sp_rlock *lock);
/* Is the lock held by anybody? */
SP_API bool sp_rlock_locked(const sp_rlock *lock);
/* Does the caller hold it? */
SP_API bool sp_rlock_is_owned(const sp_rlock *lock);

SP_END_DECLS_
#endif
