/* A chunk of futures whose idle pages are just being given up: its other pages are used meanwhile, these are not, and it may
   become empty.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "os/fault.h"
#include "os/os.h"

enum { CHUNK = 2 * 1024 * 1024, PAGE_BYTES = 4096, N = 30000, KEPT_PAGES = 100, CACHED = 64 }; /* as in block.c */

/* Of a size that nothing else here has: more than two chunks are needed for N. */
struct wide {
    char bytes[90];
};

static sp_status pass(const struct wide *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(pass, struct wide, sp_none);

static sp_future *futures[N]; /* NULL: released */

static uintptr_t chunk_of(const sp_future *future)
{
    return (uintptr_t)future / CHUNK;
}

static unsigned page_of(const sp_future *future)
{
    return (uintptr_t)future % CHUNK / PAGE_BYTES;
}

static void *make_all(void *arg)
{
    static const struct wide zero;
    for (int i = 0; i < N; i++)
        futures[i] = sp_future_new(&pass_sp_task, &zero);
    return arg;
}

/* Another thread does it, so that it keeps nothing in the end. */
static void *make_and_release_many(void *arg)
{
    enum { MANY = 3 * N };
    static const struct wide zero;
    static sp_future *many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = sp_future_new(&pass_sp_task, &zero);
    sp_release_all(many, MANY);
    return arg;
}

static void release(int i)
{
    sp_future_release(futures[i]);
    futures[i] = NULL;
}

static uintptr_t first_chunk, second_chunk;

static void find_chunks(void)
{
    first_chunk = chunk_of(futures[0]);
    for (int i = 0; i < N && second_chunk == 0; i++)
        if (chunk_of(futures[i]) != first_chunk)
            second_chunk = chunk_of(futures[i]);
}

static void release_pages_of(uintptr_t chunk)
{
    for (int i = 0; i < N; i++)
        if (futures[i] != NULL && chunk_of(futures[i]) == chunk && page_of(futures[i]) >= KEPT_PAGES)
            release(i);
}

/* First some of a third chunk: they stay with the thread.  When the second chunk gets so far the first one is swept. */
static void release_pages(void *context)
{
    (void)context;
    for (int i = N - CACHED; i < N; i++)
        release(i);
    release_pages_of(first_chunk);
    release_pages_of(second_chunk);
}

static void *release_all_but_second(void *arg)
{
    for (int i = 0; i < N; i++)
        if (futures[i] != NULL && chunk_of(futures[i]) != second_chunk)
            release(i);
    return arg;
}

static void *release_rest(void *arg)
{
    for (int i = 0; i < N; i++)
        if (futures[i] != NULL)
            release(i);
    return arg;
}

static void a_chunk_may_be_used_and_become_empty_while_it_is_swept(void **state)
{
    (void)state;
    if (!sp__os_recycles()) {
        print_message("memory is not recycled here\n");
        skip();
    }
    one sweeper;
    uint64_t before = sp__fault_blocks();
    test_join(test_thread(make_all, NULL));
    find_chunks();
    assert_true(chunk_of(futures[N - CACHED]) != first_chunk && chunk_of(futures[N - CACHED]) != second_chunk);
    struct pause *swept = pause_at("block: given up");
    one_start(&sweeper, release_pages, NULL);
    pause_await(swept);
    test_join(test_thread(make_and_release_many, NULL)); /* all pages of the first chunk are full, or being given up */
    test_join(test_thread(release_all_but_second, NULL));
    pause_end(swept);
    one_end(&sweeper);
    test_join(test_thread(release_rest, NULL));
    assert_int_equal(sp__fault_blocks(), before + 1); /* one is kept */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_may_be_used_and_become_empty_while_it_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
