/* What a waiting worker asks of its pool, by tests that play the pool's part: the thread that waits is made a worker of it.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_FUTURE_PART_H
#define SP_TESTS_FUTURE_PART_H

#include "testing.h"

#include <spool.h>

#include "future/future.h"

enum { NEVER_LENT = 1000, TOO_OFTEN = 17, MOST_RUN = 8 };

/* The part of a pool. */
struct part {
    struct sp__owner owner;
    sp_status refuses;         /* what `lend` answers while there are refusals left */
    unsigned refusals;         /* so often; then another worker is to be had */
    sp_future *runs[MOST_RUN]; /* what the others run, one each time: the next of these */
    unsigned asked, lent, given_back, claimed, cancelled, tidied;
    bool was_for_ever;
    sp_future *const *was_awaited;
};

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

/* As another worker does: also if that has it already. */
static inline void run(sp_future *future)
{
    if (sp__future_is_done(future))
        return;
    (void)sp__future_claim(future);
    sp__future_run(future, false);
}

static inline struct part *part_of(struct sp__owner *owner)
{
    return sp__container_of(owner, struct part, owner);
}

static inline sp_status lend(struct sp__owner *owner, struct sp__loan *loan)
{
    struct part *part = part_of(owner);
    part->asked++;
    part->was_for_ever = loan->for_ever;
    part->was_awaited = loan->awaited;
    if (part->asked == TOO_OFTEN) /* it would ask for ever */
        for (size_t i = 0; i < loan->n; i++)
            run(loan->awaited[i]);
    if (part->refusals > 0) {
        part->refusals--;
        return part->refuses;
    }
    sp_future *next = part->lent < MOST_RUN ? part->runs[part->lent] : NULL;
    part->lent++;
    if (next != NULL)
        run(next);
    return SP_OK;
}

static inline void give_back(struct sp__owner *owner, struct sp__loan *loan)
{
    (void)loan;
    part_of(owner)->given_back++;
}

static inline bool claimed(struct sp__owner *owner, void *worker, sp_future *future)
{
    (void)future;
    assert_ptr_equal(worker, owner);
    part_of(owner)->claimed++;
    return false;
}

static inline bool cancelled(struct sp__owner *owner, sp_future *future)
{
    (void)future;
    part_of(owner)->cancelled++;
    return false;
}

static inline void tidy(struct sp__owner *owner, void *worker)
{
    assert_ptr_equal(worker, owner);
    part_of(owner)->tidied++;
}

static inline void dismiss(void)
{
    struct sp__runner *self = sp__self();
    self->pool = self->worker = NULL;
    self->helps = self->uses_locals = false;
    self->help_floor = 0;
}

static inline void begin(struct part *part, sp_status refuses, unsigned refusals)
{
    dismiss(); /* a test that has failed may not have done it */
    sp__nesting = (struct sp__nesting){ 0 };
    *part = (struct part){ .refuses = refuses, .refusals = refusals };
    part->owner = (struct sp__owner){ lend, give_back, claimed, cancelled, tidy, 0 };
}

/* The calling thread is a worker of it from now on. */
static inline void enlist(struct part *part)
{
    struct sp__runner *self = sp__self();
    self->pool = self->worker = &part->owner;
    self->helps = true;
    self->help_floor = 1;
}

/* Of its stack too little is left to run another task. */
static inline void use_up_stack(void)
{
    sp__self()->help_floor = UINTPTR_MAX;
}

static inline sp_future *queued(struct part *part)
{
    sp_future *future = sp__future_create(&pass_sp_task, &(int){ 4 }, &part->owner, 1);
    assert_non_null(future);
    return future;
}

static inline sp_future *running(struct part *part)
{
    sp_future *future = queued(part);
    assert_true(sp__future_claim(future));
    return future;
}

#endif
