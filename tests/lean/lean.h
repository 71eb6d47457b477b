/* Random small programs over the whole public interface; README.md says what they are and why none of them can hang.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_LEAN_H
#define SP_TESTS_LEAN_H

#include <spool.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SCRIPTS = 10, /* of a program; a script calls none but later ones */
    STEPS = 12,   /* of a script, at most */
    FUEL = 300,   /* steps that a process makes, those of all its threads together */
    SLOTS = 6,    /* handles that an actor has in its hands */
    NOTES = 2048, /* calls of scripts of which one keeps account */
    LOCKS = 3,
    POOLS = 3,
    QUEUES = 3,
    PERMITS = 2,
    FORKS = 3,        /* of a program and its children */
    FAULT_STATUS = 86 /* of a process that found a fault */
};

/* ---- what a program is: made from its seed, the same whatever happens in the run ---- */

enum step_kind {
#define X(name, weight) STEP_##name,
#include "lean/steps.def"
#undef X
    STEP_KINDS
};

struct step {
    enum step_kind kind;
    unsigned a, b, c; /* what it does in particular, and with which objects */
    unsigned limit;   /* see limit_of */
    unsigned script;  /* that it has run, if it has one run; SCRIPTS: there is none that comes later */
    unsigned number;  /* in the program: by this it is dropped */
};

struct script {
    unsigned n;
    sp_status end; /* what it returns: SP_OK or a failure */
    struct step steps[STEPS];
};

struct program {
    uint64_t seed;
    struct script scripts[SCRIPTS];
    unsigned n; /* steps of all scripts */
    struct pool_plan {
        bool is_inline, bounded, has_hooks;
        unsigned workers, broken_at; /* the initializer of which worker fails; 0: of none */
        double idle;
        unsigned compensation;
        size_t stack;
    } pools[POOLS];
    struct queue_plan {
        sp_queue_order order;
        size_t maxsize;
    } queues[QUEUES];
    unsigned hook_script; /* run by hooks, drops, predicates; SCRIPTS: none */
};

extern struct program program;

void program_make(uint64_t seed);
void program_print(void);
/* Steps that are left out, for shrinking. */
bool step_is_dropped(unsigned number);
bool steps_drop(const char *list);
void steps_keep_all(void);

/* ---- who runs a script ---- */

enum { A_PRIVATE_POOL = -1, NO_POOL = -2 }; /* what is no number of a pool */

enum place { IN_MAIN, IN_THREAD, IN_FOREIGN, IN_TIMER, IN_TASK, IN_HOOK };

/* A call of a script, which must run at most once, and whose argument must be dropped exactly once. */
struct note {
    int ran, dropped, cancelled; /* atomic */
    unsigned script;             /* 0: no call */
};

struct call {
    struct note *note;
    enum place place;
    unsigned script, inside;
    int pool;           /* whose task it is; or NO_POOL */
    bool may_end_oddly; /* the stack it runs on is no actor's */
    char *owned;        /* given back when the argument is dropped */
};

struct answer {
    uint64_t value;
    char *owned; /* given back when the result is dropped */
};

enum slot_kind { SLOT_FREE, SLOT_THREAD, SLOT_TIMER, SLOT_FUTURE };

struct slot {
    enum slot_kind kind;
    bool own; /* the actor has made it: it may wait for it without limit */
    int pool; /* of a future; or one of these */
    unsigned script;
    struct note *note;
    sp_thread *thread;
    sp_timer *timer;
    sp_future *future;
};

struct actor {
    enum place place;
    const struct script *script;
    unsigned inside;    /* bit i: a task of pool i waits for this actor, or it is one */
    int pool;           /* whose task it is; or NO_POOL */
    bool light;         /* others wait for it: it must not wait without limit */
    bool may_end_oddly; /* its thread may end under it */
    struct slot slots[SLOTS];
};

/* Make all steps of the script, then give its handles back. */
void actor_run(const struct call *call);
/* Run the script for hooks, drops and predicates, lightly. */
void hook_run(unsigned script);
struct slot *slot_free(struct actor *actor);
struct slot *slot_of(struct actor *actor, unsigned number, enum slot_kind kind);
void slot_release(struct slot *slot);
void actor_release(struct actor *actor);

/* A call for the step's script.  False: there is none, or there is account of too many. */
bool call_make(struct call *ret_call, const struct actor *actor, const struct step *step, enum place place);
void call_enter_pool(struct call *call, int pool, bool is_inline);
/* It reached nobody. */
void call_drop(struct call *call);
void answer_drop(struct answer *answer);
uint64_t answer_value(unsigned script);
/* May the actor submit to the pool without waiting for what waits for it?  And wait for its tasks? */
bool may_submit(const struct actor *actor, unsigned pool);
bool may_wait(const struct actor *actor, int pool);
/* May it wait for this future without a limit? */
bool may_wait_for_ever(const struct actor *actor, const struct slot *slot);

/* ---- the world ---- */

struct world {
    sp_lock locks[LOCKS];
    uint64_t guarded[LOCKS], expected[LOCKS]; /* counted under the lock; expected atomically as well */
    sp_rlock rlock;
    uint64_t rguarded, rexpected;
    sp_semaphore permits;
    int holders;
    sp_event event;
    sp_lock condition_lock;
    sp_condition condition;
    uint64_t changes;
    sp_barrier barrier;
    sp_once once;
    int once_calls;
    sp_queue *queues[QUEUES];
    sp_queue *exchange;
    sp_executor *pools[POOLS];
    int items, results, locals; /* live: atomic */
    int fuel, forks;            /* atomic */
    int added, called;          /* callbacks: atomic */
    bool in_child;              /* a fork made this process, while the program ran */
    unsigned generation;        /* forks between the program's process and this one */
    bool refuses, odd, lost; /* facts: some call has been refused; some thread has ended by pthread_exit; in a task of a
                                   pool, so that the hands of others on that stack are lost */
    bool closed;             /* a fact: some pool may have been shut down */
    bool daemons;            /* a fact: some daemon thread may have been started */
    pthread_mutex_t shelf_lock;
    struct slot shelf[SLOTS]; /* futures that are lent */
};

extern struct world world;

void world_begin(void);
/* Everything is given back; then nothing must be left. */
void world_end(void);
void fault(const char *what, const char *file, int line) __attribute__((noreturn));
#define check(condition) ((condition) ? (void)0 : fault(#condition, __FILE__, __LINE__))

static inline int count_up(int *counter)
{
    return __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED); /* a count; read when all threads have been waited for */
}

static inline int count_down(int *counter)
{
    return __atomic_sub_fetch(counter, 1, __ATOMIC_RELAXED); /* as in count_up */
}

/* A fact that may become true while others ask. */
static inline bool fact(const bool *which)
{
    return __atomic_load_n(which, __ATOMIC_ACQUIRE); /* pairs with note_fact, which comes before what it allows */
}

static inline void note_fact(bool *which)
{
    __atomic_store_n(which, true, __ATOMIC_RELEASE); /* pairs with fact */
}

/* A little memory, so that giving it back twice, or never, is noticed. */
char *own_memory(void);
void give_back_memory(char *memory);
void *calloc_own(size_t size);
void notes_check(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Allocations and threads that the library asks for: refuse the nth from now on, once. */
void refuse_memory(unsigned nth);
/* Of the calling thread: not to it. */
void spare_memory(bool spared);
void refuse_thread(unsigned nth);

/* The limit of a wait.  For a thread that this actor has started, for a future in its hands, for what others must do: none is
   SP_FOREVER where that might be for ever. */
double limit_of_own(const struct actor *actor, const struct step *step);
double limit_of_future(const struct actor *actor, const struct slot *slot, const struct step *step);
double limit_of(const struct actor *actor, const struct step *step);
double short_limit(const struct step *step);

/* When a wait with that limit has failed for want of time, so much must have passed. */
double now(void);
void check_waited(double begin, double limit);

/* Is `status` one of those that may come of a call of that script?  Checks the value too. */
void check_end(const struct actor *actor, const struct slot *slot, sp_status status, const struct answer *answer,
               double limit);

extern const sp_task *const act_task; /* of every script: struct call to struct answer */

#define X(name, weight) void step_##name(struct actor *actor, const struct step *step);
#include "lean/steps.def"
#undef X

#endif
