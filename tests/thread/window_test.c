/* Windows of a join, held open.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

static sp_event may_end;

static sp_status wait_and_answer(const sp_none *in, int *out)
{
    (void)in;
    *out = 7;
    return sp_event_wait(&may_end, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_and_answer, sp_none, int);

struct joining {
    sp_thread *thread;
    double timeout;
    sp_status status;
    int result;
};

static void join(void *context)
{
    struct joining *joining = context;
    joining->status = sp_join(joining->thread, &joining->result, joining->timeout);
}

static void await_end(sp_thread *thread)
{
    test_await(!sp_thread_is_alive(thread));
    assert_int_equal(sp_thread_wait(thread, SP_FOREVER), SP_OK);
}

/* The thread ends while one who joins it stands at that place. */
static void end_in(const char *site, double timeout)
{
    struct joining joining = { sp_start(wait_and_answer, SP_NONE), timeout, SP_TIMEOUT, 0 };
    one joiner;
    struct pause *window = pause_at(site);
    one_start(&joiner, join, &joining);
    pause_await(window);
    sp_event_set(&may_end);
    await_end(joining.thread);
    pause_end(window);
    one_end(&joiner);
    sp_event_clear(&may_end);
    assert_int_equal(joining.status, SP_OK);
    assert_int_equal(joining.result, 7);
    sp_thread_release(joining.thread);
}

static void a_thread_that_ends_before_its_joiner_sleeps_is_joined(void **state)
{
    (void)state;
    end_in("join: not there", SP_FOREVER);
    end_in("join: not there", 100);
}

static void a_thread_that_ends_with_the_end_of_the_time_is_joined(void **state)
{
    (void)state;
    end_in("park: gives up", 0.001);
    end_in("join: out of time", 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_ends_before_its_joiner_sleeps_is_joined),
        cmocka_unit_test(a_thread_that_ends_with_the_end_of_the_time_is_joined),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
