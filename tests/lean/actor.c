/* Who runs a script: the loop over its steps, the handles in its hands, and what may become of a call.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <stdlib.h>
#include <string.h>

static struct note notes[NOTES];
static int noted; /* atomic */

/* ---- calls and answers ---- */

bool call_make(struct call *ret_call, const struct actor *actor, const struct step *step, enum place place)
{
    int index = count_up(&noted) - 1;
    if (step->script >= SCRIPTS || index >= NOTES)
        return false;
    notes[index].script = step->script;
    *ret_call = (struct call){
        .note = &notes[index],
        .place = place,
        .script = step->script,
        .inside = actor->inside,
        .pool = NO_POOL,
        .may_end_oddly = true,
        .owned = own_memory(),
    };
    return true;
}

void call_drop(struct call *call)
{
    give_back_memory(call->owned);
    check(count_up(&call->note->dropped) == 1);
    if (call->script % 4 == 0)
        hook_run(program.hook_script);
}

void answer_drop(struct answer *answer)
{
    if (answer->owned == NULL)
        return; /* no task has written it */
    give_back_memory(answer->owned);
    count_down(&world.results);
}

uint64_t answer_value(unsigned script)
{
    return 1000003u * (script + 1);
}

static sp_status act(const struct call *call, struct answer *ret_answer);
static void drop_call(void *call)
{
    call_drop(call);
}

static void drop_answer(void *answer)
{
    answer_drop(answer);
}

SP_TASK_OWNING(act, struct call, struct answer, drop_call, drop_answer);
const sp_task *const act_task = &act_sp_task;

static sp_status act(const struct call *call, struct answer *ret_answer)
{
    sp_status end = program.scripts[call->script].end;
    check(count_up(&call->note->ran) == 1);
    actor_run(call);
    if (end != SP_OK)
        return sp_raise(end, "script %u", call->script);
    count_up(&world.results);
    *ret_answer = (struct answer){ answer_value(call->script), own_memory() };
    return SP_OK;
}

void notes_check(void)
{
    int n = noted < NOTES ? noted : NOTES;
    for (int i = 0; i < n; i++) {
        struct note *note = &notes[i];
        if (note->script == 0)
            continue; /* there was no script to call */
        check(note->ran + (note->cancelled > 0) <= 1);
        check(note->dropped == 1 || (fact(&world.lost) && note->dropped == 0));
    }
}

/* ---- limits ---- */

void check_waited(double begin, double limit)
{
    const double rounding = 1e-6; /* of doubles that hold seconds since the machine started */
    check(now() - begin >= limit - rounding);
}

static const double limits[] = { SP_NOWAIT, 1e-6, 1e-4, 1e-3, 1e-4, SP_FOREVER, SP_FOREVER, SP_FOREVER };

double short_limit(const struct step *step)
{
    return limits[step->limit % 5];
}

double limit_of_own(const struct actor *actor, const struct step *step)
{
    return actor->light ? short_limit(step) : limits[step->limit];
}

double limit_of(const struct actor *actor, const struct step *step)
{
    return actor->place == IN_MAIN && !world.in_child ? limits[step->limit] : short_limit(step);
}

bool may_wait_for_ever(const struct actor *actor, const struct slot *slot)
{
    if (!slot->own)
        return actor->place == IN_MAIN && !world.in_child;
    return !actor->light && may_wait(actor, slot->pool);
}

double limit_of_future(const struct actor *actor, const struct slot *slot, const struct step *step)
{
    return may_wait_for_ever(actor, slot) ? limits[step->limit] : short_limit(step);
}

bool may_submit(const struct actor *actor, unsigned pool)
{
    if (!program.pools[pool].bounded)
        return true;
    return actor->inside == 0 || (actor->place == IN_TASK && actor->inside == 1u << pool);
}

/* A task that waits for others of its own pool has them run meanwhile; one that waits for those of another keeps its place.  So
   pools wait in one order: whom a task of pool i waits for may wait for pools of higher numbers only, and a task for its own. */
bool may_wait(const struct actor *actor, int pool)
{
    if (pool < 0)
        return true;
    return actor->inside >> pool == 0 || (actor->pool == pool && actor->inside >> (pool + 1) == 0);
}

/* ---- what a call may come to ---- */

static bool is_possible(const struct actor *actor, const struct slot *slot, sp_status status)
{
    bool is_future = slot->kind == SLOT_FUTURE;
    switch (status) {
    case SP_CANCELLED:
        return slot->kind != SLOT_THREAD;
    case SP_SHUT_DOWN:
        return world.in_child || (is_future && fact(&world.closed));
    case SP_BROKEN_POOL:
        return is_future && slot->pool >= 0 && program.pools[slot->pool].broken_at > 0;
    case SP_RUNTIME_ERROR:
        return fact(&world.odd) || world.in_child; /* in a child: ended by exit */
    case SP_MEMORY_ERROR:
    case SP_OS_ERROR:
        return fact(&world.refuses);
    case SP_DEADLOCK:
        return is_future && (actor->place == IN_TASK || actor->place == IN_HOOK);
    default:
        return false;
    }
}

void check_end(const struct actor *actor, const struct slot *slot, sp_status status, const struct answer *answer,
               double limit)
{
    sp_status end = program.scripts[slot->script].end;
    if (status == end || (status == SP_TIMEOUT && limit < SP_FOREVER) || is_possible(actor, slot, status)) {
        if (status == SP_OK)
            check(answer->value == answer_value(slot->script));
        return;
    }
    say("a call of script %u, which returns %d, came to %d\n", slot->script, (int)end, (int)status);
    fault("a status that is possible", __FILE__, __LINE__);
}

/* ---- handles ---- */

struct slot *slot_free(struct actor *actor)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (actor->slots[i].kind == SLOT_FREE)
            return &actor->slots[i];
    return NULL;
}

/* One of that kind; which of them, the number says. */
struct slot *slot_of(struct actor *actor, unsigned number, enum slot_kind kind)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &actor->slots[(number + i) % SLOTS];
        if (slot->kind == kind)
            return slot;
    }
    return NULL;
}

void slot_release(struct slot *slot)
{
    struct slot old = *slot;
    slot->kind = SLOT_FREE; /* first: what a drop runs may come by */
    switch (old.kind) {
    case SLOT_FREE:
        return;
    case SLOT_THREAD:
        sp_thread_release(old.thread);
        return;
    case SLOT_TIMER:
        sp_timer_release(old.timer);
        return;
    case SLOT_FUTURE:
        sp_future_release(old.future);
        return;
    }
}

void actor_release(struct actor *actor)
{
    for (unsigned i = 0; i < SLOTS; i++)
        slot_release(&actor->slots[i]);
}

/* ---- steps ---- */

static void (*const step_functions[STEP_KINDS])(struct actor *, const struct step *) = {
#define X(name, weight) step_##name,
#include "lean/steps.def"
#undef X
};

static void make_steps(struct actor *actor)
{
    for (unsigned i = 0; i < actor->script->n; i++) {
        const struct step *step = &actor->script->steps[i];
        if (!step_is_dropped(step->number) && count_down(&world.fuel) > 0)
            step_functions[step->kind](actor, step);
    }
}

/* The number of who calls; 0 when there was no memory to have one. */
static uint64_t own_number(void)
{
    sp_thread *self = sp_thread_current();
    check(self != NULL || fact(&world.refuses));
    return sp_thread_ident(self);
}

void actor_run(const struct call *call)
{
    uint64_t number = own_number();
    struct actor actor = {
        .place = call->place,
        .script = &program.scripts[call->script],
        .inside = call->inside,
        .pool = call->pool,
        .light = call->place == IN_HOOK,
        .may_end_oddly = call->may_end_oddly,
    };
    make_steps(&actor);
    actor_release(&actor);
    check(number == 0 || own_number() == number);
}

void hook_run(unsigned script)
{
    static __thread int depth;
    if (script >= SCRIPTS || depth >= 2)
        return;
    depth++;
    actor_run(&(struct call){ .place = IN_HOOK, .script = script, .inside = ~0u, .pool = NO_POOL });
    depth--;
}
