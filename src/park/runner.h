/* What is running: a thread, or a task that a waiting worker runs on its own stack.

   Each thread that calls the library has a current runner; a helped task pushes one of its own, with its own id and
   error record, so that a lock which the task takes is the task's and not the waiting worker's.  All fields belong to
   the running thread alone, but for those that say otherwise.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_RUNNER_H
#define SP_PARK_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spool/lock.h>

#include "base/list.h"

/* Run around everything that may sleep, by the thread that sleeps.  A GIL is given up and taken back here. */
struct sp__block_hooks {
    void (*before)(void *context);
    void (*after)(void *context);
    void *context;
    /* After `before`: when is `late` to be called, if the sleep still lasts?  SP__NEVER: not.  `for_time_only`: nothing can end
       it but time.  Optional, both or none. */
    int64_t (*alarm)(void *context, bool for_time_only);
    /* In the thread that sleeps, which is awake for it: without a lock, out of the graph of waits and, but for waits that
       keep their place, of the queue of sleepers.  It may run code of the user's, which may wait.  Says when to call it
       again. */
    int64_t (*late)(void *context);
};

struct sp__edge;
struct sp__error_box;

struct sp__runner {
    uint64_t id;                         /* never reused, never 0; what a lock word names as its owner */
    const char *name;                    /* atomic; of the thread or the task, for reports; never NULL */
    struct sp__runner *outer;            /* the runner on whose stack this one runs, or NULL */
    struct sp__error_box *raised;        /* what the last sp_raise said, or NULL; see task/ */
    const struct sp__block_hooks *hooks; /* or NULL */
    const void *task;                    /* identity of the task that runs (its future or thread), or NULL */
    const uint64_t *cancel_word;         /* the state word of that task's future, or NULL */
    const void *pool;                    /* the executor whose worker this is, or NULL */
    void *worker;                        /* that executor's record of this thread, or NULL */
    bool helps;               /* a wait may run on this stack what it waits for: not in an initializer or a finalizer */
    void *thread;             /* its handle, see thread/; NULL: a thread of somebody else's, not asked for yet */
    struct sp__list deferred; /* sleepers that it has unlinked and will wake, see sp__wake_deferred */
    uintptr_t help_floor;     /* a waiter below it on its stack runs no other task there; 0: not asked, or unknown */
    bool uses_locals;         /* an sp_local was asked for since the task on this stack began, see thread/local.c */
    uint32_t sleeps;          /* atomic; of a thread: odd while it sleeps without a limit, another number each time */
    struct sp__runner *thread_runner; /* the first one on this stack, which is the thread itself */
    bool known; /* the graph of waits finds it by its id; written by its thread, under the graph's lock */
    /* Guarded by the graph's lock. */
    struct sp__runner *next_known; /* in its bucket */
    struct sp__edge *edge;         /* of a thread: by which it waits, or NULL */
    struct sp__list awaited;       /* of a thread: waits for what it holds, one for each object; see wait_graph.c */
};

/* Counts forks: a child has another number than its parent. */
extern uint32_t sp__process_number;

extern SP_TLS_ struct sp__runner *sp__current_runner;
struct sp__runner *sp__self_first(void);

/* The runner of the calling thread; a thread that the library did not start gets one on first use, and loses it when it
   ends. */
static inline struct sp__runner *sp__self(void)
{
    struct sp__runner *current = sp__current_runner;
    return current != NULL ? current : sp__self_first();
}

/* Its id: a load for all but the first call of a thread that the library did not start. */
static inline uint64_t sp__self_id(void)
{
    uint64_t id = sp_self_id_;
    return id != 0 ? id : sp__self()->id;
}
/* Give *runner a fresh id and make it the current one, inside the current one. */
void sp__runner_push(struct sp__runner *runner, const char *name);
void sp__runner_pop(struct sp__runner *runner);
/* Give *runner a fresh id and a name: a thread's, by whoever starts it, so that its id is known before it runs. */
void sp__runner_init(struct sp__runner *runner, const char *name);
/* The thread of that runner was not started after all. */
void sp__runner_forget(struct sp__runner *runner);
/* Make *runner that of the calling thread, at the thread's start.  False: nobody will be told of its end. */
bool sp__runner_adopt(struct sp__runner *runner);
/* Will anybody be told of the end of the calling thread, whose runner that is? */
bool sp__runner_is_told(const struct sp__runner *runner);
/* Will nobody, because there was no memory at the thread's first call? */
bool sp__runner_was_refused(void);
/* In the child of a fork: if there was no memory to tell the caller of its end, have it told all the
   same.  It is the main thread now, whose end is that of the process. */
void sp__runner_ask_again(void);
/* A runner that is kept longer than its thread: that is gone now. */
void sp__runner_gone(struct sp__runner *runner);
/* Does `id` name the current runner or one that waits below it on this stack? */
bool sp__runner_on_stack(uint64_t id);
/* Ids of threads are odd, ids of what runs inside a thread's waiting task are even. */
static inline bool sp__is_thread_id(uint64_t id)
{
    return id & 1;
}
/* The current runner, or the one that waits below it on this stack, which works for that executor; NULL: none.  They may
   differ: a task of one executor may run the tasks of another, see executor/inline.c. */
static inline struct sp__runner *sp__runner_of_pool(const void *pool)
{
    struct sp__runner *runner = sp__self();
    while (runner != NULL && runner->pool != pool)
        runner = runner->outer;
    return runner;
}
const char *sp__runner_name(const struct sp__runner *runner);
void sp__runner_set_name(struct sp__runner *runner, const char *name);

/* Called in every thread that has a runner when the thread ends, perhaps several times: user code may run in between.  Defined
   by thread/. */
void sp__runner_ends(struct sp__runner *runner);
/* Called once behind it.  `sure`: no user code will run in that thread any more; the runner goes, unless it is kept by
   whoever started the thread.  Else destructors of the last round may follow, and the runner stays.  Usually in that thread;
   of a foreign one that has ended unseen in another.  Defined by thread/. */
void sp__runner_left(struct sp__runner *runner, bool sure);
/* Called each time behind sp__runner_ends: give back what the thread keeps.  Set once, by future/, before main. */
extern void (*sp__runner_leaves)(void);
/* The thread has called exit(): what runs as this runner of it will not end.  Set once, by future/, before main. */
extern void (*sp__runner_exits)(struct sp__runner *runner);

#endif
