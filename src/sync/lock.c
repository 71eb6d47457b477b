/* sp_lock: one word, see lock_word.h.

   SPDX-License-Identifier: MIT */
#define SPOOL_NO_INLINE
#include <spool/lock.h>

#include "os/os.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_lock) == 8, "sp_lock is one word; programs are compiled against it");

static const char WAITS[] = "waits for the lock";

void sp_lock_acquire_(sp_lock *lock)
{
    /* The inline part has tried: look before the next try, which would take the cache line from the owner. */
    (void)sp__lock_word_acquire_slow(&lock->sp_word_, sp__self_id(), SP__NEVER, WAITS);
}

void sp_lock_acquire(sp_lock *lock)
{
    sp_lock_acquire_(lock);
}

bool sp_lock_acquire_timeout(sp_lock *lock, double timeout)
{
    return sp__lock_word_acquire_timeout(&lock->sp_word_, sp__self_id(), timeout, WAITS);
}

void sp_lock_release_(sp_lock *lock)
{
    uint64_t id = sp__self_id(), owner = sp__lock_word_owner(&lock->sp_word_);
    if (owner == id)
        sp__lock_word_release(&lock->sp_word_, id);
    else if (owner == 0)
        sp__panic("sp_lock_release: the lock at %p is not held", (void *)lock);
    else
        sp__panic("sp_lock_release: the lock at %p is held by somebody else", (void *)lock);
}

void sp_lock_release(sp_lock *lock)
{
    sp_lock_release_(lock);
}

bool sp_lock_locked(const sp_lock *lock)
{
    return sp__lock_word_owner(&lock->sp_word_) != 0;
}
