/* A pool against everything at once: each future ends exactly once and as it should, each job runs once or is cancelled,
   what is dropped is dropped once, nobody hangs.

   SPDX-License-Identifier: MIT */
#include "pool_scene.h"

/* ---- threads outside the pool ---- */

struct held {
    sp_future *futures[HELD]; /* different ones; each done or not */
    size_t n;
};

static void let_go(struct scene *scene, struct held *held, size_t index, bool with_callback)
{
    sp_future *future = held->futures[index];
    held->futures[index] = held->futures[--held->n];
    if (with_callback)
        add_callback(scene, future, 1, true);
    else
        sp_future_release(future);
}

static void check_statistics(const struct scene *scene)
{
    sp_executor_statistics stats;
    sp_executor_stats(scene->pool, &stats);
    stress_expect(stats.submitted >= stats.completed);
}

static void wait_until_idle(struct scene *scene, const struct held *held, uint64_t *random)
{
    double timeout = stress_one_in(2, random) ? SP_FOREVER : 1e-4;
    bool idle = sp_executor_wait_idle(scene->pool, timeout);
    stress_expect(idle || timeout < 1);
    for (size_t i = 0; i < held->n && idle; i++)
        check_end(scene, held->futures[i]);
}

static void do_something(struct scene *scene, struct held *held, uint64_t *random)
{
    size_t index = held->n > 0 ? test_random(random) % held->n : 0;
    job posted;
    switch (test_random(random) % 16) {
    case 0:
        if (held->n > 0)
            cancel(scene, held->futures[index]);
        break;
    case 1:
        wait_somehow(scene, held->futures, held->n, random);
        break;
    case 2:
        if (held->n > 0 && sp_future_wait(held->futures[index], draw_timeout(scene, random)))
            check_end(scene, held->futures[index]);
        break;
    case 3:
        map_some(scene, random);
        break;
    case 4:
        if (stress_one_in(8, random))
            wait_until_idle(scene, held, random);
        break;
    case 5:
        check_statistics(scene);
        break;
    case 6:
        if (held->n > 0)
            let_go(scene, held, index, true);
        break;
    case 7:
        if (draw_job(scene, 0, &posted)) {
            sp_status status = sp_executor_post(scene->pool, &do_job_sp_task, &posted);
            stress_expect(status == SP_OK || is_refusal(status));
        }
        break;
    default:
        if (held->n == HELD)
            let_go(scene, held, index, false);
        held->futures[held->n] = submit_job(scene, 3);
        held->n += held->futures[held->n] != NULL;
    }
}

static void *submit_and_meddle(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_seq_cst(&scene->number, 1);
    struct held held = { .n = 0 };
    while (sp__load_seq_cst(&scene->jobs) < JOBS) {
        do_something(scene, &held, &random);
        if (stress_one_in(8, &random))
            stress_dawdle(&random);
    }
    for (size_t i = 0; i < held.n; i++) {
        stress_expect(sp_future_wait(held.futures[i], SP_FOREVER));
        check_end(scene, held.futures[i]);
        sp_future_release(held.futures[i]);
    }
    return NULL;
}

static void shut_down_somehow(struct scene *scene, uint64_t *random)
{
    switch (test_random(random) % 4) {
    case 0:
        stress_expect(sp_shutdown(scene->pool) == SP_OK);
        break;
    case 1:
        stress_expect(sp_shutdown(scene->pool, .cancel_futures = true) == SP_OK);
        break;
    case 2:
        stress_expect(sp_shutdown(scene->pool, .no_wait = true) == SP_OK);
        break;
    default:
        stress_expect(sp_shutdown(scene->pool, .no_wait = true, .cancel_futures = true) == SP_OK);
    }
}

/* In the middle of the scene, perhaps twice. */
static void *shut_down_early(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_seq_cst(&scene->number, 1);
    uint32_t after = (uint32_t)(test_random(&random) % JOBS);
    while (sp__load_seq_cst(&scene->jobs) < after)
        stress_dawdle(&random);
    shut_down_somehow(scene, &random);
    if (stress_one_in(2, &random))
        shut_down_somehow(scene, &random);
    return NULL;
}

/* Makes one call of the system fail, again and again. */
static void *make_calls_fail(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_seq_cst(&scene->number, 1);
    while (sp__load_seq_cst(&scene->jobs) < JOBS) {
        sp__fault_arm(1 + test_random(&random) % 40, false);
        for (uint64_t pauses = 1 + test_random(&random) % 64; pauses > 0; pauses--)
            stress_dawdle(&random);
    }
    (void)sp__fault_disarm();
    return NULL;
}

/* ---- initializers ---- */

static sp_status begin_worker(void *arg)
{
    struct scene *scene = arg;
    uint32_t number = sp__add_seq_cst(&scene->initializers, 1) + 1;
    uint64_t random = scene->seed + number;
    stress_dawdle(&random);
    if (number != scene->bad_initializer)
        return SP_OK;
    sp__add_seq_cst(&scene->unbalanced, 1);
    return sp_raise(SP_USER_ERROR, "initializer %u", number);
}

static void end_worker(void *arg)
{
    struct scene *scene = arg;
    sp__add_seq_cst(&scene->finalizers, 1);
}

/* ---- scenes ---- */

static void be_silent(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

static void make_pool(struct scene *scene)
{
    uint64_t random = scene->seed;
    static const double idle[] = { 0, 0, 1e-9, 30e-6, 200e-6 };
    scene->max_workers = 1 + (unsigned)(test_random(&random) % 8);
    scene->pool = sp_thread_pool(.max_workers = scene->max_workers, .idle_seconds = idle[test_random(&random) % 5],
                                 .max_pending = stress_one_in(3, &random) ? 1 + test_random(&random) % 20 : 0,
                                 .stack_size = stress_one_in(4, &random) ? 128 * 1024 : 0, .initializer = begin_worker,
                                 .finalizer = end_worker, .initializer_arg = scene);
    assert_non_null(scene->pool);
    if (scene->ends_early && stress_one_in(2, &random))
        scene->bad_initializer = 1 + (uint32_t)(test_random(&random) % 12);
}

static void check_fates(const struct scene *scene)
{
    uint32_t jobs = scene->jobs < JOBS ? scene->jobs : JOBS;
    for (uint32_t i = 0; i < jobs; i++) {
        const struct fate *fate = &scene->fates[i];
        bool ended = fate->ran + fate->cancels == 1;
        if (scene->ends_early || scene->calls_fail ||
            scene->fates[i].mapped) /* refused, or after a failure of sp_map */
            ended = fate->ran + fate->cancels <= 1;
        if (!ended || fate->arg_drops != 1 || fate->result_drops != fate->ran)
            fail_msg("job %u: ran %u, cancelled %u, dropped %u and %u", i, fate->ran, fate->cancels, fate->arg_drops,
                     fate->result_drops);
    }
    assert_int_equal(scene->callbacks_done, scene->callbacks_due);
    assert_int_equal(scene->running, 0);
    assert_int_equal(scene->finalizers + scene->unbalanced, scene->initializers);
}

enum kind { EVERYTHING, FLAT, SHUT_DOWN_EARLY, CALLS_FAIL };

static void play(struct scene *scene, enum kind kind)
{
    pthread_t threads[SUBMITTERS + 1];
    size_t n = 0;
    scene->nests = kind != FLAT;
    scene->ends_early = kind == SHUT_DOWN_EARLY;
    scene->calls_fail = kind == CALLS_FAIL;
    make_pool(scene);
    while (n < SUBMITTERS)
        threads[n++] = test_thread(submit_and_meddle, scene);
    if (kind == SHUT_DOWN_EARLY)
        threads[n++] = test_thread(shut_down_early, scene);
    if (kind == CALLS_FAIL)
        threads[n++] = test_thread(make_calls_fail, scene);
    while (n > 0)
        test_join(threads[--n]);
    if (kind == EVERYTHING || kind == CALLS_FAIL)
        assert_true(sp_executor_wait_idle(scene->pool, SP_FOREVER));
    if (kind != FLAT)
        assert_int_equal(sp_shutdown(scene->pool), SP_OK);
    sp_executor_release(scene->pool);
    if (kind == FLAT)
        assert_true(sp_join_all(SP_FOREVER)); /* it drains by itself */
    stress_assert_nothing_wrong();
    check_fates(scene);
}

static void play_all(enum kind kind, long scenes)
{
    static struct scene scene;
    uint64_t seed = test_seed();
    sp_set_unseen_error_hook(be_silent, NULL);
    sp__fault_spurious(seed, 30);
    for (long i = 0; i < scenes; i++) {
        scene = (struct scene){ .seed = seed + 1000 * (uint64_t)i };
        play(&scene, kind);
    }
    sp__fault_spurious(0, 0);
    sp_set_unseen_error_hook(NULL, NULL);
}

static void everything_at_once(void **state)
{
    (void)state;
    play_all(EVERYTHING, test_count(100));
}

static void tasks_that_do_not_wait_keep_the_bound(void **state)
{
    (void)state;
    play_all(FLAT, test_count(100));
}

static void shutdowns_and_initializers_that_fail(void **state)
{
    (void)state;
    play_all(SHUT_DOWN_EARLY, test_count(200));
}

static void calls_that_fail(void **state)
{
    (void)state;
    play_all(CALLS_FAIL, test_count(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(tasks_that_do_not_wait_keep_the_bound),
        cmocka_unit_test(shutdowns_and_initializers_that_fail),
        cmocka_unit_test(calls_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
