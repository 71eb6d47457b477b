/* An item is dropped exactly once if nobody gets it, and never if it was refused; and all memory comes back.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "os/fault.h"

static const char *program;

enum { ITEMS = 400, BOUND = 4 };
static uint32_t dropped[ITEMS]; /* atomic; how often each was */

static void drop(void *item)
{
    sp__add_seq_cst(&dropped[*(const int *)item], 1);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Each from `begin` to `end` was dropped once, and no other. */
static void were_dropped(int begin, int end)
{
    for (int i = 0; i < ITEMS; i++)
        if (sp__load_seq_cst(&dropped[i]) != (i >= begin && i < end ? 1u : 0u))
            fail_msg("item %d was dropped %u times", i, sp__load_seq_cst(&dropped[i]));
}

/* Every kind: with a bound and without, in each order. */
static const sp_queue_options kinds[] = {
    { .maxsize = BOUND }, { .maxsize = 0 },         { .maxsize = BOUND, .order = SP_LIFO },     { .maxsize = 1 },
    { .order = SP_LIFO }, { .order = SP_PRIORITY }, { .maxsize = BOUND, .order = SP_PRIORITY },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static sp_queue *make(int kind)
{
    sp_queue_options options = kinds[kind];
    options.struct_size = sizeof options;
    options.drop = drop;
    options.compare = options.order == SP_PRIORITY ? by_value : NULL;
    memset(dropped, 0, sizeof dropped);
    sp_queue *queue = sp_queue_new(sizeof(int), &options);
    assert_non_null(queue);
    return queue;
}

/* As many as there is room for, counted up from 0. */
static int fill(sp_queue *queue)
{
    int room = sp_queue_maxsize(queue) != 0 ? (int)sp_queue_maxsize(queue) : ITEMS / 2;
    for (int i = 0; i < room; i++)
        assert_int_equal(sp_put(queue, &i, SP_NOWAIT), SP_OK);
    return room;
}

static void what_is_refused_is_not_dropped(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sp_queue *queue = make(kind);
        int n = fill(queue), others[2] = { n, n + 1 };
        size_t done = 7;
        if (sp_queue_maxsize(queue) != 0) {
            assert_int_equal(sp_put(queue, &n, SP_NOWAIT), SP_FULL);
            assert_int_equal(sp_put(queue, &n, 0.0005), SP_FULL);
            assert_int_equal(sp_queue_put_many(queue, others, 2, &done, 0.0005), SP_FULL);
            assert_int_equal(done, 0);
        }
        assert_int_equal(sp_queue_put(queue, &n, 1, SP_FOREVER), SP_TYPE_ERROR);
        assert_int_equal(sp_put(queue, &n, strtod("nan", NULL)), SP_VALUE_ERROR);
        sp_queue_shutdown(queue, false);
        assert_int_equal(sp_put(queue, &n, SP_FOREVER), SP_SHUT_DOWN);
        assert_int_equal(sp_queue_put_many(queue, others, 2, &done, SP_FOREVER), SP_SHUT_DOWN);
        were_dropped(0, 0);
        sp_queue_release(queue);
        were_dropped(0, n);
    }
}

/* One that there is no memory for is the caller's; those before it are the queue's. */
static void what_there_is_no_memory_for_is_not_dropped(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        sp_queue *queue = make(kind);
        int taken = 0;
        sp__fault_arm(1, true);
        while (taken < ITEMS && sp_put(queue, &taken, SP_NOWAIT) == SP_OK)
            taken++;
        bool refused = sp__fault_disarm() > 0;
        assert_true(refused || sp_queue_maxsize(queue) != 0);
        were_dropped(0, 0);
        sp_queue_release(queue);
        were_dropped(0, taken);
    }
}

static void what_somebody_gets_is_not_dropped(void **state)
{
    (void)state;
    for (int way = 0; way < 2 * KINDS; way++) {
        sp_queue *queue = make(way / 2);
        int n = fill(queue), item;
        bool last_first = kinds[way / 2].order == SP_LIFO;
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
        assert_int_equal(item, last_first ? n - 1 : 0);
        if (way % 2 == 0) {
            sp_queue_shutdown(queue, true);
            sp_queue_shutdown(queue, true);
            were_dropped(last_first ? 0 : 1, last_first ? n - 1 : n);
        }
        sp_queue_release(queue);
        were_dropped(last_first ? 0 : 1, last_first ? n - 1 : n);
    }
}

static void all_memory_comes_back(void **state)
{
    (void)state;
    sp_queue_release(make(0));
    uint64_t before = sp__fault_blocks();
    for (int kind = 0; kind < KINDS; kind++)
        for (int way = 0; way < 3; way++) {
            sp_queue *queue = make(kind);
            int n = fill(queue), item;
            for (int i = 0; i < (way == 0 ? n : n / 2); i++)
                assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
            if (way == 1)
                sp_queue_shutdown(queue, true);
            sp_queue_release(queue);
            assert_int_equal(sp__fault_blocks(), before);
        }
}

/* ---- in the child of a fork ---- */

static sp_queue *inherited[KINDS];

static void release_in_child(void)
{
    int item = 1;
    for (int kind = 0; kind < KINDS; kind++) {
        must(sp_put(inherited[kind], &item, SP_FOREVER) == SP_SHUT_DOWN);
        sp_queue_shutdown(inherited[kind], true);
        sp_queue_release(inherited[kind]);
    }
    for (int i = 0; i < ITEMS; i++)
        must(dropped[i] == 0);
}

static void in_child(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        (void)fill(inherited[kind] = make(kind));
    forked_to_exit(release_in_child);
    for (int kind = 0; kind < KINDS; kind++)
        sp_queue_release(inherited[kind]);
    must(dropped[0] == KINDS && dropped[BOUND - 1] == KINDS - 1);
}

static const struct child_case cases[] = { { "in child", in_child } };

static void items_of_the_parent_are_not_dropped_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "in child");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_is_not_dropped),
        cmocka_unit_test(what_there_is_no_memory_for_is_not_dropped),
        cmocka_unit_test(what_somebody_gets_is_not_dropped),
        cmocka_unit_test(all_memory_comes_back),
        cmocka_unit_test(items_of_the_parent_are_not_dropped_in_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
