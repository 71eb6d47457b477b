/* Lines, counters, the simulator's decisions, its table of attempts, the delay.

   SPDX-License-Identifier: MIT */
#include "unit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "attempts.h"
#include "counts.h"
#include "delay.h"
#include "lines.h"
#include "simulate.h"

/* A pipe that holds the text and has ended; small texts only. */
static int pipe_with(const char *text)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    close(ends[1]);
    return ends[0];
}

static void lines_of_a_pipe(void **state)
{
    (void)state;
    int descriptor = pipe_with("one\n\nthree\r\nlast");
    struct lines lines;
    assert_true(lines_open(&lines, descriptor, -1));
    static const char *const expected[] = { "one", "", "three\r", "last" };
    char *text;
    size_t length;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(lines_next(&lines, &text, &length), LINE_OK);
        assert_string_equal(text, expected[i]);
        assert_int_equal(length, strlen(expected[i]));
    }
    assert_int_equal(lines_next(&lines, &text, &length), LINE_END);
    assert_int_equal(lines_next(&lines, &text, &length), LINE_END);
    lines_close(&lines);
    close(descriptor);
}

static void line_limit_is_1_mib(void **state)
{
    (void)state;
    char path[] = "/tmp/orders-lines-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    unlink(path);
    FILE *file = fdopen(dup(descriptor), "w");
    const size_t sizes[] = { LINE_MAX_BYTES, LINE_MAX_BYTES + 1, 3, 3 * LINE_MAX_BYTES, 4 };
    const enum line_status expected[] = { LINE_OK, LINE_TOO_LONG, LINE_OK, LINE_TOO_LONG, LINE_OK };
    for (size_t i = 0; i < 5; i++) {
        for (size_t n = 0; n < sizes[i]; n++)
            putc('x', file);
        putc('\n', file);
    }
    fclose(file);
    assert_int_equal(lseek(descriptor, 0, SEEK_SET), 0);
    struct lines lines;
    assert_true(lines_open(&lines, descriptor, -1));
    char *text;
    size_t length;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(lines_next(&lines, &text, &length), expected[i]);
        if (expected[i] == LINE_OK)
            assert_int_equal(length, sizes[i]);
    }
    assert_int_equal(lines_next(&lines, &text, &length), LINE_END);
    lines_close(&lines);
    uint64_t count;
    assert_int_equal(lseek(descriptor, 0, SEEK_SET), 0);
    assert_true(lines_open(&lines, descriptor, -1));
    assert_true(lines_count_rest(&lines, &count));
    assert_int_equal(count, 5);
    lines_close(&lines);
    close(descriptor);
}

static void a_stop_ends_the_wait_for_a_line(void **state)
{
    (void)state;
    int input[2], stop = pipe_with("x");
    assert_int_equal(pipe(input), 0);
    struct lines lines;
    assert_true(lines_open(&lines, input[0], stop));
    char *text;
    size_t length;
    assert_int_equal(lines_next(&lines, &text, &length), LINE_STOPPED);
    uint64_t count;
    assert_false(lines_count_rest(&lines, &count));
    lines_close(&lines);
    close(input[0]);
    close(input[1]);
    close(stop);
}

static void latencies_within_2_percent(void **state)
{
    (void)state;
    struct counts *counts = calloc(1, sizeof *counts);
    assert_non_null(counts);
    assert_true(counts_latency_ms(counts, 0.5) == 0);
    for (int ms = 1; ms <= 1000; ms++) {
        counts_request_begin(counts);
        counts_request_end(counts, ms / 1000.0);
    }
    double p50 = counts_latency_ms(counts, 0.5), p99 = counts_latency_ms(counts, 0.99);
    assert_true(p50 > 490 && p50 < 510);
    assert_true(p99 > 970 && p99 < 1010);
    counts_request_begin(counts);
    counts_request_end(counts, 1e12); /* more than any bucket holds */
    counts_request_begin(counts);
    counts_request_end(counts, -1);
    free(counts);
}

static void simulator_is_a_function(void **state)
{
    (void)state;
    const struct plan_settings settings = { .seed = 5, .fail_rate = 0.3 };
    unsigned failures = 0;
    for (int i = 0; i < 10000; i++) {
        char id[20];
        snprintf(id, sizeof id, "ORD-%d", i);
        struct plan first = simulate(&settings, id, 0), again = simulate(&settings, id, 0),
                    second = simulate(&settings, id, 1);
        assert_int_equal(first.kind, again.kind);
        assert_true(first.wait >= 0 && first.wait < 1 && !(first.wait < again.wait) && !(first.wait > again.wait));
        assert_string_equal(first.status, second.status);
        failures += first.kind >= PLAN_UNAVAILABLE;
    }
    assert_in_range(failures, 2800, 3200);
    assert_int_equal(simulate(&(struct plan_settings){ .seed = 5 }, "UNKNOWN-1", 0).kind, PLAN_UNKNOWN);
}

static void attempts_are_counted_and_forgotten(void **state)
{
    (void)state;
    struct attempts *attempts = calloc(1, sizeof *attempts);
    assert_non_null(attempts);
    char id[20];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(id, sizeof id, "A%u", i);
        assert_int_equal(attempts_of(attempts, id), 0);
        attempts_note(attempts, id, i + 1);
    }
    for (unsigned i = 0; i < 10000; i += 2) {
        snprintf(id, sizeof id, "A%u", i);
        attempts_note(attempts, id, 0);
    }
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(id, sizeof id, "A%u", i);
        assert_int_equal(attempts_of(attempts, id), i % 2 == 0 ? 0 : i + 1);
    }
    attempts_clear(attempts);
    free(attempts);
}

enum { DELAYED = 500 };
static atomic_uint fired; /* relaxed: read after the delay's thread has ended */
static sp_event all_fired;
static double due_of[DELAYED], fired_at[DELAYED];

static void fire(void *item)
{
    size_t index = (size_t)((double *)item - due_of);
    fired_at[index] = sp_monotonic();
    if (atomic_fetch_add_explicit(&fired, 1, memory_order_relaxed) + 1 == DELAYED)
        sp_event_set(&all_fired);
}

static void delayed_things_fire_once_and_not_early(void **state)
{
    (void)state;
    struct delay *delay = delay_start(fire);
    assert_non_null(delay);
    double now = sp_monotonic();
    for (size_t i = 0; i < DELAYED; i++) {
        due_of[i] = now + (double)(i * 7919 % DELAYED) / 2000;
        assert_true(delay_add(delay, &due_of[i], due_of[i]));
    }
    assert_true(sp_event_wait(&all_fired, 30));
    for (size_t i = 0; i < DELAYED; i++)
        assert_true(fired_at[i] >= due_of[i]);
    due_of[0] = sp_monotonic() + 1000;
    assert_true(delay_add(delay, &due_of[0], due_of[0]));
    delay_finish(delay);
    assert_true(delay_add(delay, &due_of[1], sp_monotonic() + 1000));
    assert_int_equal(atomic_load_explicit(&fired, memory_order_relaxed), DELAYED + 2);
    delay_free(delay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_pipe),
        cmocka_unit_test(line_limit_is_1_mib),
        cmocka_unit_test(a_stop_ends_the_wait_for_a_line),
        cmocka_unit_test(latencies_within_2_percent),
        cmocka_unit_test(simulator_is_a_function),
        cmocka_unit_test(attempts_are_counted_and_forgotten),
        cmocka_unit_test(delayed_things_fire_once_and_not_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
