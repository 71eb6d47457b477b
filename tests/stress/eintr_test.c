/* A storm of signals, 1,000 a second for each thread, during every call that blocks: it does not return early, it is
   woken when it should be, and it says what it should.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "blocking_calls.h"

#include <signal.h>

#include "os/os.h"

/* ---- pairs: one thread blocks, its partner lets it go on ---- */

struct pair {
    const struct call *call;
    struct thing thing;
    long rounds;
    uint64_t seed;
    pthread_t blocker;
    uint32_t signals;  /* atomic; that the blocker has handled */
    uint32_t begun;    /* atomic; rounds that the partner has prepared */
    uint32_t blocks;   /* atomic; rounds in which the blocker has begun to wait without a limit */
    uint32_t released; /* atomic; rounds in which it may go on */
    uint32_t ended;    /* atomic; rounds that it has ended */
};

static uint32_t storm_over;                  /* atomic */
static __thread struct pair *pair_of_thread; /* of a blocker */

static void count_signal(int number)
{
    (void)number;
    if (pair_of_thread != NULL)
        sp__add_relaxed(&pair_of_thread->signals, 1);
}

static void await_count(const uint32_t *count, uint32_t least)
{
    while (sp__load_acquire(count) < least)
        sched_yield();
}

static void block_for(struct pair *pair, double timeout)
{
    int64_t begin = sp__os_now();
    stress_expect(pair->call->block(&pair->thing, timeout) == SP_TIMEOUT);
    stress_expect((double)(sp__os_now() - begin) >= timeout * 1e9);
}

static void *block_again_and_again(void *arg)
{
    struct pair *pair = pair_of_thread = arg;
    uint64_t random = pair->seed;
    for (uint32_t i = 1; i <= pair->rounds; i++) {
        await_count(&pair->begun, i);
        if (!pair->call->never_times_out)
            block_for(pair, (double)(test_random(&random) % 4000) * 1e-6);
        sp__add_seq_cst(&pair->blocks, 1);
        if (!pair->call->only_times_out) {
            stress_expect(pair->call->block(&pair->thing, SP_FOREVER) == SP_OK);
            stress_expect(sp__load_acquire(&pair->released) == i);
        }
        sp__add_seq_cst(&pair->ended, 1);
    }
    await_count(&storm_over, 1); /* a thread that has ended gets no signal */
    return NULL;
}

static void clean_up(struct thing *thing)
{
    stress_expect(thing->thread == NULL || sp_join(thing->thread, NULL, SP_FOREVER) == SP_OK);
    stress_expect(sp_shutdown(thing->pool) == SP_OK);
    sp_thread_release(thing->thread);
    sp_future_release(thing->future);
    sp_executor_release(thing->pool);
    thing->thread = NULL;
    thing->future = NULL;
    thing->pool = NULL;
    sp_event_clear(&thing->event);
}

/* A few signals after the blocker has begun to wait it is let go on; the last of them may well be on its way. */
static void *release_again_and_again(void *arg)
{
    struct pair *pair = arg;
    uint64_t random = pair->seed + 1;
    for (uint32_t i = 1; i <= pair->rounds; i++) {
        pair->call->begin(&pair->thing);
        sp__add_seq_cst(&pair->begun, 1);
        await_count(&pair->blocks, i);
        await_count(&pair->signals, sp__load_acquire(&pair->signals) + (uint32_t)(test_random(&random) % 4));
        stress_linger(test_random(&random) % 512);
        sp__add_seq_cst(&pair->released, 1);
        pair->call->end(&pair->thing);
        await_count(&pair->ended, i);
        clean_up(&pair->thing);
    }
    return NULL;
}

/* ---- the storm ---- */

static void *send_signals(void *arg)
{
    struct pair *pairs = arg;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!sp__load_acquire(&storm_over)) {
        for (int i = 0; i < CALLS; i++)
            stress_expect(pthread_kill(pairs[i].blocker, SIGUSR1) == 0);
        next.tv_nsec += 1000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) != 0)
            continue;
    }
    return NULL;
}

static void prepare(struct pair *pair, const struct call *call, uint64_t seed)
{
    *pair = (struct pair){ .call = call, .seed = seed, .rounds = test_count(300) }; /* SPOOL_TEST_SCALE=3000 for 10^4 */
    pair->thing.semaphore = (sp_semaphore)SP_SEMAPHORE(0);
    pair->thing.barrier = (sp_barrier)SP_BARRIER(2);
    pair->thing.queue = sp_queue_of(int, .maxsize = 1);
    assert_non_null(pair->thing.queue);
}

static void no_call_minds_a_storm_of_signals(void **state)
{
    (void)state;
    static struct pair pairs[CALLS];
    struct sigaction action = { .sa_handler = count_signal }; /* without SA_RESTART */
    pthread_t partners[CALLS];
    uint64_t seed = test_seed(), signals = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < CALLS; i++) {
        prepare(&pairs[i], &calls[i], seed + 10 * (uint64_t)i);
        pairs[i].blocker = test_thread(block_again_and_again, &pairs[i]);
    }
    pthread_t storm = test_thread(send_signals, pairs);
    for (int i = 0; i < CALLS; i++)
        partners[i] = test_thread(release_again_and_again, &pairs[i]);
    for (int i = 0; i < CALLS; i++)
        test_join(partners[i]); /* would hang if a wake-up were lost */
    sp__add_seq_cst(&storm_over, 1);
    test_join(storm);
    for (int i = 0; i < CALLS; i++) {
        test_join(pairs[i].blocker);
        signals += pairs[i].signals;
        sp_queue_release(pairs[i].thing.queue);
        assert_int_equal(pairs[i].ended, pairs[i].rounds);
    }
    stress_assert_nothing_wrong();
    printf("%" PRIu64 " signals\n", signals);
    assert_true(signals > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_minds_a_storm_of_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
