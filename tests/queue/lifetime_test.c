/* A queue as a mailbox: whoever concludes from a call of another thread that the queue is not needed any more releases the last
   handle while that call is still on its way back.  For the address sanitizer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

enum { CHAIN, RING_OF_1, RING_OF_4, STACK, SMALL_STACK, HEAP, KINDS };

static sp_queue *make(int kind)
{
    switch (kind) {
    case CHAIN:
        return sp_queue_of(int);
    case RING_OF_1:
        return sp_queue_of(int, .maxsize = 1);
    case RING_OF_4:
        return sp_queue_of(int, .maxsize = 4);
    case STACK:
        return sp_queue_of(int, .order = SP_LIFO);
    case SMALL_STACK:
        return sp_queue_of(int, .order = SP_LIFO, .maxsize = 1);
    default:
        return sp_queue_of(int, .order = SP_PRIORITY, .compare = by_value);
    }
}

static bool is_bounded_by_1(int kind)
{
    return kind == RING_OF_1 || kind == SMALL_STACK;
}

/* ---- what one thread does with a queue that the other then releases ---- */

static void put_one(sp_queue *queue)
{
    int item = 7;
    assert_int_equal(sp_put(queue, &item, SP_FOREVER), SP_OK);
}

static void put_two(sp_queue *queue) /* in a queue of one the second waits, for a moment or asleep */
{
    put_one(queue);
    put_one(queue);
}

static void put_many(sp_queue *queue)
{
    int items[2] = { 7, 7 };
    assert_int_equal(sp_queue_put_many(queue, items, 2, NULL, SP_FOREVER), SP_OK);
}

static void put_and_close(sp_queue *queue)
{
    put_one(queue);
    sp_queue_shutdown(queue, false);
}

static void put_and_drop(sp_queue *queue)
{
    put_one(queue);
    sp_queue_shutdown(queue, true);
}

static void get_one_that_is_there(sp_queue *queue)
{
    int item;
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_OK);
}

static void get_one_of_many(sp_queue *queue)
{
    int item;
    assert_int_equal(sp_queue_get_many(queue, &item, 1, NULL, SP_FOREVER), SP_OK);
}

static void say_that_it_is_done(sp_queue *queue)
{
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
}

/* ---- what the other does before it releases ---- */

static double patience; /* of getters: 0 they look again and again, SP_FOREVER they may sleep */

static void get(sp_queue *queue, int wanted)
{
    for (int item; wanted > 0;) {
        sp_status status = sp_get(queue, &item, patience);
        assert_true(status == SP_OK || status == SP_EMPTY);
        wanted -= status == SP_OK;
        if (status == SP_EMPTY)
            sched_yield(); /* the CPU may be wanted by the putter */
    }
}

static void get_1(sp_queue *queue)
{
    get(queue, 1);
}

static void get_2(sp_queue *queue)
{
    get(queue, 2);
}

static void get_until_it_is_closed(sp_queue *queue)
{
    sp_status status;
    int item;
    while ((status = sp_get(queue, &item, patience)) != SP_SHUT_DOWN) {
        assert_true(status == SP_OK || status == SP_EMPTY);
        sched_yield();
    }
}

static void join(sp_queue *queue)
{
    while (!sp_queue_join(queue, patience))
        sched_yield();
}

/* There is room again: the getter has taken the one item. */
static void put_another(sp_queue *queue)
{
    int item = 8;
    while (sp_put(queue, &item, patience) != SP_OK)
        sched_yield();
}

/* ---- both ---- */

static const struct {
    void (*before)(sp_queue *queue); /* by the owner, alone */
    void (*first)(sp_queue *queue);  /* by the other thread, which has no handle */
    void (*then)(sp_queue *queue);   /* by the owner, which then releases the queue */
    bool of_1_only;                  /* for queues of one item */
} scenes[] = { { NULL, put_one, get_1, false },
               { NULL, put_two, get_2, false },
               { NULL, put_many, get_2, false },
               { NULL, put_and_close, get_until_it_is_closed, false },
               { NULL, put_and_drop, get_until_it_is_closed, false },
               { put_one, say_that_it_is_done, join, false },
               { put_one, get_one_that_is_there, put_another, true },
               { put_one, get_one_of_many, put_another, true } };
enum { SCENES = sizeof scenes / sizeof *scenes };

static struct {
    sp_queue *queue; /* atomic: handed to the other thread, lent */
    uint32_t scene;  /* atomic */
    bool ends;       /* atomic */
    uint32_t done;   /* atomic: scenes that the other thread has played */
} stage;

static void *play_first(void *arg)
{
    (void)arg;
    while (!sp__load_acquire(&stage.ends)) {
        sp_queue *queue = sp__exchange_acq_rel(&stage.queue, NULL);
        if (queue == NULL) {
            sched_yield();
            continue;
        }
        scenes[sp__load_relaxed(&stage.scene)].first(queue);
        sp__add_seq_cst(&stage.done, 1);
    }
    return NULL;
}

static void play(int scene, int kind)
{
    sp_queue *queue = make(kind);
    assert_non_null(queue);
    if (scenes[scene].before != NULL)
        scenes[scene].before(queue);
    uint32_t done = sp__load_seq_cst(&stage.done);
    sp__store_relaxed(&stage.scene, (uint32_t)scene);
    sp__store_release(&stage.queue, queue);
    scenes[scene].then(queue);
    sp_queue_release(queue);
    test_await(sp__load_seq_cst(&stage.done) == done + 1);
}

static void the_last_handle_goes_while_the_other_call_returns(void **state)
{
    (void)state;
    pthread_t other = test_thread(play_first, NULL);
    for (long round = test_count(60); round > 0; round--)
        for (int scene = 0; scene < SCENES; scene++)
            for (int kind = 0; kind < KINDS; kind++) {
                if (scenes[scene].of_1_only && !is_bounded_by_1(kind))
                    continue;
                patience = round % 2 == 0 ? SP_FOREVER : 0;
                play(scene, kind);
            }
    sp__store_release(&stage.ends, true);
    test_join(other);
}

/* ---- items that own queues ---- */

static int dropped;

static void drop_queue(void *item)
{
    dropped++;
    sp_queue_release(*(sp_queue **)item);
}

static void *release_chain(void *arg)
{
    enum { N = 50000 };
    sp_queue *last = NULL;
    (void)arg;
    for (int i = 0; i < N; i++) {
        sp_queue *queue = i % 2 == 0 ? sp_queue_of(sp_queue *, .maxsize = 1, .drop = drop_queue)
                                     : sp_queue_of(sp_queue *, .order = SP_LIFO, .drop = drop_queue);
        assert_int_equal(sp_put(queue, &last, SP_NOWAIT), SP_OK);
        last = queue;
    }
    sp_queue_release(last);
    assert_int_equal(dropped, N);
    return NULL;
}

/* Small, so that a chain which uses stack for each link does not pass by luck. */
static void a_chain_of_queues_needs_no_stack(void **state)
{
    (void)state;
    test_run_on_stack(256 * 1024, release_chain, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_handle_goes_while_the_other_call_returns),
        cmocka_unit_test(a_chain_of_queues_needs_no_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
