/* sp_rlock: the word of a lock, and how often its owner holds it.

   sp_depth_ belongs to the owner: nobody else reads or writes it.

   SPDX-License-Identifier: MIT */
#define SPOOL_NO_INLINE
#include <spool/lock.h>

#include "os/os.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_rlock) == 16, "sp_rlock is two words; programs are compiled against it");

static const char WAITS[] = "waits for the reentrant lock";

/* One level more for the owner.  False: it holds 2^32 - 1 already. */
static bool nest(sp_rlock *lock)
{
    if (lock->sp_depth_ == UINT32_MAX) {
        sp__panic("sp_rlock_acquire: the reentrant lock at %p is held 4294967295 times", (void *)lock);
        return false;
    }
    lock->sp_depth_++;
    return true;
}

void sp_rlock_acquire_(sp_rlock *lock)
{
    uint64_t id = sp__self_id();
    if (sp__lock_word_owner(&lock->sp_word_) == id) {
        (void)nest(lock);
        return;
    }
    sp__lock_word_acquire(&lock->sp_word_, id, WAITS);
    lock->sp_depth_ = 1;
}

void sp_rlock_acquire(sp_rlock *lock)
{
    sp_rlock_acquire_(lock);
}

bool sp_rlock_acquire_timeout(sp_rlock *lock, double timeout)
{
    uint64_t id = sp__self_id();
    if (sp__lock_word_owner(&lock->sp_word_) == id)
        return nest(lock);
    if (!sp__lock_word_acquire_timeout(&lock->sp_word_, id, timeout, WAITS))
        return false;
    lock->sp_depth_ = 1;
    return true;
}

void sp_rlock_release_(sp_rlock *lock)
{
    uint64_t id = sp__self_id();
    if (sp__lock_word_owner(&lock->sp_word_) != id) {
        sp__panic("sp_rlock_release: the reentrant lock at %p is not held by the caller", (void *)lock);
        return;
    }
    if (--lock->sp_depth_ == 0)
        sp__lock_word_release(&lock->sp_word_, id);
}

void sp_rlock_release(sp_rlock *lock)
{
    sp_rlock_release_(lock);
}

bool sp_rlock_locked(const sp_rlock *lock)
{
    return sp__lock_word_owner(&lock->sp_word_) != 0;
}

bool sp_rlock_is_owned(const sp_rlock *lock)
{
    return sp__lock_word_owner(&lock->sp_word_) == sp__self_id();
}

uint32_t sp__rlock_release_all(sp_rlock *lock)
{
    uint32_t depth = lock->sp_depth_;
    lock->sp_depth_ = 0;
    sp__lock_word_release(&lock->sp_word_, sp__self_id());
    return depth;
}

void sp__rlock_restore(sp_rlock *lock, uint32_t depth)
{
    sp__lock_word_acquire(&lock->sp_word_, sp__self_id(), WAITS);
    lock->sp_depth_ = depth;
}
