/* A pool under random load: jobs whose fate is counted, tasks that submit and wait in every way, threads that do everything
   to their futures.  pool_test.c plays scenes of different kinds.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_STRESS_POOL_SCENE_H
#define SP_TESTS_STRESS_POOL_SCENE_H

#include "stress.h"

#include <spool.h>

#include "os/fault.h"

enum { JOBS = 1500, SUBMITTERS = 2, HELD = 12, MOST_CHILDREN = 4, LONG_TIME = 600 /* seconds */ };

/* What happened to a job: counts, each atomic. */
struct fate {
    uint32_t ran, arg_drops, result_drops, cancels;
    bool mapped; /* set before it is submitted */
};

struct scene {
    sp_executor *pool;
    unsigned max_workers;
    uint64_t seed;
    bool nests;                             /* tasks submit and wait */
    bool calls_fail;                        /* of the system, now and then: nobody counts on being woken by a worker */
    bool ends_early;                        /* somebody shuts the pool down, or an initializer fails */
    uint32_t jobs;                          /* atomic; numbers given out */
    uint32_t running;                       /* atomic; tasks that run and have not waited yet */
    uint32_t callbacks_due, callbacks_done; /* atomic */
    uint32_t number;                        /* atomic; of threads */
    uint32_t initializers, bad_initializer; /* atomic: so many were called; the number of the one that fails, 0: none */
    uint32_t finalizers, unbalanced;        /* atomic: finalizers called; initializers that failed */
    struct fate fates[JOBS];
};

struct job {
    struct scene *scene;
    uint32_t number, depth;
};
struct answer {
    struct scene *scene; /* NULL: the task did not get so far */
    uint32_t number;
    uint64_t sum;
};
typedef struct job job;
typedef struct answer answer;

static void drop_job(void *memory)
{
    const job *dropped = memory;
    sp__add_seq_cst(&dropped->scene->fates[dropped->number].arg_drops, 1);
}

static void drop_answer(void *memory)
{
    const answer *dropped = memory;
    if (dropped->scene != NULL)
        sp__add_seq_cst(&dropped->scene->fates[dropped->number].result_drops, 1);
}

static sp_status do_job(const job *in, answer *out);
SP_TASK_OWNING(do_job, job, answer, drop_job, drop_answer);

/* The next job; false: there are no more. */
static bool draw_job(struct scene *scene, uint32_t depth, job *ret_job)
{
    uint32_t number = sp__add_seq_cst(&scene->jobs, 1);
    *ret_job = (job){ scene, number, depth };
    return number < JOBS;
}

static sp_future *submit_job(struct scene *scene, uint32_t depth)
{
    job next;
    return draw_job(scene, depth, &next) ? sp_submit_from(scene->pool, do_job, &next) : NULL;
}

static bool is_refusal(sp_status status)
{
    return status == SP_SHUT_DOWN || status == SP_BROKEN_POOL || status == SP_OS_ERROR || status == SP_MEMORY_ERROR;
}

/* ---- callbacks ---- */

struct called {
    struct scene *scene;
    sp_future *release; /* or NULL: a reference that goes in the callback */
    unsigned again;     /* so many more from inside */
};

static void add_callback(struct scene *scene, sp_future *future, unsigned again, bool owns);

static void on_done(sp_future *future, void *context)
{
    struct called *called = context;
    struct scene *scene = called->scene;
    stress_expect(sp_future_done(future));
    if (called->again > 0)
        add_callback(scene, future, called->again - 1, false);
    if (scene->nests)
        sp_future_release(submit_job(scene, 0));
    sp_future_release(called->release);
    free(called);
    sp__add_seq_cst(&scene->callbacks_done, 1);
}

/* With `owns` the caller's reference goes with the callback. */
static void add_callback(struct scene *scene, sp_future *future, unsigned again, bool owns)
{
    struct called *called = malloc(sizeof *called);
    *called = (struct called){ scene, owns ? future : NULL, again };
    sp__add_seq_cst(&scene->callbacks_due, 1);
    sp_future_add_done_callback(future, on_done, called);
}

static void cancel(struct scene *scene, sp_future *future)
{
    const job *cancelled = sp_future_arg(future);
    if (sp_future_done(future) || !sp_future_cancel(future) || cancelled == NULL)
        return;
    sp__add_seq_cst(&scene->fates[cancelled->number].cancels, 1);
}

/* ---- waiting ---- */

/* How it ended fits what happened. */
static void check_end(const struct scene *scene, sp_future *future)
{
    answer value = { 0 };
    sp_status status = sp_result(future, &value, SP_NOWAIT);
    const job *done = sp_future_arg(future);
    uint32_t ran = done != NULL ? sp__load_seq_cst(&scene->fates[done->number].ran) : 0;
    stress_expect(sp_future_done(future));
    if (status == SP_OK)
        stress_expect(ran == 1 && value.number == done->number && value.sum >= 1);
    else if (status == SP_VALUE_ERROR)
        stress_expect(ran == 1 && sp_future_error(future)->status == SP_VALUE_ERROR);
    else if (status == SP_CANCELLED)
        stress_expect(ran == 0 && sp_future_cancelled(future));
    else
        stress_expect(ran == 0 && is_refusal(status));
    if (status == SP_OS_ERROR || status == SP_MEMORY_ERROR)
        stress_expect(scene->calls_fail);
    if (status == SP_SHUT_DOWN || status == SP_BROKEN_POOL)
        stress_expect(scene->ends_early);
}

/* Without a limit, a long one, or hardly any. */
static double draw_timeout(const struct scene *scene, uint64_t *random)
{
    uint64_t drawn = test_random(random);
    if (drawn % 8 == 0)
        return (double)(drawn >> 32 & 63) * 1e-6;
    return drawn % 8 < 4 ? (scene->calls_fail ? 0.002 : LONG_TIME) : SP_FOREVER;
}

static void wait_in_order(struct scene *scene, sp_future *const *futures, size_t n, double timeout)
{
    sp_auto(sp_completion) set = sp_as_completed(futures, n, timeout);
    size_t given = 0;
    for (sp_future *future; (future = sp_next(set)) != NULL; given++)
        check_end(scene, future);
    sp_status status = sp_completion_status(set);
    stress_expect(status == SP_OK ? given == n || scene->calls_fail
                                  : status == SP_TIMEOUT || status == SP_MEMORY_ERROR);
    stress_expect(status != SP_MEMORY_ERROR || scene->calls_fail);
}

/* Wait for a set of different futures, in some way. */
static void wait_somehow(struct scene *scene, sp_future *const *futures, size_t n, uint64_t *random)
{
    double timeout = draw_timeout(scene, random);
    bool may_time_out = timeout < 1;
    sp_status status = SP_OK;
    switch (test_random(random) % 6) {
    case 0:
        for (size_t i = n; i > 0; i--)
            if (sp_future_wait(futures[i - 1], timeout))
                check_end(scene, futures[i - 1]);
            else
                stress_expect(may_time_out);
        return;
    case 1:
        wait_in_order(scene, futures, n, timeout);
        return;
    case 2:
        status = sp_wait(futures, n, SP_FIRST_COMPLETED, timeout);
        break;
    case 3:
        status = sp_wait(futures, n, SP_FIRST_ERROR, timeout);
        break;
    default:
        status = sp_wait(futures, n, SP_ALL_COMPLETED, timeout);
        for (size_t i = 0; i < n && status == SP_OK; i++)
            check_end(scene, futures[i]);
    }
    stress_expect(status == SP_OK || (status == SP_TIMEOUT && may_time_out) ||
                  (status == SP_MEMORY_ERROR && scene->calls_fail));
}

/* Inputs are jobs, too. */
static void map_some(struct scene *scene, uint64_t *random)
{
    job inputs[MOST_CHILDREN];
    answer outputs[MOST_CHILDREN];
    size_t n = 0, chunk = 1 + test_random(random) % 3;
    while (n < MOST_CHILDREN && draw_job(scene, 0, &inputs[n]))
        scene->fates[inputs[n++].number].mapped = true;
    sp_status status = sp_map(scene->pool, do_job, inputs, outputs, n, .chunksize = chunk);
    stress_expect(status == SP_OK || status == SP_VALUE_ERROR || status == SP_CANCELLED || is_refusal(status));
    for (size_t i = 0; i < n && status == SP_OK; i++) {
        stress_expect(outputs[i].number == inputs[i].number);
        drop_answer(&outputs[i]);
    }
}

/* ---- tasks ---- */

static void nest(const job *in, uint64_t *random)
{
    struct scene *scene = in->scene;
    sp_future *children[MOST_CHILDREN];
    size_t n = 0, wanted = 1 + test_random(random) % MOST_CHILDREN;
    while (n < wanted && (children[n] = submit_job(scene, in->depth - 1)) != NULL)
        n++;
    if (n > 0 && stress_one_in(4, random))
        cancel(scene, children[test_random(random) % n]);
    if (n > 0 && stress_one_in(4, random))
        add_callback(scene, sp_future_retain(children[0]), (unsigned)(test_random(random) % 3), true);
    if (n > 0 && !stress_one_in(5, random))
        wait_somehow(scene, children, n, random);
    for (size_t i = 0; i < n; i++) {
        if (sp_future_done(children[i]))
            check_end(scene, children[i]);
        sp_future_release(children[i]);
    }
    if (stress_one_in(8, random))
        map_some(scene, random);
    if (stress_one_in(16, random))
        stress_expect(!sp_executor_wait_idle(scene->pool, SP_FOREVER));
    if (scene->ends_early && stress_one_in(64, random))
        stress_expect(sp_shutdown(scene->pool) == SP_DEADLOCK);
}

static sp_status do_job(const job *in, answer *out)
{
    struct scene *scene = in->scene;
    uint64_t random = scene->seed * 31 + in->number;
    uint32_t now = sp__add_seq_cst(&scene->running, 1) + 1;
    /* Those who are back from a wait may be more; so no bound where tasks wait. */
    stress_expect(scene->nests || now <= scene->max_workers);
    stress_expect(sp__add_seq_cst(&scene->fates[in->number].ran, 1) == 0);
    if (stress_one_in(4, &random))
        stress_dawdle(&random);
    if (scene->nests && in->depth > 0)
        nest(in, &random);
    sp__sub_seq_cst(&scene->running, 1);
    *out = (answer){ scene, in->number, 1 };
    return in->number % 16 == 5 ? sp_raise(SP_VALUE_ERROR, "job %u", in->number) : SP_OK;
}

#endif
