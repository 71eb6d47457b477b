/* Every call that the system may refuse in futures, callbacks, sets, maps and thread pools, refused in turn: once, and from
   then on.  As in fault_test.c each scenario does its work and gives everything back, whatever it is refused; here every
   future must have an end, every callback its call, every argument its drop, and nothing may wait for ever.
   nested_fault_test.c has the tasks that wait.

   SPDX-License-Identifier: MIT */
#include "fault/refuse.h"

/* ---- scenarios: false when something was refused, and then said so ---- */

enum { N = 5 };

static sp_status pass_gate(const int *in, int *out)
{
    sp_event_wait(&gate, SP_FOREVER);
    return square(in, out);
}
SP_TASK_OWNING(pass_gate, int, int, drop_arg, drop_result);

static bool futures_without_a_pool(void)
{
    sp_future *futures[4];
    for (int i = 0; i < 4; i++)
        futures[i] = sp_future_new(&square_sp_task, &i);
    sp_status failed = SP_OS_ERROR;
    sp_error error = { .status = failed, .message = "it burns", .file = "here" };
    bool all = went_well(sp_future_done(futures[0]) ? SP_MEMORY_ERROR
                                                    : sp_future_set_result(futures[0], &(int){ 4 }, sizeof(int)));
    if (!sp_future_done(futures[1])) {
        stress_expect(sp_future_set_error(futures[1], &error) == SP_OK);
        stress_expect(sp_future_error(futures[1]) != NULL && sp_result(futures[1], NULL, SP_NOWAIT) == failed);
    }
    if (!sp_future_done(futures[2])) {
        stress_expect(sp_future_cancel(futures[2]));
        stress_expect(sp_future_error(futures[2])->status == SP_CANCELLED);
    }
    for (int i = 0; i < 4; i++)
        all = all && sp_future_arg(futures[i]) != NULL;
    sp_release_all(futures, 4);
    stress_expect(dropped_args == 4);
    return all;
}

static bool submits(void)
{
    sp_future *futures[N];
    sp_executor *pool = new_pool(2);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, square, i);
    bool all = all_went_well(futures, N) && pool != NULL;
    sp_release_all(futures, N);
    end_pool(pool);
    stress_expect(dropped_args == N);
    return all;
}

/* What was accepted runs once, what was not does not run. */
static bool posts(void)
{
    uint32_t accepted = 0;
    sp_executor *pool = new_pool(2);
    for (int i = 0; i < N; i++)
        accepted += went_well(sp_post(pool, square, i));
    stress_expect(sp_executor_wait_idle(pool, SP_FOREVER));
    stress_expect(sp__load_acquire(&runs) == accepted);
    end_pool(pool);
    stress_expect(dropped_args == N);
    return accepted == N;
}

/* More tasks than workers, all of which wait: each submit wants another worker, and any of them may be refused. */
static bool half_a_pool(void)
{
    sp_future *futures[N];
    sp_executor *pool = new_pool(3);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass_gate, i);
    sp_event_set(&gate);
    bool all = all_went_well(futures, N) && pool != NULL;
    sp_release_all(futures, N);
    end_pool(pool);
    stress_expect(dropped_args == N);
    return all;
}

static void count_call(sp_future *future, void *context)
{
    (void)future;
    sp__add_seq_cst((uint32_t *)context, 1);
}

static bool callbacks(void)
{
    sp_future *futures[N];
    sp_executor *pool = new_pool(2);
    for (int i = 0; i < N; i++) {
        futures[i] = sp_submit(pool, square, i);
        for (int k = 0; k < 2; k++)
            sp_future_add_done_callback(futures[i], count_call, &calls);
    }
    bool all = all_went_well(futures, N) && pool != NULL;
    sp_release_all(futures, N);
    end_pool(pool);
    stress_expect(calls == 2 * N); /* also without memory to register them */
    return all;
}

static sp_future *own_future;

static sp_status watch_itself(const int *in, int *out)
{
    sp_event_wait(&gate, SP_FOREVER); /* until own_future is there */
    sp_future_add_done_callback(own_future, count_call, &calls);
    *out = *in;
    return SP_OK;
}
SP_TASK(watch_itself, int, int);

static bool a_callback_of_ones_own(void)
{
    sp_executor *pool = new_pool(1);
    own_future = sp_submit(pool, watch_itself, 1);
    sp_event_set(&gate);
    bool all = future_went_well(own_future) && pool != NULL;
    end_pool(pool);
    stress_expect(calls == (sp_result(own_future, NULL, SP_NOWAIT) == SP_OK)); /* if it ran */
    sp_future_release(own_future);
    return all;
}

static bool waits_for_sets(void)
{
    sp_future *futures[N];
    sp_executor *pool = new_pool(2);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, square, i);
    sp_status first = sp_wait(futures, N, SP_FIRST_COMPLETED, SP_FOREVER);
    sp_status error = sp_wait(futures, N, SP_FIRST_ERROR, SP_FOREVER);
    stress_expect(sp_wait(futures, N, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK); /* this one needs no memory */
    bool all = went_well(first) && went_well(error);
    all = all_went_well(futures, N) && all && pool != NULL;
    sp_release_all(futures, N);
    end_pool(pool);
    return all;
}

static bool as_completed(void)
{
    sp_future *futures[N];
    sp_executor *pool = new_pool(2);
    int taken = 0;
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, square, i);
    sp_completion *set = sp_as_completed(futures, N, SP_FOREVER);
    for (sp_future *future; (future = sp_next(set)) != NULL; taken++)
        stress_expect(sp_future_done(future));
    bool all = went_well(sp_completion_status(set));
    sp_completion_release(set);
    all = all_went_well(futures, N) && all && pool != NULL;
    stress_expect(!all || taken == N);
    sp_release_all(futures, N);
    end_pool(pool);
    return all;
}

static bool map_of(int bad, size_t chunksize)
{
    int inputs[N], outputs[N];
    sp_executor *pool = new_pool(2);
    for (int i = 0; i < N; i++) {
        inputs[i] = i == bad ? -1 : i;
        outputs[i] = -7;
    }
    sp_status status = sp_map(pool, square, inputs, outputs, N, .chunksize = chunksize);
    bool all = bad < N && status == SP_VALUE_ERROR ? pool != NULL : went_well(status);
    for (int i = 0; i < N; i++)
        stress_expect(outputs[i] == (status == SP_OK ? i * i : -7));
    end_pool(pool);
    stress_expect(dropped_args == N);
    stress_expect(status != SP_OK || dropped_results == 0);
    return all;
}

static bool map_in_chunks(void)
{
    return map_of(N, 2);
}

static bool map_one_by_one(void)
{
    return map_of(N, 1);
}

static bool map_that_fails(void)
{
    return map_of(2, 2);
}

static sp_status begin_worker(void *arg)
{
    sp__add_seq_cst((uint32_t *)arg, 1);
    return SP_OK;
}

static void end_worker(void *arg)
{
    sp__add_seq_cst((uint32_t *)arg, 1 << 16);
}

static bool initializers(void)
{
    sp_future *futures[N];
    uint32_t workers = 0;
    sp_executor *pool = sp_thread_pool(.max_workers = 3, .initializer = begin_worker, .initializer_arg = &workers,
                                       .finalizer = end_worker, .thread_name_prefix = "prefix");
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass_gate, i);
    sp_event_set(&gate);
    bool all = all_went_well(futures, N) && pool != NULL;
    sp_release_all(futures, N);
    end_pool(pool);
    stress_expect(workers >> 16 == (workers & 0xffff)); /* each that began has ended */
    return all;
}

static sp_status refuse_worker(void *arg)
{
    (void)arg;
    return sp_raise(SP_VALUE_ERROR, "no licence");
}

static bool a_pool_that_breaks(void)
{
    bool all = true;
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .initializer = refuse_worker);
    for (int i = 0; i < N; i++) {
        sp_future *future = sp_submit(pool, square, i);
        sp_status status = sp_result(future, NULL, SP_FOREVER);
        const sp_error *error = sp_future_error(future);
        stress_expect(error != NULL && error->status == status && error->message != NULL);
        all = (status == SP_BROKEN_POOL || went_well(status)) && all && status == SP_BROKEN_POOL;
        sp_future_release(future);
    }
    end_pool(pool);
    stress_expect(dropped_args == N && runs == 0);
    return all;
}

static bool cancelled_by_shutdown(void)
{
    sp_future *futures[N];
    bool all = true;
    sp_executor *pool = new_pool(1);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass_gate, i);
    stress_expect(sp_shutdown(pool, .no_wait = true, .cancel_futures = true) == SP_OK);
    sp_event_set(&gate);
    for (int i = 0; i < N; i++) {
        sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
        stress_expect(status == SP_OK || sp_future_error(futures[i]) != NULL);
        all = (status == SP_CANCELLED || went_well(status)) && all;
    }
    sp_release_all(futures, N);
    end_pool(pool);
    stress_expect(dropped_args == N);
    return all && pool != NULL;
}

static bool workers_that_leave(void)
{
    bool all = true;
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .idle_seconds = 1e-6);
    for (int i = 0; i < N; i++) {
        sp_future *future = sp_submit(pool, square, i);
        all = future_went_well(future) && all;
        sp_future_release(future);
        sp_executor_statistics stats;
        test_await((sp_executor_stats(pool, &stats), stats.workers == 0)); /* each submit needs a new one */
    }
    end_pool(pool);
    return all && pool != NULL;
}

static void *submit_some(void *arg)
{
    bool all = true;
    for (int i = 0; i < 3; i++) {
        sp_future *future = sp_submit(arg, square, i);
        all = future_went_well(future) && all;
        sp_future_release(future);
    }
    sp__add_seq_cst(&calls, all);
    return NULL;
}

/* Who waits for room, and who submits while another one's worker is refused. */
static bool a_crowd(void)
{
    pthread_t threads[3];
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .max_pending = 1);
    for (int i = 0; i < 3; i++)
        threads[i] = test_thread(submit_some, pool);
    for (int i = 0; i < 3; i++)
        test_join(threads[i]);
    end_pool(pool);
    stress_expect(dropped_args == 9);
    return calls == 3;
}

#define SCENARIO(name)                                                                                                 \
    static void refused_##name(void **state)                                                                           \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        refuse(name, #name, false);                                                                                    \
        refuse(name, #name, true);                                                                                     \
    }
SCENARIO(futures_without_a_pool)
SCENARIO(submits)
SCENARIO(posts)
SCENARIO(half_a_pool)
SCENARIO(callbacks)
SCENARIO(a_callback_of_ones_own)
SCENARIO(waits_for_sets)
SCENARIO(as_completed)
SCENARIO(map_in_chunks)
SCENARIO(map_one_by_one)
SCENARIO(map_that_fails)
SCENARIO(initializers)
SCENARIO(a_pool_that_breaks)
SCENARIO(cancelled_by_shutdown)
SCENARIO(workers_that_leave)
SCENARIO(a_crowd)

/* Also when there is no memory for the map itself: the future is there for the message of the failure. */
static void a_failed_map_has_its_failed_future(void **state)
{
    (void)state;
    int inputs[N] = { 1, 2, 3, 4, 5 }, outputs[N];
    for (uint64_t call = 1; call < 50; call++) {
        sp_future *failed = NULL;
        sp_auto(sp_executor) pool = new_pool(1);
        sp__fault_arm(call, true);
        sp_status status = sp_map(pool, square, inputs, outputs, N, .ret_failed = &failed);
        sp__fault_disarm();
        if (status == SP_OK)
            break;
        if (failed == NULL)
            fail_msg("call %d refused: sp_map is %s and has no failed future", (int)call, sp_status_name(status));
        assert_int_equal(sp_result(failed, NULL, SP_NOWAIT), status);
        assert_non_null(sp_future_error(failed));
        sp_future_release(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_futures_without_a_pool),
        cmocka_unit_test(refused_submits),
        cmocka_unit_test(refused_posts),
        cmocka_unit_test(refused_half_a_pool),
        cmocka_unit_test(refused_callbacks),
        cmocka_unit_test(refused_a_callback_of_ones_own),
        cmocka_unit_test(refused_waits_for_sets),
        cmocka_unit_test(refused_as_completed),
        cmocka_unit_test(refused_map_in_chunks),
        cmocka_unit_test(refused_map_one_by_one),
        cmocka_unit_test(refused_map_that_fails),
        cmocka_unit_test(refused_initializers),
        cmocka_unit_test(refused_a_pool_that_breaks),
        cmocka_unit_test(refused_cancelled_by_shutdown),
        cmocka_unit_test(refused_workers_that_leave),
        cmocka_unit_test(refused_a_crowd),
        cmocka_unit_test(something_was_refused),
        cmocka_unit_test(a_failed_map_has_its_failed_future),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
