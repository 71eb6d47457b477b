/* Steps with pools as a whole: maps, shutdown, pools of an actor's own.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <string.h>

/* ---- maps ---- */

enum { INPUTS = 4 };

static bool make_inputs(const struct actor *actor, const struct step *step, unsigned pool, struct call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!call_make(&calls[i], actor, step, IN_TASK)) {
            while (i-- > 0)
                call_drop(&calls[i]);
            return false;
        }
        call_enter_pool(&calls[i], (int)pool, program.pools[pool].is_inline);
    }
    return true;
}

/* Only those of the actor's own making are waited for: the pool must be one that it may wait for. */
static bool may_map(const struct actor *actor, unsigned pool)
{
    return !actor->light && may_submit(actor, pool) && may_wait(actor, (int)pool);
}

void step_map(struct actor *actor, const struct step *step)
{
    unsigned pool = step->a % POOLS;
    size_t n = 1 + step->b % INPUTS;
    struct call calls[INPUTS];
    struct answer answers[INPUTS] = { { 0 } };
    struct slot slot = { .kind = SLOT_FUTURE, .pool = (int)pool, .script = step->script };
    sp_future *failed = NULL;
    bool wants_outputs = step->c % 4 > 0;
    if (!may_map(actor, pool) || !make_inputs(actor, step, pool, calls, n))
        return;
    const sp_map_options options = { .struct_size = sizeof options, .chunksize = step->c % 3, .ret_failed = &failed };
    sp_status status = sp_executor_map(world.pools[pool], act_task, calls, wants_outputs ? answers : NULL, n, &options);
    if (!wants_outputs)
        answers[0].value = answer_value(step->script);
    check_end(actor, &slot, status, &answers[0], SP_FOREVER);
    for (size_t i = 0; i < n && wants_outputs; i++) {
        check((answers[i].owned != NULL) == (status == SP_OK));
        answer_drop(&answers[i]);
    }
    sp_future_release(failed);
}

struct source {
    struct actor *actor;
    const struct step *step;
    unsigned pool;
    size_t left;
};

static bool next_call(void *context, void *ret_arg)
{
    struct source *source = context;
    return source->left-- > 0 && make_inputs(source->actor, source->step, source->pool, ret_arg, 1);
}

void step_map_lazy(struct actor *actor, const struct step *step)
{
    unsigned pool = step->a % POOLS;
    struct source source = { actor, step, pool, 1 + step->b % (INPUTS * 2) };
    struct slot slot = { .kind = SLOT_FUTURE, .pool = (int)pool, .script = step->script };
    if (!may_map(actor, pool))
        return;
    const sp_map_lazy_options options = { .struct_size = sizeof options, .buffersize = step->c % 4 };
    sp_mapping *mapping = sp_executor_map_lazy(world.pools[pool], act_task, next_call, &source, &options);
    check(mapping != NULL || fact(&world.refuses));
    for (unsigned i = 0; i < 2 * INPUTS + 1 && mapping != NULL; i++) {
        struct answer answer = { 0 };
        double limit = limit_of_own(actor, step);
        sp_status status = sp_map_next(mapping, &answer, limit);
        if (status == SP_STOP)
            break;
        check_end(actor, &slot, status, &answer, limit);
        if (status != SP_OK)
            break;
        answer_drop(&answer);
    }
    sp_mapping_release(mapping);
}

/* ---- the ends of pools ---- */

static bool may_wait_for_pools(const struct actor *actor)
{
    return actor->inside == 0 && !actor->light;
}

void step_shutdown(struct actor *actor, const struct step *step)
{
    const sp_shutdown_options options = {
        .struct_size = sizeof options,
        .no_wait = !may_wait_for_pools(actor) || step->b % 2 == 0,
        .cancel_futures = step->c % 2 == 0,
    };
    note_fact(&world.closed);
    sp_status status = sp_executor_shutdown(world.pools[step->a % POOLS], &options);
    check(status == SP_OK);
}

void step_wait_idle(struct actor *actor, const struct step *step)
{
    sp_executor *pool = world.pools[step->a % POOLS];
    sp_executor_statistics counts;
    double begin = now(), limit = may_wait_for_pools(actor) ? limit_of(actor, step) : short_limit(step);
    sp_executor_stats(pool, &counts);
    check(counts.completed <= counts.submitted);
    if (!sp_executor_wait_idle(pool, limit) && may_wait_for_pools(actor) && !world.in_child)
        check_waited(begin, limit);
}

/* A pool of the actor's own; it ends with the step, its futures may outlive it. */
static void use_pool(struct actor *actor, const struct step *step, sp_executor *pool, bool is_inline)
{
    struct slot *slot;
    struct call call;
    check(pool != NULL || fact(&world.refuses));
    for (unsigned i = 0;
         i <= step->b % 3 && (slot = slot_free(actor)) != NULL && call_make(&call, actor, step, IN_TASK); i++) {
        call_enter_pool(&call, A_PRIVATE_POOL, is_inline);
        *slot = (struct slot){
            .kind = SLOT_FUTURE, .own = true, .pool = A_PRIVATE_POOL, .script = call.script, .note = call.note
        };
        slot->future = sp_executor_submit(pool, act_task, &call);
    }
    if (step->c % 2 == 0 && !actor->light) {
        const sp_shutdown_options options = { .struct_size = sizeof options, .cancel_futures = step->c % 4 == 0 };
        check(sp_executor_shutdown(pool, &options) == SP_OK || world.in_child);
        check(slot == NULL || slot->kind != SLOT_FUTURE || sp_future_done(slot->future) ||
              world.in_child); /* the last one */
    }
    sp_executor_release(pool);
}

void step_private_pool(struct actor *actor, const struct step *step)
{
    use_pool(actor, step, sp_thread_pool(.max_workers = 1 + step->a % 2, .idle_seconds = step->c % 5 == 0 ? 1e-5 : 0),
             false);
}

void step_inline_pool(struct actor *actor, const struct step *step)
{
    if (!actor->light)
        use_pool(actor, step, sp_inline_pool(.seed = step->a % 3), true);
}
