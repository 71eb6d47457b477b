/* Futures from the inside: for executors and for the files of this room.

   SPDX-License-Identifier: MIT */
#ifndef SP_FUTURE_FUTURE_H
#define SP_FUTURE_FUTURE_H

#include <stdbool.h>

#include <spool/future.h>

#include "base/atomic.h"
#include "base/copy.h"
#include "base/list.h"
#include "base/nested.h"
#include "os/fault.h"
#include "park/deadline.h"
#include "park/runner.h"
#include "task/task.h"

typedef uint64_t sp__state_word;
#include "future/state_word.h"

/* A worker's permit, given to others while its task sleeps for `awaited`. */
struct sp__loan {
    struct sp__list link;      /* guarded by the executor's lock; linked while some of `awaited` may be queued */
    sp_future *const *awaited; /* the lender's array, valid until give_back */
    size_t n, next;            /* next is guarded by the executor's lock */
    bool for_ever;             /* the wait has no limit */
    bool stuck;                /* guarded by the executor's lock: an initializer waits for what is queued */
};
/* What a future carries of its executor.  Compared with sp__runner.pool; called only by a worker of that executor, which
   therefore lives. */
struct sp__owner {
    /* The calling worker is about to sleep: let one more worker run until give_back, the awaited futures first, if one need
       be.  SP_OS_ERROR: it need be, and there is none to be had.  SP_DEADLOCK, for a wait without limit: nor will there ever
       be.  NULL: the executor has no workers, see sp__future_driver. */
    sp_status (*lend)(struct sp__owner *owner, struct sp__loan *loan);
    void (*give_back)(struct sp__owner *owner, struct sp__loan *loan);
    /* The calling worker, known by its sp__runner.worker, has claimed this future to run it itself: count it as dealt with and
       take it out of its queue.  True: the queue's reference is the caller's now.  False: it stays there until the executor
       meets it and drops it.  */
    bool (*claimed)(struct sp__owner *owner, void *worker, sp_future *future);
    /* The calling thread, any thread, has just cancelled this future: as above.  Under the future's place lock, which keeps the
       executor: it may call nothing that is not its own. */
    bool (*cancelled)(struct sp__owner *owner, sp_future *future);
    /* After `cancelled`, without a lock, if the caller is a worker of the executor: drop what is easily dropped.  Optional. */
    void (*tidy)(struct sp__owner *owner, void *worker);
    /* Set once.  Bytes of stack that must be left for a waiting worker to run a task on it; 0: half of the stack. */
    size_t stack_to_help;
};

/* A block: this, the argument, the result.  One cache line on 64 bits. */
struct sp_future {
    sp__state_word word;     /* atomic; README.md has the table; parked on */
    const sp_task *task;     /* set once */
    struct sp__owner *owner; /* set once; NULL: no executor */
    union {
        sp_error *error;   /* atomic; written before the terminal state, of a cancelled future when first asked for */
        sp_future *before; /* the executor's, while it lies in a queue; NULL again before anything is written here */
    };
    union {
        struct {
            union {
                sp_future *next; /* atomic; the executor's: in its queue */
                uintptr_t place; /* atomic; the executor's: where the future lies */
            };
            struct sp__watch *watches; /* guarded by the watch lock: newest first */
        };
        struct sp__nested_call last; /* when nobody holds the future any more: what is left to be called */
    };
    uint64_t runner;  /* atomic; id of who runs the task; 0: nobody yet.  Stored by the runner itself */
    uint32_t process; /* atomic; sp__process_number when it was made, or of the child where it is being settled */
    union {
        uint32_t thread_tag; /* atomic; while the task runs, by who runs it: see sp__thread_tag */
        sp_status status;    /* atomic; written before the terminal state: how the task failed, also without `error` */
    };
};

static inline enum sp__phase sp__future_phase(const sp_future *future)
{
    /* acquire: pairs with the release of the completion; who sees a terminal phase may read result and error */
    return sp__phase_of(sp__load_acquire(&future->word));
}

static inline bool sp__future_is_done(const sp_future *future)
{
    return sp__future_phase(future) >= SP__FINISHED;
}

static inline void *sp__future_arg_bytes(const sp_future *future)
{
    return (char *)(uintptr_t)future + sizeof(sp_future);
}

static inline void *sp__future_result_bytes(const sp_future *future)
{
    size_t offset = sp__task_place(sizeof(sp_future) + future->task->arg_size, future->task->result_size);
    return (char *)(uintptr_t)future + offset;
}

/* Was the future left behind by a fork?  Its pool's workers exist in the parent only, or the thread that was just settling it;
   nobody here will complete it. */
static inline bool sp__future_is_lost(const sp_future *future)
{
    if (future->owner == NULL && sp__future_phase(future) != SP__SETTLING)
        return false;
    /* relaxed: who settles it in a child stores it before the phase, which was acquired */
    return sp__load_relaxed(&future->process) != sp__process_number;
}

/* Asked by whoever is about to sleep for a future: run, in the calling thread, one task of the future's executor.  False:
   that is not how its tasks are run, or there is nothing to be run for it; the caller may sleep.  Set before main, or never.

   Not a function of sp__owner: a waiter that is no worker of the executor does not keep it, and the executor may go as soon
   as the future is done.  So it is for the driver to tell, by its address alone, whether there still is such an executor. */
extern bool (*sp__future_driver)(sp_future *awaited);
extern uint32_t sp__driven_executors; /* atomic; how many there are */

/* ---- block.c ---- */
/* Memory of futures, recycled; README.md, "Memory". */
#define SP__BLOCK_UNIT 16u
#define SP__BLOCK_LARGEST 256u
#define SP__BLOCK_CLASSES ((SP__BLOCK_LARGEST - sizeof(sp_future)) / SP__BLOCK_UNIT + 1)
struct sp__block {
    struct sp__block *next;
};
/* What the thread keeps of each class.  At first no room, so that the first release is a slow one. */
struct sp__kept {
    struct sp__block *first;
    uint32_t room; /* so many more may be kept */
};
extern SP_TLS_ struct sp__kept sp__kept[SP__BLOCK_CLASSES];
void *sp__block_alloc_slow(size_t size);
void sp__block_free_slow(void *memory, size_t size);

static inline size_t sp__block_class(size_t size)
{
    return (size - sizeof(sp_future) + SP__BLOCK_UNIT - 1) / SP__BLOCK_UNIT;
}

/* NULL: no memory. */
static inline void *sp__block_alloc(size_t size)
{
    if (size > SP__BLOCK_LARGEST)
        return sp__block_alloc_slow(size);
    struct sp__kept *kept = &sp__kept[sp__block_class(size)];
    struct sp__block *block = kept->first;
    if (block == NULL)
        return sp__block_alloc_slow(size);
    if (sp__fault_now())
        return NULL;
    kept->first = block->next;
    kept->room++;
    return block;
}

static inline void sp__block_free(void *memory, size_t size)
{
    struct sp__kept *kept = size <= SP__BLOCK_LARGEST ? &sp__kept[sp__block_class(size)] : NULL;
    if (kept == NULL || kept->room == 0) {
        sp__block_free_slow(memory, size);
        return;
    }
    struct sp__block *block = memory;
    block->next = kept->first;
    kept->first = block;
    kept->room--;
}

/* ---- state.c ---- */
/* The immortal future of a submit for which there was no memory. */
extern sp_future sp__future_no_memory;
/* A future with so many references; NULL: no memory, and nothing has been done with the argument. */
sp_future *sp__future_create(const sp_task *task, const void *arg, struct sp__owner *owner, unsigned refs);
/* Make the caller the one that runs it.  False: cancelled, or claimed already. */
static inline bool sp__future_claim(sp_future *future)
{
    return sp__word_move(&future->word, SP__PENDING, SP__RUNNING);
}
/* The place lock of the future: one of a few, a leaf but for the executor's locks.  Whoever cancels a future holds it until the
   executor has been told; an executor that takes out of its queue what somebody else has ended takes it once before it lets go
   of the future, and so is still there while it is told. */
void sp__place_lock(const sp_future *future);
void sp__place_unlock(const sp_future *future);
void sp__places_after_fork(void);
/* Run the task of a claimed future under the current runner, and complete it; with `drop` a reference of the caller's goes
   with it. */
void sp__future_run(sp_future *future, bool drop);
/* Complete a future that never ran with an error, which the future owns from now on.  False: it was claimed or cancelled;
   the error is freed. */
bool sp__future_fail(sp_future *future, sp_status status, sp_error *error);
/* Move the result out: it is the caller's now, and drop_result is not called.  pre: it is FINISHED, the caller has the last
   handle, and this is done once. */
void sp__future_take_result(sp_future *future, void *ret_value);
/* Somebody looks at how it ended; before the end: nobody will have to. */
void sp__future_mark_seen(sp_future *future);
/* The error of a future that failed or was cancelled; NULL in every other phase. */
sp_error *sp__future_error_of(sp_future *future);
/* SP_OK, also while it is not done, or how it failed. */
sp_status sp__future_status(sp_future *future);

/* ---- watch.c ---- */
struct sp__watch {
    struct sp__watch *next;  /* guarded by the watch lock */
    struct sp__watch **link; /* guarded by the watch lock: what points to this one; NULL: linked nowhere */
    /* Under the watch lock.  NULL: this is a done callback. */
    void (*notify)(struct sp__watch *watch);
    const void *set; /* whose watch it is: one set watches a future once */
    bool told;       /* guarded by the watch lock; notify was called: by the completion, or by who came after it */
};
/* Let the set be told of the completion; told at once, before this returns, if it is done.  pre: the set does not watch the
   future yet. */
void sp__watch_add(sp_future *future, struct sp__watch *watch);
/* The same for a set that may watch the future already, which is looked for among the `most` newest watches. */
enum sp__watched { SP__WATCH_ADDED, SP__WATCHED_ALREADY, SP__WATCHED_BY_MANY /* it has more: nothing was done */ };
enum sp__watched sp__watch_add_once(sp_future *future, struct sp__watch *watch, size_t most);
/* After this returns the watch is not touched any more. */
void sp__watch_remove(sp_future *future, struct sp__watch *watch);
/* Tell everybody, and give up a reference of the caller's when that is done.  pre: the future has just become terminal, with
   WATCHED set before. */
void sp__watch_tell(sp_future *future);
/* Forget callbacks that will never be called.  pre: nobody holds the future. */
void sp__watch_drop_callbacks(sp_future *future);

/* ---- await.c ---- */
/* A number of the calling thread, which few others have at the same time. */
static inline uint32_t sp__thread_tag(void)
{
    return (uint32_t)((uintptr_t)&sp__current_runner / sizeof(void *));
}
/* Is it the future of a task that runs on this stack?  How deep tasks are nested does not matter, unless it is. */
bool sp__is_own_future(const sp_future *future);
/* Who runs the task of the future, for the graph of waits; 0: nobody yet, or not any more. */
uint64_t sp__future_runner(const void *future);
/* Wait for one future: SP_OK (done, however), SP_TIMEOUT, SP_DEADLOCK, SP_SHUT_DOWN (left behind by a fork), SP_OS_ERROR
   (no substitute could be started).  After all but SP_OK it may still be running. */
sp_status sp__await(sp_future *future, int64_t deadline);
/* The same without lending a worker: for a caller that has lent one already. */
sp_status sp__await_asleep(sp_future *future, int64_t deadline);
/* Lend a worker of the calling thread's pool while it sleeps until the deadline, if the set has futures of that pool that are
   not done.  *ret_lender: that pool, or NULL when nothing was lent.  Else: it ought to have been, see sp__owner. */
sp_status sp__lend(struct sp__loan *loan, sp_future *const *futures, size_t n, int64_t deadline,
                   struct sp__owner **ret_lender);
/* When to ask again for a worker that was not to be had so often. */
int64_t sp__retry_at(unsigned tries, int64_t deadline);
/* After so many refusals in a row: is this wait to end with SP_OS_ERROR? */
bool sp__gives_up(unsigned tries, int64_t deadline);
/* Ask the driver, if there is one. */
static inline bool sp__drive(sp_future *future)
{
    /* relaxed: who has a future of such an executor got it after the executor was counted */
    return sp__load_relaxed(&sp__driven_executors) != 0 && sp__future_driver(future);
}
/* Run the task of a queued future of one's own pool on this stack.  False: it is not ours, not queued, or there is too
   little stack; or, but for `at_any_price`, nothing is known of the stack, or the caller has values in locals. */
bool sp__help(sp_future *future, bool at_any_price);

/* ---- completion.c ---- */
struct sp__edge;
sp_completion *sp__completion_new(sp_future *const *futures, size_t n, int64_t deadline);
/* Sleep until all are done, woken once; `edge` as in sp__wait.  SP_OK, SP_TIMEOUT or SP_DEADLOCK. */
sp_status sp__completion_await_all(sp_completion *completion, struct sp__edge *edge);

#endif
