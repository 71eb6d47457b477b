/* The shutdown of a queue against everything else: each item that was put is got once or dropped once, nobody hangs.

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <string.h>

#include <spool.h>

#include "os/fault.h"

enum { PUTTERS = 2, GETTERS = 2, ITEMS = 60, MANY = 7 }; /* ITEMS of each putter */

/* What happened to an item: counts, each atomic. */
struct fate {
    uint32_t put, got, dropped;
};

struct scene {
    sp_queue *queue;
    bool bounded;
    bool
        getters_stay; /* until the queue is shut down; else they leave early, and the last release drops what is left */
    bool immediate;
    uint64_t seed;
    uint32_t next;    /* atomic; numbers of the threads */
    uint32_t putters; /* atomic; numbers of the putters */
    struct fate fates[PUTTERS * ITEMS];
};

struct item {
    struct scene *scene;
    uint32_t number;
};

static void drop(void *item)
{
    const struct item *dropped = item;
    sp__add_seq_cst(&dropped->scene->fates[dropped->number].dropped, 1);
    /* It may call the queue. */
    stress_expect(sp_queue_size(dropped->scene->queue) <= PUTTERS * ITEMS);
}

/* Few classes, so that PRIORITY has equals. */
static int by_class(const void *a, const void *b)
{
    return (int)(((const struct item *)a)->number % 5) - (int)(((const struct item *)b)->number % 5);
}

static double draw_timeout(uint64_t *random)
{
    uint64_t drawn = test_random(random);
    return drawn % 4 == 0 ? (double)(drawn >> 32 & 63) * 1e-6 : SP_FOREVER;
}

/* ---- putters ---- */

static uint32_t put_some(struct scene *scene, uint32_t first, uint32_t n, uint64_t *random, sp_status *ret_status)
{
    struct item items[MANY];
    size_t done = 99;
    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct item){ scene, first + i };
    if (n == 1) {
        *ret_status = sp_put(scene->queue, items, draw_timeout(random));
        done = *ret_status == SP_OK;
    } else {
        *ret_status = sp_queue_put_many(scene->queue, items, n, &done, draw_timeout(random));
    }
    stress_expect(done <= n && (*ret_status == SP_OK) == (done == n));
    for (uint32_t i = 0; i < done && i < n; i++)
        sp__add_seq_cst(&scene->fates[first + i].put, 1);
    return (uint32_t)done;
}

static void *put_all(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_relaxed(&scene->next, 1);
    uint32_t from = sp__add_relaxed(&scene->putters, 1) * ITEMS, end = from + ITEMS;
    sp_status status = SP_OK;
    while (from < end && status != SP_SHUT_DOWN) {
        uint32_t n = stress_one_in(2, &random) ? 1 : 1 + (uint32_t)(test_random(&random) % MANY);
        from += put_some(scene, from, n < end - from ? n : end - from, &random, &status);
        stress_expect(status == SP_OK || status == SP_SHUT_DOWN || (status == SP_FULL && scene->bounded));
        stress_dawdle(&random);
    }
    sp_queue_release(scene->queue);
    return NULL;
}

/* ---- getters ---- */

static void note_got(struct scene *scene, const struct item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        stress_expect(items[i].scene == scene && items[i].number < PUTTERS * ITEMS);
        sp__add_seq_cst(&scene->fates[items[i].number].got, 1);
        stress_expect(sp_queue_task_done(scene->queue) == SP_OK);
    }
}

static sp_status get_some(struct scene *scene, uint64_t *random)
{
    struct item items[MANY];
    size_t n = 1 + test_random(random) % MANY, done = 99;
    sp_status status;
    if (n == 1) {
        status = sp_get(scene->queue, items, draw_timeout(random));
        done = status == SP_OK;
    } else {
        status = sp_queue_get_many(scene->queue, items, n, &done, draw_timeout(random));
    }
    stress_expect(done <= n && (status == SP_OK) == (done > 0));
    note_got(scene, items, done);
    return status;
}

static void *get_all(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_relaxed(&scene->next, 1);
    sp_status status = SP_OK;
    while (status != SP_SHUT_DOWN && (scene->getters_stay || !stress_one_in(16, &random))) {
        status = get_some(scene, &random);
        stress_expect(status == SP_OK || status == SP_EMPTY || status == SP_SHUT_DOWN);
        stress_dawdle(&random);
    }
    sp_queue_release(scene->queue);
    return NULL;
}

/* ---- the others ---- */

/* If all that is put is got or dropped, then join ends when the last task_done was said. */
static void *join_queue(void *arg)
{
    struct scene *scene = arg;
    bool ends = scene->getters_stay || scene->immediate;
    bool joined = sp_queue_join(scene->queue, ends ? SP_FOREVER : 0.0005);
    stress_expect(joined || !ends);
    sp_queue_release(scene->queue);
    return NULL;
}

static void *watch_size(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_relaxed(&scene->next, 1);
    size_t most = scene->bounded ? sp_queue_maxsize(scene->queue) : PUTTERS * ITEMS;
    for (int i = 0; i < 50; i++) {
        stress_expect(sp_queue_size(scene->queue) <= most);
        (void)sp_queue_full(scene->queue);
        (void)sp_queue_empty(scene->queue);
        stress_dawdle(&random);
    }
    sp_queue_release(scene->queue);
    return NULL;
}

static void *shut_down(void *arg)
{
    struct scene *scene = arg;
    uint64_t random = scene->seed + sp__add_relaxed(&scene->next, 1);
    for (uint64_t pauses = test_random(&random) % 128; pauses > 0; pauses--)
        stress_dawdle(&random);
    if (!scene->immediate || stress_one_in(2, &random))
        sp_queue_shutdown(scene->queue, false);
    if (scene->immediate)
        sp_queue_shutdown(scene->queue, true);
    struct item item = { scene, 0 };
    stress_expect(sp_put(scene->queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    if (scene->immediate) /* nothing is left, and nothing comes */
        stress_expect(sp_get(scene->queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    sp_queue_release(scene->queue);
    return NULL;
}

static void check_fates(const struct scene *scene, uint64_t *ret_got, uint64_t *ret_dropped)
{
    for (int i = 0; i < PUTTERS * ITEMS; i++) {
        const struct fate *fate = &scene->fates[i];
        if (fate->got + fate->dropped != fate->put || fate->put > 1)
            fail_msg("item %d was put %u times, got %u times, dropped %u times", i, fate->put, fate->got,
                     fate->dropped);
        *ret_got += fate->got;
        *ret_dropped += fate->dropped;
    }
}

static void play(struct scene *scene)
{
    void *(*const bodies[])(
        void *) = { put_all, put_all, get_all, get_all, join_queue, shut_down, watch_size, shut_down };
    enum { THREADS = sizeof bodies / sizeof bodies[0] };
    _Static_assert(THREADS == PUTTERS + GETTERS + 4, "one body for each");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        (void)sp_queue_retain(scene->queue);
        threads[i] = test_thread(bodies[i], scene);
    }
    sp_queue_release(scene->queue); /* the last of the threads drops what is left */
    for (int i = 0; i < THREADS; i++)
        test_join(threads[i]);
    stress_assert_nothing_wrong();
}

static void play_all(size_t maxsize, sp_queue_order order)
{
    /* 300 shutdowns as a rule, 10^5 with SPOOL_TEST_SCALE=33000 */
    long scenes = test_count(300);
    uint64_t seed = test_seed(), got = 0, dropped = 0;
    sp__fault_spurious(seed, 100);
    for (long i = 0; i < scenes; i++) {
        struct scene scene = { .bounded = maxsize != 0, .seed = seed + 100 * (uint64_t)i };
        scene.getters_stay = i % 4 < 2;
        scene.immediate = i % 2 == 0;
        scene.queue = sp_queue_of(struct item, .maxsize = maxsize, .order = order, .compare = by_class, .drop = drop);
        assert_non_null(scene.queue);
        play(&scene);
        check_fates(&scene, &got, &dropped);
    }
    sp__fault_spurious(0, 0);
    printf("got %" PRIu64 ", dropped %" PRIu64 "\n", got, dropped);
}

static void shutdown_of_a_bounded_fifo(void **state)
{
    (void)state;
    play_all(3, SP_FIFO);
}

static void shutdown_of_an_unbounded_fifo(void **state)
{
    (void)state;
    play_all(0, SP_FIFO);
}

static void shutdown_of_a_bounded_lifo(void **state)
{
    (void)state;
    play_all(3, SP_LIFO);
}

static void shutdown_of_an_unbounded_priority_queue(void **state)
{
    (void)state;
    play_all(0, SP_PRIORITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shutdown_of_a_bounded_fifo),
        cmocka_unit_test(shutdown_of_an_unbounded_fifo),
        cmocka_unit_test(shutdown_of_a_bounded_lifo),
        cmocka_unit_test(shutdown_of_an_unbounded_priority_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
