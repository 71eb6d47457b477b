/* sp_event behaves like threading.Event.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

#include "conformance/bunch.h"

static void set_and_clear_are_idempotent(void **state)
{
    (void)state;
    sp_event event = { 0 };
    assert_false(sp_event_is_set(&event));
    for (int i = 0; i < 2; i++) {
        sp_event_set(&event);
        assert_true(sp_event_is_set(&event));
    }
    for (int i = 0; i < 2; i++) {
        sp_event_clear(&event);
        assert_false(sp_event_is_set(&event));
    }
}

struct waits {
    sp_event event;
    double timeout;
    uint32_t first, second; /* atomic; how many of either wait were true */
    uint32_t asked, late;   /* atomic; waits that returned; of them, those that took their time */
};

static void wait_twice(void *context)
{
    struct waits *waits = context;
    if (sp_event_wait(&waits->event, SP_FOREVER))
        sp__add_seq_cst(&waits->first, 1);
    if (sp_event_wait(&waits->event, SP_FOREVER))
        sp__add_seq_cst(&waits->second, 1);
}

static void set_for_five(struct waits *waits)
{
    struct bunch bunch;
    waits->first = waits->second = 0;
    bunch_start(&bunch, 5, wait_twice, waits);
    bunch_await_sleep(&bunch);
    assert_int_equal(sp__load_acquire(&waits->first), 0);
    sp_event_set(&waits->event);
    bunch_join(&bunch);
    assert_int_equal(waits->first, 5);
    assert_int_equal(waits->second, 5); /* it stays set */
}

static void a_set_ends_every_wait_again_and_again(void **state)
{
    (void)state;
    struct waits waits = { .first = 0 };
    set_for_five(&waits);
    sp_event_clear(&waits.event);
    set_for_five(&waits);
}

static void ask_then_wait(void *context)
{
    struct waits *waits = context;
    if (sp_event_wait(&waits->event, SP_NOWAIT))
        sp__add_seq_cst(&waits->first, 1);
    double begin = sp_monotonic();
    if (sp_event_wait(&waits->event, waits->timeout))
        sp__add_seq_cst(&waits->second, 1);
    sp__add_seq_cst(&waits->asked, 1);
    if (sp_monotonic() - begin >= waits->timeout)
        sp__add_seq_cst(&waits->late, 1);
}

static void the_time_of_each_of_five_waits_is_up(void **state)
{
    (void)state;
    struct waits waits = { .timeout = 0.05 };
    bunch_of(5, ask_then_wait, &waits);
    assert_int_equal(waits.first, 0);
    assert_int_equal(waits.second, 0);
    assert_int_equal(waits.late, 5);
    waits = (struct waits){ .timeout = 30 };
    sp_event_set(&waits.event);
    bunch_of(5, ask_then_wait, &waits);
    assert_int_equal(waits.first, 5);
    assert_int_equal(waits.second, 5);
    assert_int_equal(waits.asked, 5);
    assert_int_equal(waits.late, 0);
}

static void an_event_is_as_it_was_in_a_forked_child(void **state)
{
    (void)state;
    static sp_event set, not_set;
    sp_event_set(&set);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool same = sp_event_wait(&set, SP_FOREVER) && !sp_event_wait(&not_set, 0.01);
        sp_event_set(&not_set);
        sp_event_clear(&set);
        _exit(same && sp_event_wait(&not_set, SP_FOREVER) && !sp_event_wait(&set, SP_NOWAIT) ? 50 : 51);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 50);
    assert_true(sp_event_is_set(&set));
    assert_false(sp_event_is_set(&not_set));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_and_clear_are_idempotent),
        cmocka_unit_test(a_set_ends_every_wait_again_and_again),
        cmocka_unit_test(the_time_of_each_of_five_waits_is_up),
        cmocka_unit_test(an_event_is_as_it_was_in_a_forked_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
