/* What is running: a thread, or a task that a waiting worker runs on its own stack.

   Each thread that calls the library has a current runner; a helped task pushes one of its own, with its own id and
   error record, so that a lock which the task takes is the task's and not the waiting worker's.  All fields belong to
   the running thread alone.

   SPDX-License-Identifier: MIT */
#ifndef SP_PARK_RUNNER_H
#define SP_PARK_RUNNER_H

#include <stdint.h>

/* Run around everything that may sleep, by the thread that sleeps.  A GIL is given up and taken back here. */
struct sp__block_hooks {
    void (*before)(void *context);
    void (*after)(void *context);
    void *context;
};

struct sp__error_box;

struct sp__runner {
    uint64_t id;                         /* never reused, never 0; what a lock word names as its owner */
    const char *name;                    /* of the thread or the task, for reports; never NULL */
    struct sp__runner *outer;            /* the runner on whose stack this one runs, or NULL */
    struct sp__error_box *raised;        /* what the last sp_raise said, or NULL; see task/ */
    const struct sp__block_hooks *hooks; /* or NULL */
    const void *task;                    /* identity of the task that runs (its future or thread), or NULL */
    const uint32_t *cancel_word;         /* the state word of that task's future, or NULL */
    const void *pool;                    /* the executor whose worker this is, or NULL */
    uintptr_t stack_bottom;              /* lowest address of this stack; 0: unknown */
};

/* The runner of the calling thread; a thread that the library did not start gets one on first use. */
struct sp__runner *sp__self(void);
/* Give *runner a fresh id and make it the current one, inside the current one. */
void sp__runner_push(struct sp__runner *runner, const char *name);
void sp__runner_pop(struct sp__runner *runner);
/* Give *runner a fresh id and a name: a thread's, by whoever starts it, so that its id is known before it runs. */
void sp__runner_init(struct sp__runner *runner, const char *name);
/* Make *runner that of the calling thread, at the thread's start; NULL at its end. */
void sp__runner_adopt(struct sp__runner *runner);
/* Does `id` name the current runner or one that waits below it on this stack? */
int sp__runner_on_stack(uint64_t id);

#endif
