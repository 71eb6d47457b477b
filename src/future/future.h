/* Futures from the inside: for executors and for the files of this room.

   SPDX-License-Identifier: MIT */
#ifndef SP_FUTURE_FUTURE_H
#define SP_FUTURE_FUTURE_H

#include <stdbool.h>

#include <spool/future.h>

#include "base/atomic.h"
#include "base/list.h"
#include "park/deadline.h"
#include "park/runner.h"
#include "task/task.h"

/* Phases, in the low bits of the state word; README.md has the tables. */
enum sp__phase {
    SP__PENDING,
    SP__RUNNING,
    SP__SETTLING,
    SP__FINISHED, /* from here on terminal */
    SP__FAILED,
    SP__CANCELLED
};
#define SP__PHASE_MASK 7u
#define SP__FUTURE_PARKED 8u
#define SP__FUTURE_WATCHED 16u
#define SP__FUTURE_CANCEL_REQUESTED 32u
#define SP__FUTURE_SEEN 64u

/* What a future carries of its executor.  Compared with sp__runner.pool; called only by a worker of that executor, which
   therefore lives. */
struct sp__loan {
    struct sp__list link;      /* guarded by the executor's lock */
    sp_future *const *awaited; /* the lender's array, valid until give_back */
    size_t n, next;            /* next is guarded by the executor's lock */
};
struct sp__owner {
    /* The calling worker is about to sleep: let one more worker run until give_back, the awaited futures first.
       False: there is none to be had. */
    bool (*lend)(struct sp__owner *owner, struct sp__loan *loan);
    void (*give_back)(struct sp__owner *owner, struct sp__loan *loan);
};

struct sp_future {
    uint32_t refs;           /* atomic */
    uint32_t state;          /* atomic; phase and bits; parked on */
    const sp_task *task;     /* set once */
    struct sp__owner *owner; /* set once; NULL: no executor */
    sp_error *error;         /* atomic; written before the terminal state, of a cancelled future when first asked for */
    sp_future *next;         /* the executor's, guarded by its lock: in its queue */
    struct sp__list watches; /* guarded by the watch lock */
    uint64_t runner;         /* atomic; id of who runs the task; 0: nobody yet.  Stored by the runner itself */
    uint32_t process;        /* set once; sp__process_number of the process in which it was made */
    sp_status status; /* written before the terminal state: how the task ended, also without memory for `error` */
};

static inline enum sp__phase sp__future_phase(const sp_future *future)
{
    /* acquire: pairs with the release of the completion; who sees a terminal phase may read result and error */
    return (enum sp__phase)(sp__load_acquire(&future->state) & SP__PHASE_MASK);
}

static inline bool sp__future_is_done(const sp_future *future)
{
    return sp__future_phase(future) >= SP__FINISHED;
}

void *sp__future_arg_bytes(const sp_future *future);
void *sp__future_result_bytes(const sp_future *future);

/* Was the future left behind by a fork?  Its pool's workers exist in the parent only; nobody here will complete it. */
static inline bool sp__future_is_lost(const sp_future *future)
{
    return future->owner != NULL && future->process != sp__process_number;
}

/* ---- state.c ---- */
/* The immortal future of a submit for which there was no memory. */
extern sp_future sp__future_no_memory;
/* One reference; NULL: no memory, and nothing has been done with the argument. */
sp_future *sp__future_create(const sp_task *task, const void *arg, struct sp__owner *owner);
/* Make the caller the one that runs it.  False: cancelled, or claimed already. */
bool sp__future_claim(sp_future *future);
/* Run the task of a claimed future under the current runner, and complete it. */
void sp__future_run(sp_future *future);
/* Complete a future that never ran with an error, which the future owns from now on.  False: it was claimed or cancelled;
   the error is freed. */
bool sp__future_fail(sp_future *future, sp_status status, sp_error *error);
/* Somebody looks at how it ended. */
void sp__future_mark_seen(sp_future *future);
/* The error of a future that failed or was cancelled; NULL in every other phase. */
sp_error *sp__future_error_of(sp_future *future);
/* SP_OK, or how it failed.  pre: it is done. */
sp_status sp__future_status(sp_future *future);

/* ---- watch.c ---- */
struct sp__watch {
    struct sp__list node; /* guarded by the watch lock */
    /* Under the watch lock.  NULL: this is a done callback. */
    void (*notify)(struct sp__watch *watch);
    const void *set; /* whose watch it is: one set watches a future once */
    bool told;       /* guarded by the watch lock; notify was called: by the completion, or by who came after it */
};
/* Let the set be told of the completion; told at once, before this returns, if it is done.  False: the set watches the
   future already. */
bool sp__watch_add(sp_future *future, struct sp__watch *watch);
/* After this returns the watch is not touched any more. */
void sp__watch_remove(sp_future *future, struct sp__watch *watch);
/* Tell everybody.  pre: the future has just become terminal, with WATCHED set before. */
void sp__watch_tell(sp_future *future);
/* Forget callbacks that will never be called.  pre: nobody holds the future. */
void sp__watch_drop_callbacks(sp_future *future);

void sp__watch_after_fork(void);

/* ---- await.c ---- */
/* Is it the future of a task that runs on this stack? */
bool sp__is_own_future(const sp_future *future);
/* Wait for one future: SP_OK (done), SP_TIMEOUT, SP_DEADLOCK. */
sp_status sp__await(sp_future *future, int64_t deadline);
/* The same without lending a worker: for a caller that has lent one already. */
sp_status sp__await_asleep(sp_future *future, int64_t deadline);
/* Lend a worker of the calling thread's pool while it sleeps, if the set has futures of that pool that are not done.
   NULL: nothing was lent. */
struct sp__owner *sp__lend(struct sp__loan *loan, sp_future *const *futures, size_t n);
/* Run the task of a queued future of one's own pool on this stack.  False: it is not ours, not queued, or there is too
   little stack. */
bool sp__help(sp_future *future);

/* ---- completion.c ---- */
sp_completion *sp__completion_new(sp_future *const *futures, size_t n, int64_t deadline);

#endif
