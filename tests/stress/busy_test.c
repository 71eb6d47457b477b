/* Short waits while other processes want the CPUs: they may not cost many times what pthread's cost.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

enum { BUSY = 4, ROUNDS = 200 };
#define SLACK 500e-6 /* seconds: what a scheduler may decide one way or the other */

static sp_semaphore ping, pong;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static bool others_turn; /* guarded by mutex */

static void work(void)
{
    for (volatile int i = 0; i < 20000; i = i + 1)
        continue;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

/* Of seconds: a moment without a CPU is not what a round costs. */
static double median(double seconds[ROUNDS])
{
    qsort(seconds, ROUNDS, sizeof seconds[0], compare);
    return seconds[ROUNDS / 2];
}

static void *answer_semaphore(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        sp_semaphore_acquire(&ping);
        work();
        assert_int_equal(sp_semaphore_release(&pong, 1), SP_OK);
    }
    return unused;
}

static void ask_semaphore(void)
{
    assert_int_equal(sp_semaphore_release(&ping, 1), SP_OK);
    sp_semaphore_acquire(&pong);
}

static void take_turn(bool other)
{
    pthread_mutex_lock(&mutex);
    while (others_turn != other)
        pthread_cond_wait(&turned, &mutex);
    pthread_mutex_unlock(&mutex);
    if (other)
        work();
    pthread_mutex_lock(&mutex);
    others_turn = !other;
    pthread_cond_signal(&turned);
    pthread_mutex_unlock(&mutex);
}

static void *answer_condition(void *unused)
{
    for (int i = 0; i < ROUNDS; i++)
        take_turn(true);
    return unused;
}

static void ask_condition(void)
{
    take_turn(false);
}

static double ping_pong(void *(*answer)(void *), void (*ask)(void))
{
    double seconds[ROUNDS];
    pthread_t other = test_thread(answer, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        double begin = sp_monotonic();
        ask();
        seconds[i] = sp_monotonic() - begin;
    }
    test_join(other);
    return median(seconds);
}

static int identity(int x)
{
    return x;
}
SP_FUNCTION(identity, int, int);

/* From submit to result, with a pause before, so that all sleep. */
static double submit_and_result(void)
{
    double seconds[ROUNDS];
    sp_executor *pool = sp_thread_pool(.max_workers = 2);
    for (int i = 0; i < ROUNDS; i++) {
        int result;
        usleep(200);
        double begin = sp_monotonic();
        sp_future *future = sp_submit(pool, identity, i);
        assert_int_equal(sp_result(future, &result, SP_FOREVER), SP_OK);
        seconds[i] = sp_monotonic() - begin;
        assert_int_equal(result, i);
        sp_future_release(future);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    return median(seconds);
}

static pid_t be_busy(void)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* not for longer than the test, whatever becomes of that */
        for (;;)
            continue;
    }
    assert_true(child > 0);
    return child;
}

static void short_waits_beside_busy_processes(void **state)
{
    (void)state;
    pid_t busy[BUSY];
    for (int i = 0; i < BUSY; i++)
        busy[i] = be_busy();
    double theirs = ping_pong(answer_condition, ask_condition), ours = ping_pong(answer_semaphore, ask_semaphore);
    double pool = submit_and_result();
    for (int i = 0; i < BUSY; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
    printf("a round: pthread condition %.0f us, semaphore %.0f us, submit and result %.0f us\n", theirs * 1e6,
           ours * 1e6, pool * 1e6);
    assert_true(ours <= 5 * theirs + SLACK);
    assert_true(pool <= 5 * theirs + SLACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(short_waits_beside_busy_processes) };
    return cmocka_run_group_tests_name("busy", tests, NULL, NULL);
}
