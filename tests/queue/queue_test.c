/* Queues: CPython 3.13's behaviours, and what C adds.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static int by_tens(const void *a, const void *b)
{
    int x = *(const int *)a / 10, y = *(const int *)b / 10;
    return (x > y) - (x < y);
}

static void put_all(sp_queue *queue, const int *items, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(sp_put(queue, &items[i], SP_NOWAIT), SP_OK);
}

static void expect_all(sp_queue *queue, const int *items, int n)
{
    for (int i = 0; i < n; i++) {
        int item = -1;
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
        assert_int_equal(item, items[i]);
    }
}

static void fifo_lifo_and_stable_priority(void **state)
{
    (void)state;
    const int in[] = { 31, 12, 30, 11, 32, 10, 13 };
    sp_auto(sp_queue) fifo = sp_queue_of(int);
    put_all(fifo, in, 7);
    expect_all(fifo, in, 7);
    sp_auto(sp_queue) lifo = sp_queue_of(int, .order = SP_LIFO);
    put_all(lifo, in, 7);
    expect_all(lifo, (const int[]){ 13, 10, 32, 11, 30, 12, 31 }, 7);
    sp_auto(sp_queue) priority = sp_queue_of(int, .order = SP_PRIORITY, .compare = by_tens);
    put_all(priority, in, 7);
    expect_all(priority, (const int[]){ 12, 11, 10, 13, 31, 30, 32 }, 7);
}

/* LIFO and PRIORITY give memory back on the way down, again and again, and keep every item and its order. */
static void a_queue_that_shrinks_keeps_its_items(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_LIFO; order <= SP_PRIORITY; order++) {
        sp_auto(sp_queue) queue = sp_queue_of(int, .order = order, .compare = order == SP_PRIORITY ? by_tens : NULL);
        for (int peak = 15; peak <= 4000; peak = peak * 3 + 1) {
            for (int i = 0; i < peak; i++)
                assert_int_equal(sp_put(queue, &(int){ order == SP_LIFO ? i : peak - 1 - i }, SP_NOWAIT), SP_OK);
            sp__fault_arm((uint64_t)peak % 3, peak % 2 == 0); /* refused memory leaves the queue large, no more */
            for (int i = 0; i < peak; i++) {
                int item = -1;
                assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
                assert_int_equal(order == SP_LIFO ? item : item / 10, order == SP_LIFO ? peak - 1 - i : i / 10);
            }
            sp__fault_disarm();
            assert_true(sp_queue_empty(queue));
        }
    }
}

static void items_of_any_size_through_a_ring_that_grows_and_wraps(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 3, 24, 1000 };
    for (size_t k = 0; k < 4; k++) {
        for (sp_queue_order order = SP_FIFO; order <= SP_LIFO; order++) {
            unsigned char item[1000], got[1000];
            sp_queue *queue = sp_queue_new(
                sizes[k], &(sp_queue_options){ .struct_size = sizeof(sp_queue_options), .order = order });
            int in = 0, out = 0;
            for (int round = 0; round < 200; round++) {
                for (int i = round % 7; i >= 0; i--) {
                    memset(item, in++ & 0xff, sizes[k]);
                    assert_int_equal(sp_queue_put(queue, item, sizes[k], SP_NOWAIT), SP_OK);
                }
                for (int i = round % 5; i >= 0 && out < in; i--, out++) {
                    assert_int_equal(sp_queue_get(queue, got, sizes[k], SP_NOWAIT), SP_OK);
                    memset(item, out & 0xff, sizes[k]);
                    assert_true(order != SP_FIFO || memcmp(item, got, sizes[k]) == 0);
                }
                assert_int_equal(sp_queue_size(queue), (size_t)(in - out));
            }
            sp_queue_release(queue);
        }
    }
}

static void put_full_and_get_empty(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 2);
    int item = 7;
    assert_true(sp_queue_empty(queue));
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_EMPTY);
    double begin = sp_monotonic();
    assert_int_equal(sp_get(queue, &item, 0.01), SP_EMPTY);
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_int_equal(item, 7);
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    assert_false(sp_queue_full(queue));
    assert_int_equal(sp_put(queue, &item, -1), SP_OK);
    assert_true(sp_queue_full(queue));
    assert_int_equal(sp_queue_size(queue), 2);
    assert_int_equal(sp_queue_maxsize(queue), 2);
    begin = sp_monotonic();
    assert_int_equal(sp_put(queue, &item, 0.01), SP_FULL);
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_FULL);
}

/* Put until the store needs memory, which it does not get; then it works on, and nothing was lost. */
static void put_without_memory(sp_queue *queue)
{
    int puts = 0, item;
    sp__fault_arm(1, true);
    while (sp_put(queue, &puts, 1) == SP_OK)
        assert_true(++puts < 1000);
    assert_int_equal(sp_put(queue, &puts, 1), SP_MEMORY_ERROR);
    assert_true(sp__fault_disarm() >= 2);
    assert_int_equal(sp_queue_size(queue), puts);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sp_put(queue, &i, 1), SP_OK);
    for (int i = 0; i < puts + 1000; i++)
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
    assert_true(sp_queue_empty(queue));
    sp_queue_release(queue);
}

static int least_int_first(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void a_put_without_memory_fails_and_the_next_works(void **state)
{
    (void)state;
    put_without_memory(sp_queue_of(int));
    put_without_memory(sp_queue_of(int, .order = SP_LIFO));
    put_without_memory(sp_queue_of(int, .order = SP_PRIORITY, .compare = least_int_first));
    put_without_memory(sp_queue_of(int, .maxsize = SIZE_MAX));
    for (uint64_t call = 1; call <= 2; call++) { /* the handle, the store */
        sp__fault_arm(call, false);
        assert_null(sp_queue_of(int, .maxsize = 10));
        assert_int_equal(errno, ENOMEM);
        sp__fault_arm(call, false);
        assert_null(sp_queue_of(int));
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(sp__fault_disarm(), 1);
    }
}

static void many_at_once(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 5);
    int items[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, got[8];
    size_t done = 99;
    assert_int_equal(sp_queue_put_many(queue, items, 3, &done, SP_NOWAIT), SP_OK);
    assert_int_equal(done, 3);
    assert_int_equal(sp_queue_put_many(queue, items + 3, 5, &done, 0.001), SP_FULL);
    assert_int_equal(done, 2);
    assert_int_equal(sp_queue_get_many(queue, got, 8, &done, SP_FOREVER), SP_OK); /* what is there, not more */
    assert_int_equal(done, 5);
    assert_memory_equal(got, items, 5 * sizeof(int));
    assert_int_equal(sp_queue_get_many(queue, got, 8, &done, 0.001), SP_EMPTY);
    assert_int_equal(done, 0);
    assert_int_equal(sp_queue_put_many(queue, items, 0, &done, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_queue_get_many(queue, got, 0, NULL, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_queue_put_items(queue, items, 1, 2, &done, 1), SP_TYPE_ERROR);
    assert_int_equal(sp_queue_get_many(queue, got, 2, &done, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_queue_put_many(queue, items, 2, NULL, SP_NOWAIT), SP_OK);
    sp_queue_shutdown(queue, false);
    assert_int_equal(sp_queue_put_many(queue, items, 2, &done, 1), SP_SHUT_DOWN);
    assert_int_equal(done, 0);
    assert_int_equal(sp_queue_get_many(queue, got, 1, &done, 1), SP_OK);
    assert_int_equal(sp_queue_get_many(queue, got, 8, &done, 1), SP_OK);
    assert_int_equal(done, 1);
    assert_int_equal(sp_queue_get_many(queue, got, 8, &done, 1), SP_SHUT_DOWN);
    sp_queue *none = NULL;
    assert_int_equal(sp_queue_put_many(none, items, 2, &done, 1), SP_MEMORY_ERROR);
    assert_int_equal(sp_queue_get_many(none, got, 2, &done, 1), SP_MEMORY_ERROR);
}

/* ---- the bound holds, seen from outside while others put and get ---- */

struct watched {
    sp_queue *queue;
    long rounds;
    uint32_t stop;
    size_t most;
};

static void *put_and_get_in_turn(void *arg)
{
    struct watched *watched = arg;
    bool failed = false;
    for (long i = 0; i < watched->rounds; i++) {
        int item = (int)i;
        failed |= sp_put(watched->queue, &item, SP_FOREVER) != SP_OK;
        if (i % 3 != 0)
            failed |= sp_get(watched->queue, &item, SP_FOREVER) != SP_OK;
        if (i % 3 == 1)
            failed |= sp_get(watched->queue, &item, SP_FOREVER) != SP_OK;
    }
    return failed ? arg : NULL;
}

static void *watch_size(void *arg)
{
    struct watched *watched = arg;
    while (!__atomic_load_n(&watched->stop, __ATOMIC_RELAXED)) {
        size_t size = sp_queue_size(watched->queue);
        if (size > watched->most)
            watched->most = size;
    }
    return NULL;
}

static void hold_to_bound(sp_queue *queue, size_t maxsize)
{
    struct watched watched = { .queue = queue, .rounds = test_count(30000) / 3 * 3 };
    pthread_t watcher = test_thread(watch_size, &watched), workers[3];
    for (int i = 0; i < 3; i++)
        workers[i] = test_thread(put_and_get_in_turn, &watched);
    for (int i = 0; i < 3; i++) {
        void *failed;
        assert_int_equal(pthread_join(workers[i], &failed), 0);
        assert_null(failed);
    }
    __atomic_store_n(&watched.stop, 1, __ATOMIC_RELAXED);
    test_join(watcher);
    assert_true(watched.most <= maxsize);
    assert_int_equal(sp_queue_size(queue), 0);
    sp_queue_release(queue);
}

static void size_never_exceeds_maxsize(void **state)
{
    (void)state;
    hold_to_bound(sp_queue_of(int, .maxsize = 4), 4);
    hold_to_bound(sp_queue_of(int, .maxsize = 5, .order = SP_LIFO), 5);
    hold_to_bound(sp_queue_of(int, .maxsize = 4, .order = SP_PRIORITY, .compare = least_int_first), 4);
}

/* ---- blocks come and go ---- */

static void a_million_items_and_back(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(uint64_t);
    uint64_t n = (uint64_t)test_count(1000000), item;
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(sp_put(queue, &i, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_queue_size(queue), n);
        for (uint64_t i = 0; i < n; i++) {
            assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
            assert_int_equal(item, i);
        }
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_EMPTY);
    }
}

static void type_value_and_memory_errors(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    char small = 1;
    int item = 1;
    double nan = strtod("nan", NULL);
    assert_int_equal(sp_put(queue, &small, 1), SP_TYPE_ERROR);
    assert_int_equal(sp_get(queue, &small, 1), SP_TYPE_ERROR);
    assert_int_equal(sp_put(queue, &item, nan), SP_VALUE_ERROR);
    assert_int_equal(sp_get(queue, &item, nan), SP_VALUE_ERROR);
    sp_queue *none = NULL;
    assert_int_equal(sp_put(none, &item, 1), SP_MEMORY_ERROR);
    assert_int_equal(sp_get(none, &item, 1), SP_MEMORY_ERROR);
    assert_null(sp_queue_new(0, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(sp_queue_of(int, .order = SP_PRIORITY));
    assert_int_equal(errno, EINVAL);
    sp__fault_arm(1, false);
    assert_null(sp_queue_of(int));
    assert_int_equal(errno, ENOMEM);
    sp__fault_disarm();
}

static void task_done_and_join(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    int item = 1;
    assert_true(sp_queue_join(queue, SP_NOWAIT));
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    assert_int_equal(sp_put(queue, &item, 1), SP_OK);
    assert_int_equal(sp_get(queue, &item, 1), SP_OK);
    assert_false(sp_queue_join(queue, 0.005));
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_true(sp_queue_join(queue, SP_FOREVER));
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
}

/* ---- shutdown ---- */

static int dropped;
static sp_queue *dropping;

static void drop(void *item)
{
    (void)item;
    dropped++;
    if (dropping != NULL)
        assert_int_equal(sp_queue_size(dropping), 2 - dropped); /* calls back: no lock is held, and it has left */
}

static void shutdown_lets_getters_have_what_is_left(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    int item = 5;
    put_all(queue, (const int[]){ 1, 2 }, 2);
    sp_queue_shutdown(queue, false);
    sp_queue_shutdown(queue, false);
    assert_int_equal(sp_put(queue, &item, SP_FOREVER), SP_SHUT_DOWN);
    expect_all(queue, (const int[]){ 1, 2 }, 2);
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(item, 5);
    assert_false(sp_queue_join(queue, SP_NOWAIT));
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_true(sp_queue_join(queue, SP_FOREVER));
}

static void immediate_shutdown_drops_what_is_left_and_settles_join(void **state)
{
    (void)state;
    dropped = 0;
    sp_queue *queue = sp_queue_of(int, .drop = drop);
    int item;
    put_all(queue, (const int[]){ 1, 2, 3 }, 3);
    assert_int_equal(sp_get(queue, &item, 1), SP_OK);
    dropping = queue;
    sp_queue_shutdown(queue, true);
    dropping = NULL;
    assert_int_equal(dropped, 2);
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_SHUT_DOWN);
    assert_false(sp_queue_join(queue, SP_NOWAIT)); /* the one that was got is still worked on */
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_true(sp_queue_join(queue, SP_FOREVER));
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    sp_queue_release(queue);
    assert_int_equal(dropped, 2);
}

static void the_last_release_drops_what_is_left(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
        dropped = 0;
        sp_queue *queue = sp_queue_of(int, .order = order, .compare = by_tens, .drop = drop);
        put_all(queue, (const int[]){ 30, 10, 20 }, 3);
        sp_queue_release(sp_queue_retain(queue));
        assert_int_equal(dropped, 0);
        sp_queue_release(queue);
        assert_int_equal(dropped, 3);
    }
}

struct blocked {
    sp_queue *queue;
    uint32_t waiting; /* atomic */
    sp_status status;
};

static void *put_blocked(void *arg)
{
    struct blocked *blocked = arg;
    sp__add_seq_cst(&blocked->waiting, 1);
    blocked->status = sp_put(blocked->queue, &(int){ 9 }, SP_FOREVER);
    return NULL;
}

static void *get_blocked(void *arg)
{
    struct blocked *blocked = arg;
    int item;
    sp__add_seq_cst(&blocked->waiting, 1);
    blocked->status = sp_get(blocked->queue, &item, SP_FOREVER);
    return NULL;
}

static void *join_blocked(void *arg)
{
    struct blocked *blocked = arg;
    sp__add_seq_cst(&blocked->waiting, 1);
    blocked->status = sp_queue_join(blocked->queue, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
    return NULL;
}

static void shutdown_wakes_whoever_waits(void **state)
{
    (void)state;
    for (long i = test_count(200); i > 0; i--) {
        sp_auto(sp_queue) empty = sp_queue_of(int);
        sp_auto(sp_queue) full = sp_queue_of(int, .maxsize = 1);
        assert_int_equal(sp_put(full, &(int){ 1 }, 1), SP_OK);
        struct blocked getter = { .queue = empty }, putter = { .queue = full }, joiner = { .queue = full };
        pthread_t threads[3] = { test_thread(get_blocked, &getter), test_thread(put_blocked, &putter),
                                 test_thread(join_blocked, &joiner) };
        test_await(sp__load_acquire(&getter.waiting) + sp__load_acquire(&putter.waiting) == 2);
        sp_queue_shutdown(empty, false);
        sp_queue_shutdown(full, true);
        for (int k = 0; k < 3; k++)
            test_join(threads[k]);
        assert_int_equal(getter.status, SP_SHUT_DOWN);
        assert_int_equal(putter.status, SP_SHUT_DOWN);
        assert_int_equal(joiner.status, SP_OK);
    }
}

/* ---- stress: each item exactly once, never more than maxsize ---- */

enum { MAXSIZE = 7, PRODUCERS = 3, CONSUMERS = 3 };

struct stress {
    sp_queue *queue;
    long items;          /* of each producer */
    uint64_t sum, count; /* atomic */
    uint32_t next, over; /* atomic */
    uint64_t seed;
};

static void *produce(void *arg)
{
    struct stress *stress = arg;
    uint32_t number = sp__add_relaxed(&stress->next, 1);
    uint64_t random = stress->seed + number;
    for (long i = 1; i <= stress->items; i++) {
        uint64_t item = (uint64_t)i;
        sp_status status;
        do
            status = sp_put(stress->queue, &item, test_random(&random) % 4 ? SP_FOREVER : 20e-6);
        while (status == SP_FULL);
        assert_int_equal(status, SP_OK);
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct stress *stress = arg;
    uint64_t item;
    while (sp_get(stress->queue, &item, SP_FOREVER) == SP_OK) {
        sp__add_seq_cst(&stress->sum, item);
        sp__add_seq_cst(&stress->count, 1);
        assert_int_equal(sp_queue_task_done(stress->queue), SP_OK);
    }
    return NULL;
}

static void *watch(void *arg)
{
    struct stress *stress = arg;
    while (!sp__load_acquire(&stress->over))
        assert_true(sp_queue_size(stress->queue) <= MAXSIZE);
    return NULL;
}

static void each_item_arrives_exactly_once(void **state)
{
    (void)state;
    struct stress stress = { .queue = sp_queue_of(uint64_t, .maxsize = MAXSIZE),
                             .items = test_count(10000),
                             .seed = test_seed() };
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    sp__fault_spurious(stress.seed, 100);
    pthread_t watcher = test_thread(watch, &stress);
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = test_thread(consume, &stress);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = test_thread(produce, &stress);
    for (int i = 0; i < PRODUCERS; i++)
        test_join(producers[i]);
    assert_true(sp_queue_join(stress.queue, SP_FOREVER));
    sp_queue_shutdown(stress.queue, false);
    for (int i = 0; i < CONSUMERS; i++)
        test_join(consumers[i]);
    sp__store_release(&stress.over, 1);
    test_join(watcher);
    sp__fault_spurious(0, 0);
    uint64_t n = (uint64_t)stress.items;
    assert_int_equal(stress.count, PRODUCERS * n);
    assert_int_equal(stress.sum, PRODUCERS * (n * (n + 1) / 2));
    sp_queue_release(stress.queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifo_lifo_and_stable_priority),
        cmocka_unit_test(a_queue_that_shrinks_keeps_its_items),
        cmocka_unit_test(items_of_any_size_through_a_ring_that_grows_and_wraps),
        cmocka_unit_test(put_full_and_get_empty),
        cmocka_unit_test(type_value_and_memory_errors),
        cmocka_unit_test(a_put_without_memory_fails_and_the_next_works),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(size_never_exceeds_maxsize),
        cmocka_unit_test(a_million_items_and_back),
        cmocka_unit_test(task_done_and_join),
        cmocka_unit_test(shutdown_lets_getters_have_what_is_left),
        cmocka_unit_test(immediate_shutdown_drops_what_is_left_and_settles_join),
        cmocka_unit_test(the_last_release_drops_what_is_left),
        cmocka_unit_test(shutdown_wakes_whoever_waits),
        cmocka_unit_test(each_item_arrives_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
