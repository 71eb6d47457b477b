/* Programs made from seeds; steps left out.

   SPDX-License-Identifier: MIT */
#include "lean/lean.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct program program;

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool dropped[SCRIPTS * STEPS];

static const struct {
    const char *name;
    unsigned weight;
} kinds[STEP_KINDS] = {
#define X(name, weight) { #name, weight },
#include "lean/steps.def"
#undef X
};

/* The next number of a sequence (splitmix64), below n. */
static unsigned next(uint64_t *state, unsigned n)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (unsigned)((z ^ (z >> 31)) % n);
}

/* What a program is made of, its taste: each likes some kinds of steps more than others, so that not all are alike. */
static void make_taste(uint64_t *state, unsigned weights[STEP_KINDS])
{
    for (unsigned kind = 0; kind < STEP_KINDS; kind++)
        weights[kind] = kinds[kind].weight * (unsigned[]){ 0, 1, 1, 2, 6 }[next(state, 5)];
    weights[STEP_nap]++; /* there is always one */
}

static enum step_kind pick_kind(uint64_t *state, const unsigned weights[STEP_KINDS])
{
    unsigned sum = 0, kind = 0;
    for (unsigned i = 0; i < STEP_KINDS; i++)
        sum += weights[i];
    for (unsigned at = next(state, sum); at >= weights[kind]; kind++)
        at -= weights[kind];
    return (enum step_kind)kind;
}

static void make_script(uint64_t *state, unsigned index, const unsigned weights[STEP_KINDS])
{
    struct script *script = &program.scripts[index];
    bool is_main = index == 0;
    script->n = is_main ? 4 + next(state, STEPS - 3) : 1 + next(state, 6);
    script->end = next(state, 5) > 0 ? SP_OK : (sp_status)(SP_USER_ERROR + (int)index);
    for (unsigned i = 0; i < script->n; i++) {
        unsigned later = SCRIPTS - 1 - index;
        script->steps[i] = (struct step){
            .kind = pick_kind(state, weights),
            .a = next(state, 1u << 16),
            .b = next(state, 1u << 16),
            .c = next(state, 1u << 16),
            .limit = next(state, 8),
            .script = later > 0 ? index + 1 + next(state, later) : SCRIPTS,
            .number = program.n++,
        };
    }
}

static void make_plans(uint64_t *state)
{
    for (unsigned i = 0; i < POOLS; i++) {
        bool breaks = next(state, 12) == 0;
        program.pools[i] = (struct pool_plan){
            .is_inline = next(state, 8) == 0,
            .bounded = next(state, 4) == 0,
            .has_hooks = next(state, 3) == 0,
            .workers = 1 + next(state, 3),
            .idle = (double[]){ 0, 0, 1e-4, 1e-3 }[next(state, 4)],
            .broken_at = breaks ? 1 + next(state, 2) : 0,
            .compensation = next(state, 4) == 0 ? 1 + next(state, 2) : 0,
            .stack = next(state, 4) == 0 ? (size_t)256 << 10 : 0,
        };
    }
    for (unsigned i = 0; i < QUEUES; i++)
        program.queues[i] = (struct queue_plan){
            .order = (sp_queue_order)next(state, 3),
            .maxsize = next(state, 3),
        };
}

void program_make(uint64_t seed)
{
    uint64_t state = seed;
    unsigned weights[STEP_KINDS];
    program = (struct program){ .seed = seed };
    make_taste(&state, weights);
    make_plans(&state);
    for (unsigned i = 0; i < SCRIPTS; i++)
        make_script(&state, i, weights);
    program.hook_script = next(&state, 3) == 0 ? SCRIPTS - 1 - next(&state, 2) : SCRIPTS;
}

bool step_is_dropped(unsigned number)
{
    return dropped[number];
}

/* "3,17,4" */
bool steps_drop(const char *list)
{
    while (*list != '\0') {
        char *end;
        unsigned long number = strtoul(list, &end, 10);
        if (end == list || number >= SCRIPTS * STEPS || (*end != ',' && *end != '\0'))
            return false;
        dropped[number] = true;
        list = *end == ',' ? end + 1 : end;
    }
    return true;
}

void steps_keep_all(void)
{
    memset(dropped, 0, sizeof dropped);
}

static void print_step(const struct step *step)
{
    printf("    %3u %-14s a %u b %u c %u limit %u", step->number, kinds[step->kind].name, step->a, step->b, step->c,
           step->limit);
    if (step->script < SCRIPTS)
        printf(" script %u", step->script);
    puts("");
}

void program_print(void)
{
    printf("program %" PRIu64 "\n", program.seed);
    for (unsigned i = 0; i < POOLS; i++) {
        const struct pool_plan *plan = &program.pools[i];
        printf("  pool %u: %s, %u workers, idle %g, bounded %d, hooks %d, broken at %u, compensation %u, stack %zu\n",
               i, plan->is_inline ? "inline" : "threads", plan->workers, plan->idle, plan->bounded, plan->has_hooks,
               plan->broken_at, plan->compensation, plan->stack);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        printf("  queue %u: order %d, maxsize %zu\n", i, (int)program.queues[i].order, program.queues[i].maxsize);
    if (program.hook_script < SCRIPTS)
        printf("  hooks run script %u\n", program.hook_script);
    for (unsigned i = 0; i < SCRIPTS; i++) {
        printf("  script %u, returns %d:\n", i, (int)program.scripts[i].end);
        for (unsigned j = 0; j < program.scripts[i].n; j++)
            if (!dropped[program.scripts[i].steps[j].number])
                print_step(&program.scripts[i].steps[j]);
    }
}
