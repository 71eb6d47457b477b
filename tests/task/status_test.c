/* Names and texts of statuses; sp_raise outside of a task.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

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
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(raise_outside_of_a_task_only_returns),
        cmocka_unit_test(messages_may_be_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
