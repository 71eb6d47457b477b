/* Lazy map: order, laziness, bounds, every status.

   SPDX-License-Identifier: MIT */
#include "child.h"
#include "mapping.h"

#include <errno.h>

static const char *program;
static double nan_seconds;

static sp_status wait_at_gate(const int *in, int *out)
{
    sp__add_seq_cst(&begun, 1);
    sp_event_wait(&gate, SP_FOREVER);
    *out = *in;
    return SP_OK;
}
SP_TASK(wait_at_gate, int, int);

/* ---- order, laziness, bounds ---- */

static void results_come_in_input_order_then_stop(void **state)
{
    (void)state;
    enum { N = 200 };
    for (unsigned workers = 1; workers <= 3; workers++) {
        for (size_t buffersize = 0; buffersize <= 9; buffersize += 3) {
            sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = workers);
            struct numbers numbers = { .n = N };
            sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = buffersize);
            int value = -1;
            for (int i = 0; i < N; i++) {
                assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
                assert_int_equal(value, 3 * i);
                assert_null(sp_mapping_error(mapping));
            }
            for (int i = 0; i < 3; i++)
                assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
            assert_null(sp_mapping_error(mapping));
            assert_int_equal(value, 3 * (N - 1));
            assert_int_equal(numbers.pulled, N);
        }
    }
}

static void without_inputs_it_is_stop_at_once(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 0 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers);
    int value = -1;
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_STOP);
    assert_int_equal(value, -1);
}

static void nothing_is_pulled_before_the_first_next(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 10 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 4);
    assert_int_equal(numbers.pulled, 0);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(numbers.pulled, 4);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(numbers.pulled, 5);
}

/* What next_input sees of the caller's progress, and who called it. */
struct watched {
    struct numbers numbers;
    int taken, most;
    uint64_t caller;
};

static bool next_watched(void *context, void *ret_arg)
{
    struct watched *watched = context;
    assert_int_equal(sp_thread_ident(sp_thread_current()), watched->caller);
    assert_int_equal(*(int *)ret_arg, 0); /* zeroed */
    if (!next_number(&watched->numbers, ret_arg))
        return false;
    int outstanding = watched->numbers.pulled - watched->taken;
    if (outstanding > watched->most)
        watched->most = outstanding;
    return true;
}

static void never_more_than_buffersize_are_on_their_way(void **state)
{
    (void)state;
    for (size_t buffersize = 1; buffersize <= 16; buffersize *= 2) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
        struct watched watched = { .numbers.n = 300, .caller = sp_thread_ident(sp_thread_current()) };
        sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_watched, &watched, .buffersize = buffersize);
        int value;
        while (sp_map_next(mapping, &value, SP_FOREVER) == SP_OK) {
            watched.taken++;
            sp_executor_statistics stats;
            sp_executor_stats(pool, &stats);
            assert_true(stats.submitted <= (uint64_t)watched.taken + buffersize);
        }
        assert_int_equal(watched.taken, 300);
        assert_int_equal(watched.most, buffersize);
    }
}

static void the_default_buffersize_is_bounded(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct watched watched = { .numbers.n = 1000, .caller = sp_thread_ident(sp_thread_current()) };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_watched, &watched);
    int value;
    while (sp_map_next(mapping, &value, SP_FOREVER) == SP_OK)
        watched.taken++;
    int workers = (int)sp_cpu_count() + 4;
    assert_int_equal(watched.most, 2 * (workers < 32 ? workers : 32));
}

/* ---- statuses ---- */

static void the_first_failure_in_input_order_ends_it(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 3; workers++) {
        for (size_t buffersize = 1; buffersize <= 6; buffersize++) {
            sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = workers);
            struct numbers numbers = { .n = 6 }; /* 7, which fails as well, is another test's */
            sp_auto(sp_mapping) mapping = sp_map_lazy(pool, picky, next_number, &numbers, .buffersize = buffersize);
            int value = -1;
            for (int i = 0; i < 5; i++) {
                assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
                assert_int_equal(value, 10 * i);
            }
            assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_USER_ERROR + 5);
            assert_int_equal(value, 40);
            const sp_error *error = sp_mapping_error(mapping);
            assert_int_equal(error->status, SP_USER_ERROR + 5);
            assert_string_equal(error->message, "I don't like 5");
            assert_string_equal(error->task, "picky");
            assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
            assert_null(sp_mapping_error(mapping));
            assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
        }
    }
}

static void after_the_first_failure_nothing_more_is_pulled(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    struct numbers numbers = { .n = 1000 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, picky, next_number, &numbers, .buffersize = 2);
    int value;
    for (int i = 0; i < 5; i++)
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_USER_ERROR + 5);
    int pulled = numbers.pulled;
    assert_true(pulled == 7 || pulled == 6); /* 6: the failure was there before the next pull */
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
    assert_int_equal(numbers.pulled, pulled);
}

static void timeout_leaves_everything_as_it_was(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 4 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, wait_at_gate, next_number, &numbers, .buffersize = 2);
    int value = -1;
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_map_next(mapping, &value, 0.001), SP_TIMEOUT);
    assert_int_equal(sp_map_next(mapping, &value, -1), SP_TIMEOUT);
    assert_null(sp_mapping_error(mapping));
    assert_int_equal(value, -1);
    assert_int_equal(numbers.pulled, 2);
    sp_event_set(&gate);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, i);
    }
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
}

static void type_error_and_value_error_leave_everything_as_it_was(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 2 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers);
    long wide = -1;
    int value = -1;
    assert_int_equal(sp_map_next(mapping, &wide, SP_FOREVER), SP_TYPE_ERROR);
    assert_null(sp_mapping_error(mapping));
    assert_int_equal(wide, -1);
    assert_int_equal(sp_map_next(mapping, &value, nan_seconds / nan_seconds), SP_VALUE_ERROR);
    assert_null(sp_mapping_error(mapping));
    assert_int_equal(numbers.pulled, 0);
    assert_int_equal(sp_map_next(mapping, NULL, SP_FOREVER), SP_OK); /* the status alone */
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 3);
}

struct reader {
    struct numbers numbers;
    sp_mapping *mapping;
};

static bool next_from_itself(void *context, void *ret_arg)
{
    struct reader *reader = context;
    int value = -1;
    assert_int_equal(sp_map_next(reader->mapping, &value, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(value, -1);
    return next_number(&reader->numbers, ret_arg);
}

static void next_called_by_next_input_is_value_error(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct reader reader = { .numbers.n = 3 };
    sp_auto(sp_mapping) mapping = reader.mapping = sp_map_lazy(pool, triple, next_from_itself, &reader);
    int value, count = 0;
    while (sp_map_next(mapping, &value, SP_FOREVER) == SP_OK)
        assert_int_equal(value, 3 * count++);
    assert_int_equal(count, 3);
}

static void null_mapping_and_null_executor_are_memory_error(void **state)
{
    (void)state;
    int value = -1;
    sp_mapping *none = NULL;
    assert_int_equal(sp_map_next(none, &value, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(sp_mapping_error(none)->status, SP_MEMORY_ERROR);
    sp_mapping_release(none);
    struct numbers numbers = { .n = 9 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(NULL, triple, next_number, &numbers);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(sp_mapping_error(mapping)->status, SP_MEMORY_ERROR);
    assert_int_equal(numbers.pulled, 1);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
    assert_int_equal(value, -1);
}

static void without_next_input_or_with_a_huge_buffer_there_is_no_mapping(void **state)
{
    (void)state;
    struct numbers numbers = { .n = 9 };
    errno = 0;
    assert_null(sp_executor_map_lazy(NULL, &triple_sp_task, NULL, NULL, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(sp_map_lazy(NULL, triple, next_number, &numbers, .buffersize = SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
}

static void shut_down_meanwhile(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 3);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    for (int i = 1; i < 3; i++) { /* what was submitted is there */
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 3 * i);
    }
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(sp_mapping_error(mapping)->status, SP_SHUT_DOWN);
    assert_string_equal(sp_mapping_error(mapping)->task, "triple");
    assert_int_equal(numbers.pulled, 4); /* the first refusal was the last pull */
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
}

static void cancelled_by_shutdown(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp__store_relaxed(&begun, 0);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, wait_at_gate, next_number, &numbers, .buffersize = 3);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_TIMEOUT);
    test_await(sp__load_seq_cst(&begun) == 1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    sp_event_set(&gate);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK); /* it ran already */
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_CANCELLED);
    assert_int_equal(sp_mapping_error(mapping)->status, SP_CANCELLED);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
}

static sp_status refuse(void *arg)
{
    (void)arg;
    return sp_raise(SP_USER_ERROR, "no licence");
}

static void broken_pool(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1, .initializer = refuse);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 1);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_BROKEN_POOL);
    assert_non_null(strstr(sp_mapping_error(mapping)->message, "no licence"));
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
}

static void no_worker_is_os_error(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 2);
    int value;
    sp__fault_arm(2, true); /* the future can be had, but no worker */
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OS_ERROR);
    sp__fault_disarm();
    assert_int_equal(sp_mapping_error(mapping)->status, SP_OS_ERROR);
    assert_int_equal(numbers.pulled, 1);
}

static void no_memory_for_an_input_is_memory_error(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 2);
    int value;
    sp__fault_arm(1, true);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_MEMORY_ERROR);
    sp__fault_disarm();
    assert_int_equal(sp_mapping_error(mapping)->status, SP_MEMORY_ERROR);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
    sp__fault_arm(1, true);
    assert_null(sp_map_lazy(pool, triple, next_number, &numbers));
    sp__fault_disarm();
    assert_int_equal(errno, ENOMEM);
}

/* ---- inside a task ---- */

static sp_mapping *shared;
typedef sp_status status_type;

static sp_status read_shared(const int *in, status_type *out)
{
    int value;
    (void)in;
    sp_event_wait(&gate, SP_FOREVER);
    *out = sp_map_next(shared, &value, 60.0);
    return SP_OK;
}
SP_TASK(read_shared, int, status_type);

static void waiting_for_oneself_is_deadlock(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 1 };
    sp_auto(sp_mapping) mapping = shared = sp_map_lazy(pool, read_shared, next_number, &numbers);
    sp_status inside = SP_OK;
    assert_int_equal(sp_map_next(mapping, &inside, SP_NOWAIT), SP_TIMEOUT);
    sp_event_set(&gate); /* the input's task reads the mapping, whose first is itself */
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(sp_map_next(mapping, &inside, SP_FOREVER), SP_OK);
    assert_int_equal(inside, SP_DEADLOCK);
}

struct inner {
    sp_executor *pool;
    double timeout;
};

static sp_status map_inside(const struct inner *in, int *out)
{
    struct numbers numbers = { .n = 20 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(in->pool, triple, next_number, &numbers, .buffersize = 5);
    int value;
    sp_status status;
    *out = 0;
    while ((status = sp_map_next(mapping, &value, in->timeout)) == SP_OK)
        *out += value;
    return status == SP_STOP ? SP_OK : status;
}
SP_TASK(map_inside, struct inner, int);

static void a_task_reads_a_mapping_over_its_own_pool(void **state)
{
    (void)state;
    const double timeouts[] = { SP_FOREVER, 60.0 };
    for (int i = 0; i < 2; i++) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
        sp_auto(sp_future) future = sp_submit(pool, map_inside, .pool = pool, .timeout = timeouts[i]);
        int sum;
        assert_int_equal(sp_result(future, &sum, SP_FOREVER), SP_OK);
        assert_int_equal(sum, 3 * 190);
    }
}

/* ---- fork ---- */

/* In a process of its own: memcheck takes for a leak what a child cannot free. */
static void fork_with_a_mapping(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, wait_at_gate, next_number, &numbers, .buffersize = 2);
    int value = -1, status = -1;
    bool right = sp_map_next(mapping, &value, SP_NOWAIT) == SP_TIMEOUT;
    pid_t child = fork();
    if (child == 0) {
        right = right && sp_map_next(mapping, &value, SP_FOREVER) == SP_SHUT_DOWN;
        sp_mapping_release(mapping);
        _exit(right ? 0 : 1);
    }
    right = right && waitpid(child, &status, 0) == child && status == 0;
    sp_event_set(&gate);
    right = right && sp_map_next(mapping, &value, SP_FOREVER) == SP_OK && value == 0;
    if (!right)
        _exit(1);
}

static void in_the_child_of_a_fork_it_is_shut_down(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "fork", NULL);
    assert_false(end.hung);
    assert_int_equal(end.status, 0);
}

int main(int argc, char **argv)
{
    static const struct child_case cases[] = { { "fork", fork_with_a_mapping } };
    program = argv[0];
    if (argc > 1)
        return child_main(cases, 1, argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_come_in_input_order_then_stop),
        cmocka_unit_test(without_inputs_it_is_stop_at_once),
        cmocka_unit_test(nothing_is_pulled_before_the_first_next),
        cmocka_unit_test(never_more_than_buffersize_are_on_their_way),
        cmocka_unit_test(the_default_buffersize_is_bounded),
        cmocka_unit_test(the_first_failure_in_input_order_ends_it),
        cmocka_unit_test(after_the_first_failure_nothing_more_is_pulled),
        cmocka_unit_test(timeout_leaves_everything_as_it_was),
        cmocka_unit_test(type_error_and_value_error_leave_everything_as_it_was),
        cmocka_unit_test(next_called_by_next_input_is_value_error),
        cmocka_unit_test(null_mapping_and_null_executor_are_memory_error),
        cmocka_unit_test(without_next_input_or_with_a_huge_buffer_there_is_no_mapping),
        cmocka_unit_test(shut_down_meanwhile),
        cmocka_unit_test(cancelled_by_shutdown),
        cmocka_unit_test(broken_pool),
        cmocka_unit_test(no_worker_is_os_error),
        cmocka_unit_test(no_memory_for_an_input_is_memory_error),
        cmocka_unit_test(waiting_for_oneself_is_deadlock),
        cmocka_unit_test(a_task_reads_a_mapping_over_its_own_pool),
        cmocka_unit_test(in_the_child_of_a_fork_it_is_shut_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
