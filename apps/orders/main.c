/* orders: one run, from the command line to the exit status.

   Everything is opened here, in an order that leaves nothing behind if something is wrong: discounts and input are read
   before the database is made.

   SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spool.h>

#include "options.h"
#include "pipeline.h"
#include "progress.h"
#include "report.h"
#include "serve.h"
#include "stop.h"
#include "summary.h"

/* What a run has opened; NULL and zero: not yet. */
struct run {
    struct options options;
    struct discounts *discounts;
    struct reader reader;
    struct writer writer;
    struct server *server;
    struct counts counts;
};

static bool open_discounts(struct run *run, char *error, size_t error_size)
{
    snprintf(error, error_size, "no memory for the discounts");
    run->discounts = run->options.discounts != NULL ? discounts_load(run->options.discounts, error, error_size)
                                                    : discounts_builtin();
    return run->discounts != NULL;
}

/* The reader's handle and the writer's. */
static bool open_stores(struct run *run, char *error, size_t error_size)
{
    char why[256] = "";
    run->reader.store = store_open(run->options.db, why, sizeof why);
    if (run->reader.store != NULL)
        run->writer.store = store_open(run->options.db, why, sizeof why);
    if (run->writer.store == NULL)
        snprintf(error, error_size, "cannot write to %s: %s", run->options.db, why);
    return run->writer.store != NULL;
}

static bool open_api(struct run *run, char *error, size_t error_size)
{
    if (run->options.fetch.api != NULL)
        return true;
    struct server_settings settings = server_defaults();
    run->server = server_start(&settings, error, error_size);
    if (run->server != NULL)
        run->options.fetch.api = server_url(run->server);
    return run->server != NULL;
}

static bool open_run(struct run *run, char *error, size_t error_size)
{
    if (!open_discounts(run, error, error_size) || !reader_open(&run->reader, run->options.file, error, error_size))
        return false;
    run->reader.counts = run->writer.counts = &run->counts;
    return open_stores(run, error, error_size) && open_api(run, error, error_size);
}

static void close_run(struct run *run)
{
    server_stop(run->server);
    store_close(run->writer.store);
    store_close(run->reader.store);
    reader_close(&run->reader);
    discounts_free(run->discounts);
}

/* How long it took. */
static double process(struct run *run)
{
    uint64_t total = 0;
    bool total_known = run->options.progress && reader_total(&run->reader, &total);
    struct progress *progress = run->options.progress ? progress_start(&run->counts, total_known, total) : NULL;
    const struct pipeline_parts parts = { .reader = &run->reader,
                                          .fetch = &run->options.fetch,
                                          .discounts = run->discounts,
                                          .writer = &run->writer,
                                          .counts = &run->counts };
    double begin = sp_monotonic();
    if (run->options.mode == MODE_THREADS)
        pipeline_threads(&parts, run->options.workers);
    else
        pipeline_sequential(&parts);
    double seconds = sp_monotonic() - begin;
    progress_stop(progress);
    return seconds;
}

static void report_left(struct run *run)
{
    uint64_t left = counts_snapshot(&run->counts).of[COUNT_LEFT], rest;
    const char *name = run->reader.name;
    uint64_t at = run->reader.line_number;
    if (reader_rest(&run->reader, &rest))
        report("orders: interrupted at %s:%" PRIu64 ", %" PRIu64 " orders are left; the same command does the rest",
               name, at, left + rest);
    else
        report("orders: interrupted at %s:%" PRIu64 ", %" PRIu64 " orders read and what was not read are left", name,
               at, left);
}

static int end_run(struct run *run, double seconds)
{
    if (!run->options.quiet)
        summary_report(&run->counts, seconds);
    if (stop_interrupted())
        report_left(run);
    bool told = !run->options.json || summary_json(&run->counts, seconds);
    if (!told)
        report("orders: cannot write to standard output: %s", strerror(errno));
    if (stop_failure() != NULL)
        report("orders: %s", stop_failure());
    struct count_snapshot end = counts_snapshot(&run->counts);
    if (stop_failure() != NULL || !told)
        return EXIT_FAILED;
    if (stop_interrupted())
        return EXIT_INTERRUPTED;
    return end.of[ORDER_REJECTED] + end.of[ORDER_UNREACHABLE] + end.of[COUNT_MALFORMED] > 0 ? EXIT_NOT_ALL : 0;
}

static int run_main(int argc, char **argv)
{
    struct run run = { .reader = { .descriptor = -1 } };
    options_parse(argc, argv, &run.options);
    if (!stop_watch("orders: finishing the requests in flight; Ctrl-C again ends at once")) {
        report("orders: cannot take signals: %s", strerror(errno));
        return EXIT_FAILED;
    }
    char error[1024];
    int status = EXIT_FAILED;
    if (open_run(&run, error, sizeof error))
        status = end_run(&run, process(&run));
    else
        report("orders: %s", error);
    close_run(&run);
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    /* Few arenas: workers allocate little, and memory must not depend on how many of them there are. */
    mallopt(M_ARENA_MAX, 2);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        report("orders: cannot set up libcurl");
        return EXIT_FAILED;
    }
    int status;
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        static char name[] = "orders serve";
        argv[1] = name;
        status = serve_main(argc - 1, argv + 1);
    } else {
        status = run_main(argc, argv);
    }
    sp_join_all(SP_FOREVER);
    curl_global_cleanup();
    return status;
}
