/* The lock of a bucket and of other short internal sections: three states on a futex word.

   word   meaning
   0      free
   1      held, nobody sleeps for it
   2      held, somebody may sleep for it; the release must wake one.  A stale 2 costs one useless wake, nothing else.

   A model of it (tests/model) defines SP__MODEL and, in place of what is included here, sp__futex_word, sp__cas_acquire,
   sp__exchange_acquire, sp__exchange_release, sp__os_futex_wait, sp__os_futex_wake, SP__NEVER and SP__PAUSE; so the rest is in
   the common subset of C11 and C++03.

   After U. Drepper, "Futexes Are Tricky", the third mutex.  It is not handed out through the parking lot because it is
   what the parking lot stands on; nothing that blocks for long is ever done while it is held.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_WORD_LOCK_H
#define SP_PARK_WORD_LOCK_H

#ifndef SP__MODEL
#include "base/atomic.h"
#include "base/pause.h"
#include "os/os.h"
typedef uint32_t sp__futex_word;
#endif

#ifdef __clang__
#define SP__CAPABILITY __attribute__((capability("word lock")))
#define SP__ACQUIRES(lock) __attribute__((acquire_capability(lock)))
#define SP__RELEASES(lock) __attribute__((release_capability(lock)))
#define SP__GUARDED_BY(lock) __attribute__((guarded_by(lock)))
#define SP__REQUIRES(lock) __attribute__((requires_capability(lock)))
#define SP__UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define SP__CAPABILITY
#define SP__ACQUIRES(lock)
#define SP__RELEASES(lock)
#define SP__GUARDED_BY(lock)
#define SP__REQUIRES(lock)
#define SP__UNCHECKED
#endif

struct SP__CAPABILITY sp__word_lock {
    sp__futex_word word; /* atomic; see the table above; all-zero is free */
};

/* A program's thread sanitizer is told nothing: what these locks guard is ours, and an order between threads that have nothing
   to do with each other would hide their races.  Who hands data of a user's over says so itself. */
#undef SP__LOUD
#define SP__LOUD 0

static inline void sp__word_lock_acquire(struct sp__word_lock *lock) SP__ACQUIRES(lock) SP__UNCHECKED
{
    uint32_t found = 0;
    /* acquire: pairs with the release in sp__word_lock_release; the section before happens before ours */
    if (sp__cas_acquire(&lock->word, &found, 1))
        return;
    /* acquire: as above; once we slept we cannot know whether others still do, so we hold it as 2 */
    while (sp__exchange_acquire(&lock->word, 2) != 0) {
        SP__PAUSE("word lock: taken");
        sp__os_futex_wait(&lock->word, 2, SP__NEVER);
    }
}

static inline void sp__word_lock_release(struct sp__word_lock *lock) SP__RELEASES(lock) SP__UNCHECKED
{
    /* release: pairs with the acquires above.  LAST TOUCH: the next owner may free what the lock is part of. */
    if (sp__exchange_release(&lock->word, 0) == 2)
        sp__os_futex_wake(&lock->word, 1);
}

#undef SP__LOUD
#define SP__LOUD 1

#endif
