/* Threads that nobody joins, whose end takes long: nobody waits for that, and they are collected all the same.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static pthread_key_t key;
static sp_event ends, may_end;

static void end_slowly(void *value)
{
    (void)value;
    sp_event_set(&ends);
    (void)sp_event_wait(&may_end, SP_FOREVER);
}

static sp_status use_key(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    pthread_setspecific(key, &ends);
    return SP_OK;
}
SP_TASK(use_key, sp_none, sp_none);

static sp_status do_nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(do_nothing, sp_none, sp_none);

static void start_and_join(int n)
{
    for (int i = 0; i < n; i++) {
        sp_thread *thread = sp_start(do_nothing);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
        sp_thread_release(thread);
    }
}

/* Each start looks at it, finds that it is not gone, and another will look again. */
static void one_that_ends_slowly_is_collected_when_it_is_gone(void **state)
{
    (void)state;
    start_and_join(1);
    uint64_t before = sp__fault_blocks();
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), use_key));
    assert_true(sp_event_wait(&ends, SP_FOREVER));
    start_and_join(5);
    assert_true(sp_join_all(SP_FOREVER)); /* does not wait for a daemon that is at its end */
    assert_true(sp__fault_blocks() > before);
    sp_event_set(&may_end);
    test_await((start_and_join(1), sp__fault_blocks() == before));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_that_ends_slowly_is_collected_when_it_is_gone) };
    if (pthread_key_create(&key, end_slowly) != 0)
        return 98;
    return cmocka_run_group_tests_name("orphan", tests, NULL, NULL);
}
