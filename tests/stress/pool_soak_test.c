/* A pool for a long time: tasks of all shapes from several threads, every sum checked, and memory that stays what it was once
   it is warm.  10^7 tasks as a rule, 10^8 with `scripts/test --soak` (SPOOL_TEST_SCALE=1000).

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <unistd.h>

#include <spool.h>

#if defined __has_feature /* clang's way to ask */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    THREADS = 3,
    PARTS = 20,
    WARM = 5,                 /* so many parts are for warming up */
    FEWEST_CHECKED = 500000,  /* with fewer tasks the memory is not looked at: it is not warm */
    MOST_GROWTH = 1024 * 1024 /* bytes, in the other parts together */
};

static sp_executor *pool;
static uint64_t posted, post_ran, spawned; /* atomic: posts; tasks that ran for one; tasks submitted, all together */

/* ---- tasks ---- */

static sp_status pass(const uint64_t *in, uint64_t *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, uint64_t, uint64_t);

static sp_status count_post(const uint64_t *in, sp_none *out)
{
    (void)out;
    sp__add_relaxed(&post_ran, *in);
    return SP_OK;
}
SP_TASK(count_post, uint64_t, sp_none);

static sp_status leaves(const int *in, uint64_t *out);
SP_TASK(leaves, int, uint64_t);
static sp_status leaves(const int *in, uint64_t *out)
{
    *out = 1;
    if (*in == 0)
        return SP_OK;
    sp_auto(sp_future) a = sp_submit(pool, leaves, *in - 1);
    sp_auto(sp_future) b = sp_submit(pool, leaves, *in - 1);
    uint64_t x = 0, y = 0;
    sp_status status = sp_result(b, &y, SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(a, &x, SP_FOREVER);
    *out = x + y;
    return status;
}

/* ---- shapes: each returns how many tasks it submitted ---- */

static uint64_t results(uint64_t *random)
{
    enum { N = 200 };
    sp_future *futures[N];
    uint64_t base = test_random(random), value = 0;
    for (uint64_t i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, base + i);
    for (uint64_t i = 0; i < N; i++)
        stress_expect(sp_result(futures[i], &value, SP_FOREVER) == SP_OK && value == base + i);
    sp_release_all(futures, N);
    return N;
}

static uint64_t posts(uint64_t *random)
{
    uint64_t n = 1 + test_random(random) % 2000;
    for (uint64_t i = 0; i < n; i++)
        stress_expect(sp_post(pool, count_post, 1) == SP_OK);
    sp__add_relaxed(&posted, n);
    sp_auto(sp_future) last = sp_submit(pool, pass, n);
    stress_expect(sp_future_wait(last, SP_FOREVER)); /* what is queued stays bounded */
    return n + 1;
}

static uint64_t fork_join(uint64_t *random)
{
    int depth = (int)(test_random(random) % 10);
    sp_auto(sp_future) root = sp_submit(pool, leaves, depth);
    uint64_t value = 0;
    stress_expect(sp_result(root, &value, SP_FOREVER) == SP_OK && value == UINT64_C(1) << depth);
    return (UINT64_C(2) << depth) - 1;
}

static uint64_t in_order_of_completion(uint64_t *random)
{
    enum { N = 150 };
    sp_future *futures[N];
    uint64_t sum = 0, value = 0;
    (void)random;
    for (uint64_t i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    sp_auto(sp_completion) set = sp_as_completed(futures, N, SP_FOREVER);
    for (sp_future *future; (future = sp_next(set)) != NULL; sum += value)
        stress_expect(sp_result(future, &value, SP_NOWAIT) == SP_OK);
    stress_expect(sum == N * (N - 1) / 2);
    sp_release_all(futures, N);
    return N;
}

static uint64_t map(uint64_t *random)
{
    enum { N = 100 };
    uint64_t in[N], out[N];
    size_t chunk = 1 + test_random(random) % 7;
    for (uint64_t i = 0; i < N; i++)
        in[i] = test_random(random);
    stress_expect(sp_map(pool, pass, in, out, N, .chunksize = chunk) == SP_OK);
    for (uint64_t i = 0; i < N; i++)
        stress_expect(in[i] == out[i]);
    return (N + chunk - 1) / chunk;
}

static void release_it(sp_future *future, void *context)
{
    (void)context;
    sp_future_release(future); /* the worker holds another */
}

/* Cancelled, released in callbacks, not waited for. */
static uint64_t carelessness(uint64_t *random)
{
    enum { N = 50 };
    sp_future *futures[N];
    for (uint64_t i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    stress_expect(sp_wait(futures, N, SP_FIRST_COMPLETED, SP_FOREVER) == SP_OK);
    for (uint64_t i = 0; i < N; i++) {
        if (stress_one_in(2, random))
            (void)sp_future_cancel(futures[i]);
        if (stress_one_in(2, random))
            sp_future_add_done_callback(futures[i], release_it, NULL);
        else
            sp_future_release(futures[i]);
    }
    return N;
}

static void *work(void *arg)
{
    static uint64_t (*const shapes[])(uint64_t *) = { results, posts,       fork_join, in_order_of_completion,
                                                      map,     carelessness };
    uint64_t *random = arg, end = random[1], done = 0;
    while (done < end)
        done += shapes[test_random(random) % 6](random);
    sp__add_relaxed(&spawned, done);
    return NULL;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* One part: so many tasks from each thread, and a pool that has come to rest. */
static void work_once(uint64_t *seed, uint64_t tasks)
{
    pthread_t threads[THREADS];
    uint64_t arguments[THREADS][2];
    for (int i = 0; i < THREADS; i++) {
        arguments[i][0] = test_random(seed);
        arguments[i][1] = tasks / THREADS;
        threads[i] = test_thread(work, arguments[i]);
    }
    for (int i = 0; i < THREADS; i++)
        test_join(threads[i]);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    stress_assert_nothing_wrong();
    assert_int_equal(sp__load_relaxed(&post_ran), sp__load_relaxed(&posted));
}

static void tasks_of_all_shapes_for_a_long_time(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    uint64_t tasks = (uint64_t)test_count(10000000) / (SANITIZED ? 10 : 1);
    bool looks = !SANITIZED && tasks >= FEWEST_CHECKED;
    long warm = 0, most = 0;
    double begin = sp_monotonic();
    pool = sp_thread_pool(.max_workers = 4);
    for (int part = 1; part <= PARTS; part++) {
        work_once(&seed, tasks / PARTS);
        long now = resident();
        if (part <= WARM && now > warm)
            warm = now;
        most = now > most ? now : most;
        if (tasks > 10000000)
            printf("part %d: %" PRIu64 " tasks, %.0f s, %ld KiB\n", part, sp__load_relaxed(&spawned),
                   sp_monotonic() - begin, now / 1024);
    }
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    printf("%" PRIu64 " tasks, %.0f a second, %ld KiB when warm, %ld KiB at most\n", sp__load_relaxed(&spawned),
           (double)sp__load_relaxed(&spawned) / (sp_monotonic() - begin), warm / 1024, most / 1024);
    assert_int_equal(stats.submitted, stats.completed);
    assert_true(stats.submitted >= sp__load_relaxed(&spawned));
    if (looks)
        assert_true(most <= warm + MOST_GROWTH);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_all_shapes_for_a_long_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
