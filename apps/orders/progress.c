/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <spool.h>

#include "report.h"

static const double interval = 0.2;

struct progress {
    struct counts *counts; /* all set once */
    bool total_known;
    uint64_t total;
    double begin;
    sp_thread *thread;
    sp_event ended;
};

static void show(const struct progress *progress)
{
    struct count_snapshot now = counts_snapshot(progress->counts);
    double seconds = sp_monotonic() - progress->begin;
    double rate = seconds > 0 ? (double)now.lines / seconds : 0;
    uint64_t errors = now.of[ORDER_REJECTED] + now.of[ORDER_UNREACHABLE] + now.of[COUNT_MALFORMED];
    char total[32] = "", left[48] = "";
    if (progress->total_known)
        snprintf(total, sizeof total, "/%" PRIu64, progress->total);
    if (progress->total_known && rate > 0 && progress->total >= now.lines)
        snprintf(left, sizeof left, ", %.0f s left", (double)(progress->total - now.lines) / rate);
    char line[200];
    snprintf(line, sizeof line, "%" PRIu64 "%s orders, %.0f/s, %" PRIu64 " in flight, %" PRIu64 " errors%s", now.lines,
             total, rate, now.in_flight, errors, left);
    report_progress(line);
}

static sp_status show_on(struct progress *const *progress, sp_none *unused)
{
    (void)unused;
    do
        show(*progress);
    while (!sp_event_wait(&(*progress)->ended, interval));
    report_progress(NULL);
    return SP_OK;
}
SP_TASK(show_on, struct progress *, sp_none);

struct progress *progress_start(struct counts *counts, bool total_known, uint64_t total)
{
    struct progress *progress = calloc(1, sizeof *progress);
    if (progress == NULL)
        return NULL;
    progress->counts = counts;
    progress->total_known = total_known;
    progress->total = total;
    progress->begin = sp_monotonic();
    progress->thread = sp_start_with(SP_THREAD(.name = "progress"), show_on, progress);
    if (progress->thread != NULL)
        return progress;
    free(progress);
    return NULL;
}

void progress_stop(struct progress *progress)
{
    if (progress == NULL)
        return;
    sp_event_set(&progress->ended);
    /* It cannot fail: the thread is not this one, and the wait has no end. */
    if (sp_thread_wait(progress->thread, SP_FOREVER) != SP_OK)
        abort();
    sp_thread_release(progress->thread);
    free(progress);
}
