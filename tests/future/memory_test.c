/* Memory of futures that threads keep for reuse: it comes back when they end, whatever else they called.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <malloc.h>

#include <spool.h>

#include "base/atomic.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_may_be_older_than_main),
        cmocka_unit_test(threads_that_make_futures_give_their_memory_back),
        cmocka_unit_test(threads_that_release_futures_give_their_memory_back),
        cmocka_unit_test(memory_released_by_another_thread_goes_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
