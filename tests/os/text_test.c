/* The text of a report: it grows on the heap, and without memory says what it can.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "os/fault.h"
#include "os/text.h"

static void add_numbers(struct sp__text *text, int n)
{
    for (int i = 0; i < n; i++)
        sp__text_add(text, "%d,", i % 10);
}

static void ignore(const char *sentence, void *context)
{
    (void)sentence, (void)context;
}

static void long_texts_give_their_memory_back(void **state)
{
    (void)state;
    uint64_t before = sp__fault_blocks();
    struct sp__text text;
    sp__text_init(&text);
    add_numbers(&text, 5000);
    assert_int_equal(sp__fault_blocks(), before + 1);
    sp__text_free(&text);
    sp_set_panic_hook(ignore, NULL);
    sp__panic("%*s", 5000, "far behind");
    sp_set_panic_hook(NULL, NULL);
    assert_int_equal(sp__fault_blocks(), before);
}

static void a_text_has_all_that_was_added(void **state)
{
    (void)state;
    for (int n = 0; n < 2000; n = n < 200 ? n + 1 : n * 2) {
        struct sp__text text;
        sp__text_init(&text);
        add_numbers(&text, n);
        assert_int_equal(text.length, 2 * n);
        assert_int_equal(strlen(text.bytes), text.length);
        for (int i = 0; i < n; i++)
            assert_true(text.bytes[2 * i] == '0' + i % 10 && text.bytes[2 * i + 1] == ',');
        sp__text_free(&text);
    }
}

static void a_piece_may_be_longer_than_all_before(void **state)
{
    (void)state;
    struct sp__text text;
    sp__text_init(&text);
    sp__text_add(&text, "short, %*s", 5000, "long");
    assert_int_equal(text.length, 5007);
    assert_string_equal(text.bytes + 5003, "long");
    sp__text_free(&text);
    assert_int_equal(text.length, 0);
}

static void without_memory_a_text_ends_early(void **state)
{
    (void)state;
    for (int n = 120; n < 200; n++) {
        struct sp__text text;
        sp__text_init(&text);
        sp__fault_arm(1, true);
        add_numbers(&text, n);
        sp__fault_disarm();
        if (2 * n < (int)sizeof text.first) {
            assert_int_equal(text.length, 2 * n);
        } else {
            assert_int_equal(text.length, sizeof text.first - 1);
            assert_string_equal(text.bytes + text.length - 5, "5,...");
        }
        assert_int_equal(strlen(text.bytes), text.length);
        sp__text_free(&text);
    }
}

static void a_text_that_was_cut_stays_as_it_is(void **state)
{
    (void)state;
    struct sp__text text;
    sp__text_init(&text);
    sp__fault_arm(1, true);
    add_numbers(&text, 200);
    sp__fault_disarm();
    sp__text_add(&text, "%*s", 5000, "behind the dots");
    assert_int_equal(text.length, sizeof text.first - 1);
    assert_string_equal(text.bytes + text.length - 3, "...");
    sp__text_free(&text);
}

/* ---- what is printed, and how ---- */

static const char *program;

static void starve(void)
{
    sp__starvation("nobody moves");
}

static void *complain_when_cancelled(void *went_on)
{
    if (pthread_cancel(pthread_self()) != 0)
        abort();
    sp__os_complain("said to its end");
    *(bool *)went_on = true;
    pthread_testcancel();
    return NULL;
}

static void complain(void)
{
    bool went_on = false;
    void *how = NULL;
    if (pthread_join(test_thread(complain_when_cancelled, &went_on), &how) != 0 || how != PTHREAD_CANCELED || !went_on)
        abort();
}

static void a_report_says_what_it_is(void **state)
{
    (void)state;
    child_says(program, "starve", "spool: starvation: nobody moves\n");
}

static void a_report_is_no_place_to_be_cancelled(void **state)
{
    (void)state;
    child_says(program, "complain", "said to its end\n");
}

/* ---- reports without memory ---- */

static void panic_without_memory(void)
{
    sp__fault_arm(1, true);
    sp__panic("a long one: %*s", 3000, "end");
}

static void deadlock_without_memory(void)
{
    sp__fault_arm(1, true);
    sp__deadlock("a long one: %*s", 3000, "end");
}

static void long_panic(void)
{
    sp__panic("a long one: %*s", 3000, "end");
}

static void long_complaint(void)
{
    uint64_t before = sp__fault_blocks();
    sp__os_complain("%5000d", 7);
    must(sp__fault_blocks() == before);
}

static const struct child_case cases[] = { { "panic_without_memory", panic_without_memory },
                                           { "deadlock_without_memory", deadlock_without_memory },
                                           { "long_panic", long_panic },
                                           { "starve", starve },
                                           { "complain", complain },
                                           { "long_complaint", long_complaint } };

static void a_report_is_printed_without_memory(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "panic_without_memory", NULL);
    child_aborted(&end, "spool: a long one: ");
    child_aborted(&end, "...\n");
    end = child_run(program, "deadlock_without_memory", NULL);
    child_aborted(&end, "spool: deadlock: a long one: ");
    end = child_run(program, "long_panic", NULL);
    child_aborted(&end, " end\n");
}

static void a_long_sentence_on_stderr_gives_its_memory_back(void **state)
{
    (void)state;
    struct child_end end = child_run_well(program, "long_complaint");
    assert_true(end.length > 5000);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 2)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_texts_give_their_memory_back),
        cmocka_unit_test(a_text_has_all_that_was_added),
        cmocka_unit_test(a_piece_may_be_longer_than_all_before),
        cmocka_unit_test(without_memory_a_text_ends_early),
        cmocka_unit_test(a_report_is_printed_without_memory),
        cmocka_unit_test(a_text_that_was_cut_stays_as_it_is),
        cmocka_unit_test(a_report_says_what_it_is),
        cmocka_unit_test(a_report_is_no_place_to_be_cancelled),
        cmocka_unit_test(a_long_sentence_on_stderr_gives_its_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
