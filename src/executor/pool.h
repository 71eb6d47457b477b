/* The thread pool from the inside.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_POOL_H
#define SP_EXECUTOR_POOL_H

#include <spool/lock.h>
#include <spool/sync.h>

#include "executor/deque.h"
#include "executor/executor.h"
#include "executor/inbox.h"

typedef uint64_t sp__crew_word;
#include "executor/crew_protocol.h"

#define SP__BROKEN_TEXT "the pool is broken, its initializer failed"

struct sp__pool {
    sp_executor base;
    unsigned max_workers;             /* set once: permits to run tasks */
    unsigned max_compensation;        /* set once: loans for waits that nothing queued can end */
    size_t max_pending;               /* set once; 0: no bound */
    size_t stack_size;                /* set once; what must be left of it to help is with `base.owner` */
    int64_t idle_nanoseconds;         /* set once; SP__NEVER: idle workers stay */
    sp_status (*initializer)(void *); /* set once, with the next two */
    void (*finalizer)(void *);
    void *initializer_arg;
    char *prefix;                 /* set once; of the workers' names */
    struct sp__os_traits *traits; /* set once; of the maker, for the workers */
    struct sp__deque **deques;    /* set once: an array; a place in it is atomic, and set once */
    uint64_t *marks;              /* set once: atomic words, a bit for each deque; not set: it is empty */
    unsigned most_deques;         /* set once: places in both */
    uint32_t broken; /* atomic, changes under lock: 1 when an initializer failed; nothing begins any more */
    uint32_t closed; /* atomic, changes under lock: 1 from the shutdown on */

    struct sp__inbox inbox;
    sp__crew_word crew SP__APART; /* atomic; crew_protocol.h */
    uint32_t parked;              /* atomic; workers that sleep in a wait of their task, and keep their permit */
    uint32_t kept;                /* atomic, changes under lock: of these, those in `keepers` */
    uint32_t told;         /* atomic; 1: the starvation hook was called, and none of these waits has ended since */
    uint32_t wanted;       /* atomic, changes under lock: loans in `loans` */
    uint32_t without_room; /* atomic; submitters that met max_pending */
    uint32_t for_quiet;    /* guarded by lock: callers of sp_executor_wait_idle */

    sp_lock lock SP__APART;
    sp_lock sifting; /* held while tasks are out of a deque that will be put back: who takes all misses none */
    sp_future *sifted[SP__DEQUE_SLOTS]; /* guarded by sifting: those */
    sp_condition room;                  /* of lock: submitters that met max_pending */
    sp_condition quiet;                 /* of lock: who waits for the end or until all is idle */
    struct sp__list loans;    /* guarded by lock: what sleeping workers wait for and somebody may still have to run */
    struct sp__list keepers;  /* guarded by lock: workers that keep their permit while their task waits for what runs */
    struct sp__list sleepers; /* guarded by lock: workers asleep; who lay down last is first */
    struct sp__list ended;    /* guarded by lock: nodes of workers that have ended */
    struct sp__list all;      /* guarded by lock: workers, by `member` */
    struct sp__list endings;  /* guarded by lock: who cancels or fails all that was queued */
    unsigned lent;            /* guarded by lock: loans that were made and not given back */
    int64_t moved_at;         /* guarded by lock: when a worker began to keep its permit, or a wait beside such ended */
    unsigned reliefs;         /* guarded by lock: so many of `keepers` had to give theirs up since a wait has ended */
    unsigned starting;        /* atomic, written under lock: workers that are being started, or in their initializer */
    uint64_t submitted_at_start; /* guarded by lock: of a pool with an initializer, when a worker was started last */
    unsigned stuck;          /* guarded by lock: of those that start, initializers that wait for what is queued here */
    unsigned stuck_for_good; /* guarded by lock: of these, those whose wait has no limit */
    unsigned workers;        /* guarded by lock: to be started or started, and not decided to end */
    unsigned uncollected;    /* guarded by lock: worker nodes, from their start until they are collected */
    unsigned deque_count;    /* guarded by lock: how many were made */
    struct sp__deque *unowned;     /* guarded by lock: deques whose workers have ended */
    unsigned next_number;          /* guarded by lock: of the next worker's name */
    sp_error *why_broken;          /* set once, before broken and the inbox's refusal publish it */
    uint64_t submitted, completed; /* guarded by lock: by workers that have ended; and what no worker has counted */
};

/* On the stack of who ends all that was queued. */
struct sp__ending {
    struct sp__list link; /* guarded by the pool's lock */
    uint64_t runner;      /* set once: the id of the caller's runner */
};

/* How a worker divides its time between what lies in the inbox, in its own deque and in those of others; its own.  README.md,
   "Turns". */
struct sp__round {
    int64_t looked_at;           /* at the clock */
    int64_t began;               /* so long ago it was time for a round the last time */
    unsigned untimed, stride;    /* tasks since it looked at the clock; how many there will be */
    uint64_t inbox_due, own_due; /* what was put before these is due; 0: nothing */
    bool others_due;             /* one task of somebody else's deque */
    bool inbox_is_late;          /* one task of the inbox, whatever else is due */
    unsigned in_a_row;           /* tasks that have just been taken from the inbox before others */
};

/* A worker, from the decision to start it until its OS thread is collected. */
struct sp__worker {
    struct sp__list link;    /* guarded by the pool's lock: in `sleepers` or `ended` */
    struct sp__list member;  /* guarded by the pool's lock: in `all` */
    struct sp__list keeper;  /* guarded by the pool's lock: in `keepers` */
    struct sp__pool *pool;   /* set once */
    sp_thread *thread;       /* guarded by the pool's lock: NULL until the starter has stored it */
    bool has_ended;          /* guarded by the pool's lock */
    bool dismissed;          /* guarded by the pool's lock: woken to end */
    bool lent;               /* guarded by the pool's lock: others have its permit */
    bool awake, searching;   /* its own: counted so in the crew, but for loans */
    bool without_deque;      /* its own: asked for one in vain; what its tasks submit goes to the inbox */
    bool initialized;        /* its own: its initializer is over */
    bool owes_finalizer;     /* its own */
    bool in_task;            /* its own; read while it sleeps in the graph of waits: a task not yet counted as done */
    bool resting;            /* its own: what it sleeps for is no wait of its task */
    bool stands_in;          /* its own: the task that it has found lies in a queue besides */
    uint32_t asleep;         /* atomic: 1 until it is called or dismissed; parked on */
    struct sp__round round;  /* its own */
    struct sp__deque *deque; /* its own: NULL until it submits to its own pool */
    unsigned victim;         /* its own: the number of the deque where it will look for tasks of others next */
    struct sp__block_hooks hooks; /* set once */
    unsigned lends;               /* its own: so many waits for futures of the pool last; the first one's loan counts */
    bool keeps;                   /* its own: the first one's loan began as one that keeps its permit */
    int64_t parked_at;            /* atomic; when it began to sleep in a wait of its task; 0: it does not */
    const char *doing;            /* atomic; name of the task that it took last */
    uint64_t submitted SP__APART; /* atomic, written by itself alone: put into its deque */
    uint64_t completed;           /* atomic, written by itself alone: taken and dealt with */
    char name[128];               /* set once */
};

static inline struct sp__pool *sp__pool_of(sp_executor *executor)
{
    return sp__container_of(executor, struct sp__pool, base);
}

/* The calling thread's record, if it is a worker of this pool. */
static inline struct sp__worker *sp__worker_self(const struct sp__pool *pool)
{
    const struct sp__runner *self = sp__runner_of_pool(&pool->base.owner);
    return self != NULL ? self->worker : NULL;
}

/* ---- find.c ---- */
/* A task to run, with the reference of the queue that it lay in; NULL: none. */
sp_future *sp__find_task(struct sp__worker *worker);
/* Is something queued?  Perhaps, or for sure not; after the caller's seq_cst change of the crew's word. */
bool sp__has_tasks(const struct sp__pool *pool);
/* How many are queued that can still run, about. */
uint64_t sp__count_tasks(const struct sp__pool *pool);
/* The first deque from number *at on, which becomes its number, that may hold something; NULL: there is none. */
struct sp__deque *sp__next_deque(const struct sp__pool *pool, unsigned *at);
/* By the worker, before it sleeps: if its deque is empty others need not look at it. */
void sp__unmark_deque(struct sp__worker *worker);
/* Under the lock: the worker ends. */
void sp__leave_deque(struct sp__worker *worker);
/* Put a future into the worker's own deque, with a reference.  False: there is no room. */
bool sp__put_own(struct sp__worker *worker, sp_future *future);

/* ---- dead.c ---- */
/* So many have ended that no worker has counted: before that nobody may believe that the pool is idle. */
void sp__count_done(struct sp__pool *pool, uint64_t count);
/* A future that was taken out of a queue and that somebody else has ended, or runs: drop the queue's reference. */
void sp__drop_dead(sp_future *future);
/* A future that does not lie in the inbox was ended by the caller, who has not taken it out of its queue: it may be in a deque. */
void sp__count_dead(sp_future *future);
/* Take a future out of the inbox, or out of a deque where it lies first.  True: the queue's reference is the caller's. */
bool sp__take_out(struct sp__pool *pool, sp_future *future);
/* The caller has claimed this future without having taken it out of its queue: do so if that is easy.  True: the queue's
   reference is the caller's.  False: it will be met there. */
bool sp__forsake(struct sp__pool *pool, sp_future *future);
/* As in struct sp__owner. */
bool sp__pool_claimed(struct sp__owner *owner, void *worker, sp_future *future);
bool sp__pool_cancelled(struct sp__owner *owner, sp_future *future);
void sp__pool_tidy(struct sp__owner *owner, void *worker);
/* Something has left the inbox: a submitter may wait for the room. */
void sp__tell_of_room(struct sp__pool *pool);
/* Take away all that is queued, and give each future with its reference to `end`, which returns whether it is to be counted
   as done. */
void sp__end_queued(struct sp__pool *pool, bool (*end)(sp_future *future, void *context), void *context);
/* Under the lock: is the caller inside of that, in a callback? */
bool sp__is_ending_queued(const struct sp__pool *pool);

/* ---- starvation.c ---- */
#define SP__STARVES_AFTER INT64_C(1000000000) /* when all have slept for so long it is reported */
/* Of workers: they note when a task of theirs sleeps. */
void sp__starvation_watch(struct sp__worker *worker);
/* Something is queued, and all who hold a permit sleep: if they have slept for too long, report it; and have one that keeps
   its permit give it up, if it is time, or say when it will be. */
int64_t sp__check_progress(struct sp__pool *pool);
/* Do all who hold a permit sleep? */
static inline bool sp__all_sleep(const struct sp__pool *pool)
{
    /* seq_cst: after our addition, or after a task was queued; each sees the other's */
    return sp__load_seq_cst(&pool->parked) >= sp__crew_awake(sp__crew_look(&pool->crew));
}

/* ---- crew.c ---- */
/* Something was queued, or a permit is free: call a worker if one need be.  An errno value: one had to be started, and could
   not. */
int sp__call_worker(struct sp__pool *pool);
/* The usual answer, by a look: what was queued will be taken by those who are awake. */
static inline bool sp__is_seen_to(const struct sp__pool *pool)
{
    uint64_t seen = sp__crew_look(&pool->crew), awake = sp__crew_awake(seen);
    if (awake < pool->max_workers) /* relaxed: a hint, as in needs_one in crew.c */
        return sp__crew_searching(seen) > 0 && sp__load_relaxed(&pool->starting) == 0;
    return sp__load_seq_cst(&pool->parked) < awake; /* seq_cst: as in sp__see_to_it */
}
/* The usual answer without a call: all permits are in use. */
static inline int sp__see_to_it(struct sp__pool *pool)
{
    uint64_t awake = sp__crew_awake(sp__crew_look(&pool->crew));
    if (awake < pool->max_workers)
        return sp__call_worker(pool);
    /* seq_cst: after the task was queued; pairs with the additions in starvation.c and loan.c */
    if (sp__load_seq_cst(&pool->parked) >= awake)
        (void)sp__check_progress(pool);
    return 0;
}
/* A worker was started, and its initializer is over: it searches, if there is a permit, else it lies down.  False: it is to
   end, and is counted in `workers` no more. */
bool sp__take_up_work(struct sp__worker *worker);
/* A searching worker has a task: is there another, for which nobody looks? */
void sp__stop_searching(struct sp__worker *worker);
/* Sleep until called.  False: it is to end, and is counted in `workers` no more. */
bool sp__lie_down(struct sp__worker *worker);
/* The worker, which searches or has a permit, ends in the middle of something: if another is needed it is called. */
void sp__walk_out(struct sp__worker *worker);
/* Under the lock: wake the sleepers, to end. */
void sp__dismiss_sleepers(struct sp__pool *pool);

/* ---- loan.c ---- */
sp_status sp__pool_lend(struct sp__owner *owner, struct sp__loan *loan);
void sp__pool_give_back(struct sp__owner *owner, struct sp__loan *loan);
/* All who hold a permit sleep: one that keeps its permit gives it up, if something is queued and nothing has moved for long
   enough.  Returns when that will be; SP__NEVER: it has been long enough, or none keeps one. */
int64_t sp__relieve(struct sp__pool *pool);
/* Something that a sleeping worker waits for, with a reference; NULL: none. */
sp_future *sp__take_awaited(struct sp__pool *pool);

/* ---- worker.c ---- */
/* Start a worker that is counted in `workers` and `uncollected`, with a reference on the pool.  An errno value; on failure
   the counts and the reference are given back. */
int sp__pool_start_worker(struct sp__pool *pool);

/* ---- pool.c ---- */
/* Fail a future that does not lie in the inbox.  False: somebody else has ended it, or runs it. */
bool sp__pool_refuse(sp_future *future, sp_status status, const sp_error *cause, const char *message);
/* The same with one that was taken out of its queue, dropping its reference. */
bool sp__pool_fail(sp_future *future, sp_status status, const sp_error *cause, const char *message);
/* Fail all that is queued. */
void sp__pool_fail_all(struct sp__pool *pool, sp_status status, const sp_error *cause, const char *message);
/* No worker could be started, for an errno value: if nobody is left who looks for tasks, fail all that is queued. */
void sp__pool_give_up(struct sp__pool *pool, int error);

/* ---- shutdown.c ---- */
/* Under the lock, which is given up for it: collect a worker that has ended.  False: there is none. */
bool sp__pool_collect_one(struct sp__pool *pool);
/* Under the lock, which is given up for it: collect workers whose threads are gone.  Waits for nothing. */
void sp__pool_collect_gone(struct sp__pool *pool);
/* Under the lock: how much was submitted so far. */
uint64_t sp__pool_count_submitted(const struct sp__pool *pool);
/* Under the lock: count what was submitted, and what of it is done. */
void sp__pool_count(struct sp__pool *pool, uint64_t *ret_submitted, uint64_t *ret_completed);
sp_status sp__pool_shutdown(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline);
bool sp__pool_wait_idle(sp_executor *executor, int64_t deadline);
void sp__pool_destroy(sp_executor *executor);

#endif
