/* Names and texts of statuses; sp_raise outside of a task.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <spool.h>

/* Each status, and the words of its sentence by which a reader from Python knows it. */
static const struct {
    sp_status status;
    int number; /* they are ABI */
    const char *name, *words;
} statuses[] = {
    { SP_OK, 0, "SP_OK", "success" },
    { SP_TIMEOUT, 1, "SP_TIMEOUT", "(TimeoutError)" },
    { SP_CANCELLED, 2, "SP_CANCELLED", "(concurrent.futures.CancelledError)" },
    { SP_INVALID_STATE, 3, "SP_INVALID_STATE", "(concurrent.futures.InvalidStateError)" },
    { SP_EMPTY, 4, "SP_EMPTY", "(queue.Empty)" },
    { SP_FULL, 5, "SP_FULL", "(queue.Full)" },
    { SP_SHUT_DOWN, 6, "SP_SHUT_DOWN", "(queue.ShutDown, RuntimeError)" },
    { SP_BROKEN_BARRIER, 7, "SP_BROKEN_BARRIER", "(threading.BrokenBarrierError)" },
    { SP_BROKEN_POOL, 8, "SP_BROKEN_POOL", "(concurrent.futures.BrokenExecutor)" },
    { SP_RUNTIME_ERROR, 9, "SP_RUNTIME_ERROR", "failed (RuntimeError)" },
    { SP_VALUE_ERROR, 10, "SP_VALUE_ERROR", "(ValueError)" },
    { SP_TYPE_ERROR, 11, "SP_TYPE_ERROR", "(TypeError)" },
    { SP_MEMORY_ERROR, 12, "SP_MEMORY_ERROR", "(MemoryError)" },
    { SP_OS_ERROR, 13, "SP_OS_ERROR", "(OSError)" },
    { SP_PICKLING_ERROR, 14, "SP_PICKLING_ERROR", "(pickle.PicklingError)" },
    { SP_DEADLOCK, 15, "SP_DEADLOCK", "(RuntimeError, deadlock)" },
    { SP_INTERRUPTED, 16, "SP_INTERRUPTED", "(InterruptedError)" },
    { SP_STOP, 17, "SP_STOP", "(StopIteration)" },
    { SP_USER_ERROR, 1000, "SP_USER_ERROR", "an error of the program's own" },
    { (sp_status)(SP_USER_ERROR + 1), 1001, "SP_USER_ERROR", "an error of the program's own" },
    { (sp_status)INT_MAX, INT_MAX, "SP_USER_ERROR", "an error of the program's own" },
    { (sp_status)(SP_STOP + 1), 18, "SP_UNKNOWN", "unknown status" },
    { (sp_status)(SP_USER_ERROR - 1), 999, "SP_UNKNOWN", "unknown status" },
    { (sp_status)-1, -1, "SP_UNKNOWN", "unknown status" },
    { (sp_status)INT_MIN, INT_MIN, "SP_UNKNOWN", "unknown status" },
};

static void every_status_has_its_number_its_name_and_its_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_int_equal((int)statuses[i].status, statuses[i].number);
        assert_string_equal(sp_status_name(statuses[i].status), statuses[i].name);
        if (strstr(sp_status_text(statuses[i].status), statuses[i].words) == NULL)
            fail_msg("%s is: %s", statuses[i].name, sp_status_text(statuses[i].status));
    }
}

static void every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (int status = SP_OK; status <= SP_STOP; status++) {
        assert_true(strncmp(sp_status_name((sp_status)status), "SP_", 3) == 0);
        assert_true(strlen(sp_status_text((sp_status)status)) > 5);
    }
    assert_string_equal(sp_status_name(SP_TIMEOUT), "SP_TIMEOUT");
    assert_non_null(strstr(sp_status_text(SP_TIMEOUT), "TimeoutError"));
    assert_string_equal(sp_status_name((sp_status)(SP_USER_ERROR + 5)), "SP_USER_ERROR");
    assert_string_equal(sp_status_name((sp_status)500), "SP_UNKNOWN");
    assert_non_null(sp_status_text((sp_status)500));
    assert_string_equal(sp_version(), SPOOL_VERSION);
}

static void raise_outside_of_a_task_only_returns(void **state)
{
    (void)state;
    assert_int_equal(sp_raise(SP_VALUE_ERROR, "nobody %s", "listens"), SP_VALUE_ERROR);
    errno = ENOENT;
    assert_int_equal(sp_raise_errno("open"), SP_OS_ERROR);
    assert_int_equal(errno, ENOENT);
}

static sp_status long_words(const int *length, sp_none *out)
{
    (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "%*d", *length, 7);
}
SP_TASK(long_words, int, sp_none);

static void messages_may_be_long(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(long_words, 5000);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_RUNTIME_ERROR);
    assert_int_equal(strlen(sp_thread_error(thread)->message), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_number_its_name_and_its_words),
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(raise_outside_of_a_task_only_returns),
        cmocka_unit_test(messages_may_be_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
