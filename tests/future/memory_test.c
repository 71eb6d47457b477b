/* Memory of futures that threads keep for reuse: it comes back when they end, whatever else they called.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "future/future.h"
#include "os/fault.h"
#include "os/os.h"

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static sp_future *ended_future(void)
{
    sp_future *future = sp_future_new(&pass_sp_task, &(int){ 1 });
    return sp_future_set_result(future, &(int){ 2 }, sizeof(int)) == SP_OK ? future : NULL;
}

static void *make_and_release(void *arg)
{
    (void)arg;
    sp_future_release(ended_future());
    return NULL;
}

static void *release(void *future)
{
    sp_future_release(future);
    return NULL;
}

/* Zero under a sanitizer, and with a C library that does not tell. */
static size_t bytes_in_use(void)
{
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

enum { THREADS = 2000, MOST_BYTES = 512 * 1024 }; /* a few blocks for each thread would be more */

static void threads_that_make_futures_give_their_memory_back(void **state)
{
    (void)state;
    test_join(test_thread(make_and_release, NULL));
    size_t before = bytes_in_use();
    for (int i = 0; i < THREADS; i++)
        test_join(test_thread(make_and_release, NULL));
    assert_true(bytes_in_use() < before + MOST_BYTES);
}

static void threads_that_release_futures_give_their_memory_back(void **state)
{
    (void)state;
    size_t before = bytes_in_use();
    for (int i = 0; i < 3 * THREADS; i++)
        test_join(test_thread(release, ended_future()));
    assert_true(bytes_in_use() < before + MOST_BYTES);
}

/* One makes, the other releases: blocks go round by way of the depot. */
static sp_queue *passed;

static void *release_all_passed(void *arg)
{
    sp_future *future;
    (void)arg;
    while (sp_get(passed, &future, SP_FOREVER) == SP_OK)
        sp_future_release(future);
    return NULL;
}

static void memory_released_by_another_thread_goes_round(void **state)
{
    (void)state;
    passed = sp_queue_of(sp_future *, .maxsize = 100);
    pthread_t taker = test_thread(release_all_passed, NULL);
    size_t before = bytes_in_use();
    for (long i = test_count(100000); i > 0; i--) {
        sp_future *future = ended_future();
        assert_int_equal(sp_put(passed, &future, SP_FOREVER), SP_OK);
    }
    assert_true(bytes_in_use() < before + MOST_BYTES);
    sp_queue_shutdown(passed, false);
    test_join(taker);
    sp_queue_release(passed);
}

/* Made by a constructor of the program, which may run before those of the library. */
static sp_future *early;

__attribute__((constructor)) static void make_early(void)
{
    early = ended_future();
}

static void a_future_may_be_older_than_main(void **state)
{
    (void)state;
    int value = 0;
    assert_int_equal(sp_result(early, &value, SP_NOWAIT), SP_OK);
    assert_int_equal(value, 2);
    for (int i = 0; i < 1000; i++) /* so that it is among many when it is given back */
        sp_future_release(ended_future());
    sp_future_release(early);
    for (int i = 0; i < 1000; i++)
        sp_future_release(ended_future());
}

/* ---- of many futures a few are kept: the memory of the others goes, though it lies between ---- */

enum { BURST = 200000, CHUNK = 2 * 1024 * 1024 }; /* as in block.c */

static sp_future *future_of(int value)
{
    sp_future *future = sp_future_new(&pass_sp_task, &value);
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_OK);
    return future;
}

static sp_future **burst_of(int count)
{
    sp_future **futures = calloc((size_t)count, sizeof *futures);
    assert_non_null(futures);
    for (int i = 0; i < count; i++)
        futures[i] = future_of(i);
    return futures;
}

static void shuffle(sp_future **futures, int count, uint64_t *seed)
{
    for (int i = count - 1; i > 0; i--) {
        int other = (int)(test_random(seed) % (unsigned)(i + 1));
        sp_future *one = futures[i];
        futures[i] = futures[other];
        futures[other] = one;
    }
}

/* Keep each so-manieth one, and move them to the front.  Returns how many. */
static int release_but_each(int step, sp_future **futures, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (i % step == 0)
            futures[kept++] = futures[i];
        else
            sp_future_release(futures[i]);
    return kept;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;
    return (left > right) - (left < right);
}

/* Bytes that are real, of the chunks in which these futures lie; sorts them. */
static size_t real_bytes_around(sp_future **futures, int count)
{
    static unsigned char real[CHUNK / 4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 0;
    uintptr_t last = 0;
    qsort(futures, (size_t)count, sizeof *futures, by_address);
    for (int i = 0; i < count; i++) {
        uintptr_t chunk = (uintptr_t)futures[i] & ~(uintptr_t)(CHUNK - 1);
        if (chunk == last)
            continue;
        assert_int_equal(mincore((void *)chunk, CHUNK, real), 0);
        for (size_t k = 0; k < CHUNK / page; k++)
            pages += real[k] & 1;
        last = chunk;
    }
    return pages * page;
}

/* Each kept future costs a page; a chunk is not swept yet, and a few pages of each may be idle. */
static void few_that_are_kept_hold_little(bool in_order)
{
    if (!sp__os_recycles()) {
        print_message("memory is not recycled here\n");
        skip();
    }
    uint64_t seed = test_seed();
    for (int round = 0; round < 3; round++) {
        sp_future **futures = burst_of(BURST);
        assert_true(real_bytes_around(futures, BURST) >= (size_t)BURST * 64);
        if (!in_order)
            shuffle(futures, BURST, &seed);
        int kept = release_but_each(1000, futures, BURST);
        assert_true(real_bytes_around(futures, kept) < (size_t)BURST * 64 / 3);
        sp_release_all(futures, (size_t)kept);
        free(futures);
    }
}

static void few_kept_of_many_hold_little_when_released_in_order(void **state)
{
    (void)state;
    few_that_are_kept_hold_little(true);
}

static void few_kept_of_many_hold_little_when_released_in_any_order(void **state)
{
    (void)state;
    few_that_are_kept_hold_little(false);
}

static int sum_of(sp_future **futures, int count)
{
    int sum = 0, value;
    for (int i = 0; i < count; i++) {
        assert_int_equal(sp_result(futures[i], &value, SP_NOWAIT), SP_OK);
        sum += value / 100;
    }
    return sum;
}

static void *keep_few_of_many(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    enum { COUNT = 60000, KEPT = COUNT / 100 };
    for (long i = test_count(5); i > 0; i--) {
        sp_future **futures = burst_of(COUNT);
        int kept = release_but_each(100, futures, COUNT);
        assert_int_equal(kept, KEPT);
        assert_int_equal(sum_of(futures, kept), KEPT * (KEPT - 1) / 2);
        shuffle(futures, kept, &seed);
        sp_release_all(futures, (size_t)kept);
        free(futures);
    }
    return NULL;
}

static void kept_ones_stay_whole_while_what_lies_around_them_goes_and_comes(void **state)
{
    (void)state;
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        threads[i] = test_thread(keep_few_of_many, (void *)i);
    for (int i = 0; i < 3; i++)
        test_join(threads[i]);
}

static void memory_that_the_system_does_not_take_back_is_used_again(void **state)
{
    (void)state;
    sp_future **futures = burst_of(BURST);
    sp__fault_arm(1, true);
    int kept = release_but_each(1000, futures, BURST);
    uint64_t refused = sp__fault_disarm();
    assert_true(refused > 0 || !sp__os_recycles());
    sp_release_all(futures, (size_t)kept);
    free(futures);
    keep_few_of_many(NULL);
}

/* ---- how many blocks of the allocator there are: chunks, where memory is recycled ---- */

enum { FEWER = 60000, SLACK = 2000 }; /* some chunks full; blocks that threads keep, ends of pages */

static void release_burst(sp_future **futures, int count)
{
    sp_release_all(futures, (size_t)count);
    free(futures);
}

static void chunks_that_nobody_needs_are_freed(void **state)
{
    (void)state;
    release_burst(burst_of(BURST), BURST);
    uint64_t before = sp__fault_blocks();
    for (int round = 0; round < 3; round++) {
        sp_future **futures = burst_of(BURST);
        assert_true(sp__fault_blocks() > before);
        release_burst(futures, BURST);
        assert_in_range(sp__fault_blocks(), 0, before);
    }
}

/* Of many each `step`th is kept; as many as were released find room where these were. */
static void room_is_used_again(int step)
{
    sp_future **futures = burst_of(FEWER);
    uint64_t full = sp__fault_blocks();
    int kept = release_but_each(step, futures, FEWER), more = FEWER - kept - SLACK;
    sp_future **others = burst_of(more);
    assert_in_range(sp__fault_blocks(), 0, full);
    release_burst(others, more);
    release_burst(futures, kept);
}

static void room_that_became_free_is_used_again(void **state)
{
    (void)state;
    room_is_used_again(2);    /* in chunks that were used up */
    room_is_used_again(1000); /* in pages that were given up */
}

/* ---- the end of a thread ---- */

static pthread_key_t end_key;
static bool may_keep; /* when it was told of its end already */

static void look_at_the_end(void *value)
{
    (void)value;
    for (size_t class = 0; class < SP__BLOCK_CLASSES; class ++)
        may_keep = may_keep || sp__kept[class].first != NULL || sp__kept[class].room > 0;
}

static void *keep_one_and_look(void *key)
{
    (void)make_and_release(NULL);
    assert_int_equal(pthread_setspecific(*(pthread_key_t *)key, key), 0);
    return NULL;
}

/* Else what a destructor releases would be kept, and nobody would come to give it back. */
static void a_thread_that_was_told_of_its_end_may_keep_nothing_unnoticed(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&end_key, look_at_the_end), 0);
    test_join(test_thread(keep_one_and_look, &end_key));
    assert_false(may_keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_may_be_older_than_main),
        cmocka_unit_test(chunks_that_nobody_needs_are_freed), /* before blocks that a thread keeps lie in many */
        cmocka_unit_test(threads_that_make_futures_give_their_memory_back),
        cmocka_unit_test(threads_that_release_futures_give_their_memory_back),
        cmocka_unit_test(memory_released_by_another_thread_goes_round),
        cmocka_unit_test(few_kept_of_many_hold_little_when_released_in_order),
        cmocka_unit_test(few_kept_of_many_hold_little_when_released_in_any_order),
        cmocka_unit_test(kept_ones_stay_whole_while_what_lies_around_them_goes_and_comes),
        cmocka_unit_test(room_that_became_free_is_used_again),
        cmocka_unit_test(a_thread_that_was_told_of_its_end_may_keep_nothing_unnoticed),
        cmocka_unit_test(memory_that_the_system_does_not_take_back_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
