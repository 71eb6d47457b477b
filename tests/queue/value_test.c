/* Sizes, counts and orders of queues that are easily a little wrong.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "queue/queue.h"

/* ---- a queue that always holds one ---- */

static uint32_t stops; /* atomic */

static void *put_one_take_one(void *context)
{
    sp_queue *queue = context;
    int item = 1;
    while (!sp__load_acquire(&stops)) {
        assert_int_equal(sp_put(queue, &item, SP_FOREVER), SP_OK);
        assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_OK);
    }
    return NULL;
}

/* Between a put and a get of the others it holds one more, never less. */
static void a_queue_that_always_holds_one_is_never_empty(void **state)
{
    (void)state;
    static const size_t bounds[] = { 0, 2, 64 };
    int item = 1;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        for (sp_queue_order order = SP_FIFO; order <= SP_LIFO; order++) {
            sp_queue *queue = sp_queue_of(int, .maxsize = bounds[i], .order = order);
            assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
            sp__store_release(&stops, 0);
            pthread_t thread = test_thread(put_one_take_one, queue);
            for (long n = test_count(20000); n > 0; n--) {
                assert_in_range(sp_queue_size(queue), 1, 2);
                assert_false(sp_queue_empty(queue));
            }
            sp__store_release(&stops, 1);
            test_join(thread);
            assert_int_equal(sp_queue_size(queue), 1);
            sp_queue_release(queue);
        }
    }
}

/* ---- limits that wake-ups do not put off ---- */

static uint32_t is_over; /* atomic */

static void *wait_for_what_never_comes(void *queue)
{
    int item;
    assert_int_equal(sp_get(queue, &item, 0.2), SP_EMPTY);
    sp__store_release(&is_over, 1);
    return NULL;
}

/* As a put whose item another gets. */
static void wake_a_getter_for_nothing(sp_queue *queue)
{
    struct sp__last_look last = { .wakes = false };
    sp__sleepers_unlink(&queue->getters, &last);
    sp__wake_looked_at(&last);
}

static void wake_ups_for_nothing_do_not_make_a_limit_longer(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    pthread_t thread = test_thread(wait_for_what_never_comes, queue);
    test_await((wake_a_getter_for_nothing(queue), sp__load_acquire(&is_over)));
    test_join(thread);
    assert_int_equal(queue->getters.word, 0);
}

/* ---- task_done before its item was taken ---- */

/* Then fewer are left for an immediate shutdown to count. */
static void what_was_done_early_is_counted_once(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    for (int item = 0; item < 3; item++)
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_false(sp_queue_join(queue, SP_NOWAIT));
    sp_queue_shutdown(queue, true);
    assert_true(sp_queue_join(queue, SP_NOWAIT));
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
}

/* ---- a shutdown, whatever the order ---- */

static int by_value(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static sp_queue *closing;
static int calls; /* of the drop */

static void call_own_queue(void *item)
{
    calls++;
    assert_int_equal(sp_put(closing, (int *)item, SP_NOWAIT), SP_SHUT_DOWN);
    assert_true(sp_queue_size(closing) <= 3);
}

static void put_three(sp_queue *queue)
{
    for (int item = 0; item < 3; item++)
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    assert_false(sp_queue_full(queue) && sp_queue_maxsize(queue) == 0);
}

static void each_kind_of_queue_is_shut_down_the_same_way(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        sp_queue_options options = { .struct_size = sizeof options,
                                     .order = (sp_queue_order)(kind / 2),
                                     .maxsize = kind % 2 ? 8 : 0,
                                     .compare = by_value,
                                     .drop = call_own_queue };
        int item;
        closing = sp_queue_new(sizeof(int), &options);
        put_three(closing);
        sp_queue_shutdown(closing, false);
        assert_int_equal(sp_put(closing, &item, SP_NOWAIT), SP_SHUT_DOWN);
        for (int i = 0; i < 3; i++)
            assert_int_equal(sp_get(closing, &item, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_get(closing, &item, SP_NOWAIT), SP_SHUT_DOWN);
        sp_queue_release(closing);
        closing = sp_queue_new(sizeof(int), &options);
        put_three(closing);
        calls = 0;
        sp_queue_shutdown(closing, true);
        assert_int_equal(calls, 3);
        assert_int_equal(sp_queue_size(closing), 0);
        assert_int_equal(sp_get(closing, &item, SP_NOWAIT), SP_SHUT_DOWN);
        sp_queue_release(closing);
    }
}

/* ---- what is dropped at the end ---- */

enum { ITEMS = 100 };
static int dropped[ITEMS];
static size_t drops;

static void note_drop(void *item)
{
    dropped[drops++] = *(int *)item;
}

static int compare(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void drops_come_in_the_order_of_the_queue(void **state)
{
    (void)state;
    for (int by_shutdown = 0; by_shutdown < 2; by_shutdown++) {
        for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
            sp_queue *queue = sp_queue_of(int, .order = order, .drop = note_drop,
                                          .compare = order == SP_PRIORITY ? compare : NULL);
            drops = 0;
            for (int i = 0; i < ITEMS; i++) {
                int item = order == SP_PRIORITY ? i * 37 % ITEMS : i; /* 37 and 100 have no common divisor */
                assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
            }
            if (by_shutdown)
                sp_queue_shutdown(queue, true);
            sp_queue_release(queue);
            assert_int_equal(drops, ITEMS);
            for (int i = 0; i < ITEMS; i++)
                assert_int_equal(dropped[i], order == SP_LIFO ? ITEMS - 1 - i : i);
        }
    }
}

/* ---- sizes ---- */

/* The sanitizers' allocators end the program otherwise where malloc() returns NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static const size_t bounds_of_all_sizes[] = { 0, 1, 2, 1000, SIZE_MAX / 2, SIZE_MAX };
enum { BOUNDS = sizeof bounds_of_all_sizes / sizeof *bounds_of_all_sizes };

static sp_queue *queue_of_size(size_t item_size, size_t maxsize, sp_queue_order order)
{
    const sp_queue_options options = { .struct_size = sizeof options,
                                       .maxsize = maxsize,
                                       .order = order,
                                       .compare = order == SP_PRIORITY ? compare : NULL };
    errno = 0;
    return sp_queue_new(item_size, &options);
}

static void items_of_more_than_any_memory_are_refused(void **state)
{
    (void)state;
    for (size_t less = 0; less < 40; less++) {
        for (size_t i = 0; i < BOUNDS; i++) {
            for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
                assert_null(queue_of_size(SIZE_MAX - less, bounds_of_all_sizes[i], order));
                assert_int_equal(errno, EINVAL);
            }
        }
    }
}

/* No sum or product of sizes may overflow: it is no memory, and not a small queue for large items. */
static void items_of_enormous_sizes_find_no_memory(void **state)
{
    (void)state;
    for (size_t less = 0; less < 40; less++) {
        for (size_t i = 0; i < BOUNDS; i++) {
            for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
                size_t size = SIZE_MAX / 1024 - less;
                sp_queue *queue = queue_of_size(size, bounds_of_all_sizes[i], order);
                if (queue == NULL)
                    assert_int_equal(errno, ENOMEM);
                else /* it asks for memory with its first item: that is refused before the item is read */
                    assert_int_equal(sp_queue_put(queue, &size, size, SP_NOWAIT), SP_MEMORY_ERROR);
                sp_queue_release(queue);
            }
        }
    }
}

/* ---- memory of a queue without a bound ---- */

/* So many at a time that blocks are given up, round by round. */
static void fill_and_drain(sp_queue *queue)
{
    enum { BLOCKS = 10 };
    int item = 0;
    for (int i = 0; i < BLOCKS * (int)SP__BLOCK_SLOTS; i++)
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    for (int i = 0; i < BLOCKS * (int)SP__BLOCK_SLOTS; i++)
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
}

static void a_queue_without_a_bound_gives_up_what_it_needs_no_more_each_time(void **state)
{
    enum { ROUNDS = 20 };
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    fill_and_drain(queue);
    uint64_t before = sp__fault_blocks();
    for (int i = 0; i < ROUNDS; i++)
        fill_and_drain(queue);
    assert_in_range(sp__fault_blocks(), 0, before + 2);
}

/* ---- items of any size in a queue with priorities ---- */

enum { LARGEST = 1000, ITEMS_OF_A_SIZE = 20 };

static int by_first_byte(const void *a, const void *b)
{
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* Its first byte is its rank, and each of the others says whose it is. */
static void make_item(unsigned char *item, size_t size, int rank)
{
    for (size_t i = 0; i < size; i++)
        item[i] = (unsigned char)((size_t)rank + i * 31);
}

static void put_and_get_items_of(size_t size)
{
    unsigned char item[LARGEST], expected[LARGEST];
    sp_auto(sp_queue) queue = sp_queue_new(
        size,
        &(sp_queue_options){ .struct_size = sizeof(sp_queue_options), .order = SP_PRIORITY, .compare = by_first_byte });
    for (int i = 0; i < ITEMS_OF_A_SIZE; i++) {
        make_item(item, size, i * 7 % ITEMS_OF_A_SIZE); /* without a common divisor: each rank once */
        assert_int_equal(sp_queue_put(queue, item, size, SP_NOWAIT), SP_OK);
    }
    for (int rank = 0; rank < ITEMS_OF_A_SIZE; rank++) {
        assert_int_equal(sp_queue_get(queue, item, size, SP_NOWAIT), SP_OK);
        make_item(expected, size, rank);
        assert_memory_equal(item, expected, size);
    }
}

/* Behind each lies its number, and large ones are moved part by part. */
static void items_of_any_size_come_whole_from_a_queue_with_priorities(void **state)
{
    static const size_t large[] = { 255, 256, 257, 511, 513, LARGEST };
    (void)state;
    for (size_t size = 1; size <= 80; size++)
        put_and_get_items_of(size);
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        put_and_get_items_of(large[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_that_always_holds_one_is_never_empty),
        cmocka_unit_test(wake_ups_for_nothing_do_not_make_a_limit_longer),
        cmocka_unit_test(what_was_done_early_is_counted_once),
        cmocka_unit_test(each_kind_of_queue_is_shut_down_the_same_way),
        cmocka_unit_test(drops_come_in_the_order_of_the_queue),
        cmocka_unit_test(items_of_more_than_any_memory_are_refused),
        cmocka_unit_test(items_of_enormous_sizes_find_no_memory),
        cmocka_unit_test(a_queue_without_a_bound_gives_up_what_it_needs_no_more_each_time),
        cmocka_unit_test(items_of_any_size_come_whole_from_a_queue_with_priorities),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
