/* Ten thousand threads at once, each with a stack of 64 KiB.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"

static uint32_t asleep, most; /* atomic */

static sp_status sleep_half_a_second(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    uint32_t now = sp__add_seq_cst(&asleep, 1) + 1, seen = sp__load_seq_cst(&most);
    while (now > seen && !sp__cas_seq_cst(&most, &seen, now))
        continue;
    sp_sleep(0.5);
    sp__sub_seq_cst(&asleep, 1);
    return SP_OK;
}
SP_TASK(sleep_half_a_second, sp_none, sp_none);

static long resident_kib(void)
{
    char line[200];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib;
}

static void ten_thousand_sleepers(void **state)
{
    (void)state;
    long n = test_count(10000);
    sp_thread **threads = calloc((size_t)n, sizeof *threads);
    assert_non_null(threads);
    double begin = sp_monotonic();
    for (long i = 0; i < n; i++) {
        threads[i] = sp_start_with(SP_THREAD(.stack_size = 64 * 1024), sleep_half_a_second);
        assert_non_null(threads[i]);
    }
    for (long i = 0; i < n; i++) {
        assert_int_equal(sp_join(threads[i], NULL, SP_FOREVER), SP_OK);
        sp_thread_release(threads[i]);
    }
    printf("%ld threads: %.2f s, up to %u at once, %ld KiB resident at most\n", n, sp_monotonic() - begin,
           sp__load_seq_cst(&most), resident_kib());
    assert_int_equal(sp__load_seq_cst(&asleep), 0);
    assert_int_equal(sp_thread_active_count(), 1);
    free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ten_thousand_sleepers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
