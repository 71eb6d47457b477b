/* Tasks of a map that fork.  Their inputs lie where the caller has them, on a stack that is gone in the child.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stress/forked.h"

#include <fcntl.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"

enum { CHILD_LIMIT = 60, INPUTS = 4, THREADS = 6, WORDS = 200 };

static uint32_t dropped; /* atomic: inputs, in this process */
static pid_t parent, children[INPUTS];

struct order {
    size_t index;
    uint64_t words[WORDS]; /* more than fits on a worker's stack */
};

static void drop_order(void *order)
{
    stress_expect(((struct order *)order)->words[WORDS - 1] == ((struct order *)order)->index);
    sp__add_seq_cst(&dropped, 1);
}

static sp_status use_stack(const sp_none *in, sp_none *out)
{
    uint64_t words[4096];
    (void)in, (void)out;
    memset(words, 0xa5, sizeof words);
    return words[stress_wrong_line & 1] != 0 ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(use_stack, sp_none, sp_none);

/* In the child: threads get the stacks of those that are gone. */
static void use_up_old_stacks(void)
{
    sp_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = sp_start(use_stack);
    for (int i = 0; i < THREADS; i++) {
        stress_expect(sp_join(threads[i], NULL, SP_FOREVER) == SP_OK);
        sp_thread_release(threads[i]);
    }
}

static sp_status fork_in_map(const struct order *order, size_t *out)
{
    stress_expect(getpid() == parent); /* the child begins no other input */
    pid_t child = fork();
    if (child != 0) {
        children[order->index] = child;
        *out = order->index;
        return SP_OK;
    }
    use_up_old_stacks();
    for (int i = 0; i < WORDS; i++)
        stress_expect(order->words[i] == order->index);
    if (stress_wrong == NULL)
        stress_expect(write(well[1], "", 1) == 1);
    return SP_OK; /* the worker ends, and with it the process */
}
SP_TASK_OWNING(fork_in_map, struct order, size_t, drop_order, NULL);

static struct order make_order(size_t index)
{
    struct order order = { .index = index };
    for (int i = 0; i < WORDS; i++)
        order.words[i] = index;
    return order;
}

/* The caller of the map, whose stack is gone in the children. */
static void *map_orders(void *pool)
{
    struct order orders[INPUTS];
    size_t outputs[INPUTS];
    for (size_t i = 0; i < INPUTS; i++)
        orders[i] = make_order(i);
    stress_expect(sp_map(pool, fork_in_map, orders, outputs, INPUTS, .chunksize = 2) == SP_OK);
    for (size_t i = 0; i < INPUTS; i++)
        stress_expect(outputs[i] == i);
    return NULL;
}

static void a_task_of_a_map_has_its_input_in_the_child_and_no_other_runs(void **state)
{
    (void)state;
    if (THREAD_SANITIZER)
        return;
    fflush(stdout);
    parent = getpid();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    test_join(test_thread(map_orders, pool));
    for (int i = 0; i < INPUTS; i++)
        assert_true(child_is_well(children[i], CHILD_LIMIT));
    assert_int_equal(sp__load_seq_cst(&dropped), INPUTS);
    stress_assert_nothing_wrong();
}

static int prepare(void **state)
{
    (void)state;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    return pthread_sigmask(SIG_BLOCK, &one, NULL) | pipe2(well, O_CLOEXEC | O_NONBLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_of_a_map_has_its_input_in_the_child_and_no_other_runs),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
