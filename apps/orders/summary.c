/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#include "report.h"

static const char *const names[COUNT_LEFT] = {
    [ORDER_PAID] = "paid",         [ORDER_PENDING] = "pending",         [ORDER_FAILED] = "failed",
    [ORDER_REJECTED] = "rejected", [ORDER_UNREACHABLE] = "unreachable", [COUNT_DUPLICATES] = "duplicates",
    [COUNT_SKIPPED] = "skipped",   [COUNT_MALFORMED] = "malformed"
};

static long max_rss_kib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

static double per_second(uint64_t orders, double seconds)
{
    return seconds > 0 ? (double)orders / seconds : 0;
}

void summary_report(struct counts *counts, double seconds)
{
    struct count_snapshot end = counts_snapshot(counts);
    char line[400];
    int at = snprintf(line, sizeof line, "%" PRIu64 " orders in %.2f s (%.1f/s)", end.orders, seconds,
                      per_second(end.orders, seconds));
    for (unsigned kind = 0; kind < COUNT_LEFT; kind++) {
        if (end.of[kind] > 0)
            at += snprintf(line + at, sizeof line - (size_t)at, ", %" PRIu64 " %s", end.of[kind], names[kind]);
    }
    report("%s", line);
    if (counts_latency_ms(counts, 1) > 0)
        report("payment API: half of the answers within %.0f ms, 99%% within %.0f ms; peak memory %ld KiB",
               counts_latency_ms(counts, 0.5), counts_latency_ms(counts, 0.99), max_rss_kib());
}

static double round_to(double value, double step)
{
    return round(value / step) * step;
}

static bool add_numbers(json_t *root, struct counts *counts, double seconds)
{
    struct count_snapshot end = counts_snapshot(counts);
    int failed = json_object_set_new(root, "orders", json_integer((json_int_t)end.orders));
    for (unsigned kind = 0; kind < COUNT_LEFT; kind++)
        failed |= json_object_set_new(root, names[kind], json_integer((json_int_t)end.of[kind]));
    failed |= json_object_set_new(root, "seconds", json_real(round_to(seconds, 1e-3)));
    failed |= json_object_set_new(root, "orders_per_second",
                                  json_real(round_to(per_second(end.orders, seconds), 1e-1)));
    failed |= json_object_set_new(root, "fetch_p50_ms", json_real(round_to(counts_latency_ms(counts, 0.5), 1e-2)));
    failed |= json_object_set_new(root, "fetch_p99_ms", json_real(round_to(counts_latency_ms(counts, 0.99), 1e-2)));
    failed |= json_object_set_new(root, "max_rss_kib", json_integer(max_rss_kib()));
    return failed == 0;
}

bool summary_json(struct counts *counts, double seconds)
{
    json_t *root = json_object();
    bool written = root != NULL && add_numbers(root, counts, seconds) &&
                   json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(8)) == 0 &&
                   fputs("\n", stdout) != EOF && fflush(stdout) == 0;
    json_decref(root);
    return written;
}
