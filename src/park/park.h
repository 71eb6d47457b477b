/* The parking lot: sleep on an address, wake who sleeps there.  README.md has the invariants and the proof.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_PARK_H
#define SP_PARK_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "park/runner.h"

/* What a sleeper waits for.  One kind for each operation: a wake-up never reaches a sleeper of another. */
/* clang-format off: one idea, one line */
enum sp__kind {
    SP__SLEEP,
    SP__LOCK,
    SP__LOCK_HEIR,
    SP__SEMAPHORE,
    SP__EVENT,
    SP__CONDITION,
    SP__ONCE,
    SP__BARRIER,
    SP__BARRIER_GATE,
    SP__QUEUE_PUT,
    SP__QUEUE_GET,
    SP__QUEUE_JOIN,
    SP__THREAD_END,
    SP__FUTURE,
    SP__COMPLETION,
    SP__WORKER
};
/* clang-format on */

struct sp__wait {
    const void *address;
    enum sp__kind kind;
    /* Under the bucket lock: does the object's word still ask for a wait?  Required. */
    bool (*must_wait)(void *context);
    /* After the bucket lock is free, before the sleep.  Optional. */
    void (*before_sleep)(void *context);
    /* Under the bucket lock, when this sleeper gave up at its deadline; `more`: others of (address, kind) still sleep.
       Optional. */
    void (*on_timeout)(void *context, bool more);
    /* Under the bucket lock, at the deadline: may this sleeper give up?  False: what it waits for is decided, and it will be
       woken soon.  Optional: it may. */
    bool (*may_give_up)(void *context);
    void *context;
    int64_t deadline; /* see deadline.h */
    bool spun;        /* the caller has spun before, or wants no spin */
    bool
        keeps_place; /* the sleeper stays in the queue, to be granted, while `late` of its block hooks runs; see README.md */
    /* For the graph of waits: in it while the thread sleeps, and only then.  NULL, always with a time limit: anybody may end
       the wait. */
    struct sp__edge *edge;
};

enum sp__parked {
    SP__PARK_CHANGED = 1, /* must_wait said no */
    SP__PARK_RECHECK,     /* woken: look at the word again */
    SP__PARK_GRANTED,     /* woken, and what was waited for is the caller's */
    SP__PARK_REFUSED,     /* woken, and what was waited for will not come */
    SP__PARK_TIMEOUT,     /* the deadline passed and nothing was granted */
    SP__PARK_DEADLOCK     /* the wait would close a cycle of edges that may be refused */
};

/* Sleep.  The block hooks of the runner are run around the sleep, not when there is none. */
enum sp__parked sp__park(const struct sp__wait *wait);

struct sp__wake {
    const void *address;
    enum sp__kind kind;
    size_t most;           /* wake up to so many, longest sleeper first */
    enum sp__parked token; /* SP__PARK_RECHECK, SP__PARK_GRANTED or SP__PARK_REFUSED */
    /* Under the bucket lock, before anything is unlinked: wake so many instead of `most`; may change the object.
       Optional. */
    size_t (*decide)(void *context);
    /* Under the bucket lock, after the sleepers are unlinked and before any of them runs: the last store to the object.
       `more`: others of (address, kind) still sleep.  Optional. */
    void (*commit)(void *context, size_t woken, bool more);
    /* Under the bucket lock, after commit, when somebody was unlinked: true leaves the waking to sp__wake_deferred(), which
       the calling runner then owes.  For sleepers that need something next which the caller still holds.  Optional. */
    bool (*defer)(void *context);
    void *context;
};

/* Wake.  Returns how many were woken.  Without `commit`, `address` is only a number. */
size_t sp__unpark(const struct sp__wake *wake);
/* The first half of it: unlink, and commit; the caller wakes soon with the second.  For those who may not touch the object
   after a store that comes between the two.  `woken` is a list, to which the sleepers are added.  Without `defer`. */
void sp__unpark_into(const struct sp__wake *wake, struct sp__list *woken);
void sp__wake_unlinked(struct sp__list *woken);
/* Wake those that the calling runner has unlinked and left asleep. */
void sp__wake_deferred(void);
/* The same for a runner that ends; the calling thread is on its stack. */
void sp__wake_deferred_of(struct sp__runner *runner);

/* False: nobody sleeps in the bucket of `address`, and whoever comes sees what the caller wrote before by a sequentially
   consistent read-modify-write.  True: perhaps. */
bool sp__park_maybe_waiters(const void *address);

/* A blocking call of the system (joining a thread, waiting for descriptors): run it with the block hooks around it.  `edge`:
   as in sp__wait, and may not be refused; in the graph while fn runs, which must do nothing but wait. */
void sp__park_block(void (*fn)(void *arg), void *arg, struct sp__edge *edge);

/* In the child of a fork nobody sleeps; see README.md. */
void sp__park_after_fork(void);

#endif
