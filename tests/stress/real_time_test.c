/* Threads of different priorities of SCHED_FIFO on one CPU: while one of them runs, those below it do not.  Who waits for such a
   one must sleep, for a yield gives the CPU to nobody below.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <sched.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"

enum { PLAYERS = 3, LIMIT = 30 }; /* seconds */

static sp_lock lock;
static sp_rlock rlock;
static sp_condition changed;
static sp_barrier all_here = SP_BARRIER(PLAYERS);
static sp_semaphore permit = SP_SEMAPHORE(1);
static sp_once once;
static sp_queue *ring, *chain, *pile;
static sp_executor *pool;
static long turns; /* guarded by lock */

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static void say_nothing(const char *report, void *context)
{
    (void)report, (void)context;
}

static void do_nothing(void *context)
{
    (void)context;
}

/* On the first CPU that we may use. */
static bool begin(int priority)
{
    cpu_set_t cpus;
    size_t first = 0;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    while (!CPU_ISSET(first, &cpus))
        first++;
    CPU_ZERO(&cpus);
    CPU_SET(first, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) != 0)
        return false;
    struct sched_param parameters = { .sched_priority = priority };
    return pthread_setschedparam(pthread_self(), priority > 0 ? SCHED_FIFO : SCHED_OTHER, &parameters) == 0;
}

static void work(void)
{
    for (int i = 0; i < 5000; i++)
        sp__cpu_relax();
}

static sp_status use_locks(void)
{
    sp_lock_acquire(&lock);
    work(); /* the others run into it */
    turns++;
    sp_condition_notify_all(&changed);
    (void)sp_condition_wait(&changed, &lock, 0.001);
    sp_lock_release(&lock);
    sp_rlock_acquire(&rlock);
    work();
    sp_rlock_release(&rlock);
    if (!sp_semaphore_acquire_timeout(&permit, LIMIT))
        return SP_TIMEOUT;
    work();
    return sp_semaphore_release(&permit, 1);
}

static sp_status use_queue(sp_queue *queue, int value)
{
    sp_status status = sp_put(queue, &value, LIMIT);
    return status == SP_OK ? sp_get(queue, &value, LIMIT) : status;
}

static sp_status use_pool(int value)
{
    int result = -1;
    sp_auto(sp_future) future = sp_submit(pool, pass, value);
    sp_status status = sp_result(future, &result, LIMIT);
    return status != SP_OK || result == value ? status : SP_VALUE_ERROR;
}

/* Setting a hook, and having it called, exclude each other for a moment. */
static sp_status play_round(int i)
{
    sp_status status = use_locks();
    sp_set_starvation_hook(say_nothing, NULL);
    sp_once_call(&once, do_nothing, NULL);
    sp_queue *const queues[] = { ring, chain, pile };
    for (int k = 0; k < 3 && status == SP_OK; k++)
        status = use_queue(queues[k], i);
    if (status == SP_OK)
        status = use_pool(i);
    return status == SP_OK && i % 10 == 0 ? sp_barrier_wait(&all_here, NULL, LIMIT) : status;
}

struct player {
    int priority;
    long rounds;
    bool refused;
    sp_status status;
};

static void *play(void *arg)
{
    struct player *player = arg;
    player->refused = !begin(player->priority);
    for (int i = 0; i < player->rounds && player->status == SP_OK; i++)
        player->status = play_round(i);
    return NULL;
}

static bool may_be_real_time(void)
{
    struct sched_param ordinary = { 0 }, urgent = { .sched_priority = 50 };
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &urgent) == 0 &&
           pthread_setschedparam(pthread_self(), SCHED_OTHER, &ordinary) == 0;
}

static void priorities_share_a_cpu(void **state)
{
    (void)state;
    if (!may_be_real_time()) {
        printf("not tested: SCHED_FIFO is refused here\n");
        skip();
    }
    struct player players[PLAYERS] = { { .priority = 0 }, { .priority = 10 }, { .priority = 50 } };
    pthread_t threads[PLAYERS];
    ring = sp_queue_of(int, .maxsize = 1);
    chain = sp_queue_of(int);
    pile = sp_queue_of(int, .order = SP_LIFO);
    pool = sp_thread_pool(.max_workers = 2);
    for (int i = 0; i < PLAYERS; i++) {
        players[i].rounds = test_count(200);
        threads[i] = test_thread(play, &players[i]);
    }
    for (int i = 0; i < PLAYERS; i++) {
        test_join(threads[i]);
        assert_false(players[i].refused);
        assert_int_equal(players[i].status, SP_OK);
    }
    assert_int_equal(turns, PLAYERS * players[0].rounds);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_set_starvation_hook(NULL, NULL);
    sp_queue_release(ring);
    sp_queue_release(chain);
    sp_queue_release(pile);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(priorities_share_a_cpu) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
