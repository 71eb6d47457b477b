/* The word of lock and reentrant lock; README.md has its table.

   SPDX-License-Identifier: MIT */
#ifndef SP_SYNC_LOCK_WORD_H
#define SP_SYNC_LOCK_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "park/deadline.h"
#include "park/park.h"

/* The id of the owner: what is left of a word without its marks.  lock_protocol.h has the marks. */
#define SP__LOCK_ID ((UINT64_C(1) << 61) - 1)

/* Acquire for `id` until `deadline`.  `waits` says in a deadlock report what is done: "waits for the lock". */
bool sp__lock_word_acquire_slow(uint64_t *word, uint64_t id, int64_t deadline, const char *waits);
/* Make the lock free and wake who is next.  pre: the caller owns it. */
void sp__lock_word_release_slow(uint64_t *word);

static inline bool sp__lock_word_try(uint64_t *word, uint64_t id)
{
    uint64_t free_word = 0;
    /* acquire: pairs with the release of the last owner; its section happens before ours */
    return sp__cas_acquire(word, &free_word, id);
}

static inline void sp__lock_word_acquire(uint64_t *word, uint64_t id, const char *waits)
{
    if (!sp__lock_word_try(word, id))
        (void)sp__lock_word_acquire_slow(word, id, SP__NEVER, waits);
}

static inline bool sp__lock_word_acquire_timeout(uint64_t *word, uint64_t id, double timeout, const char *waits)
{
    return sp__lock_word_try(word, id) || sp__lock_word_acquire_slow(word, id, sp__deadline(timeout), waits);
}

static inline void sp__lock_word_release(uint64_t *word, uint64_t id)
{
    /* release: pairs with the acquire of the next owner.  LAST TOUCH: it may free the lock. */
    if (!sp__cas_release(word, &id, 0))
        sp__lock_word_release_slow(word);
}

/* Make the release call sp__wake_deferred().  pre: the caller owns it. */
void sp__lock_word_owe(uint64_t *word);

static inline uint64_t sp__lock_word_owner(const uint64_t *word)
{
    /* relaxed: compared with one's own id, which only oneself stores, or an answer that is old when it arrives */
    return sp__load_relaxed(word) & SP__LOCK_ID;
}

/* Reentrant locks inside a condition wait: give up all levels, take them back. */
struct sp_rlock;
uint32_t sp__rlock_release_all(struct sp_rlock *lock);
void sp__rlock_restore(struct sp_rlock *lock, uint32_t depth);

#endif
