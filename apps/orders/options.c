/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "payment.h"
#include "store.h"

enum option_key {
    KEY_API = 256,
    KEY_DB,
    KEY_MODE,
    KEY_WORKERS,
    KEY_TIMEOUT,
    KEY_RETRIES,
    KEY_DISCOUNTS,
    KEY_JSON,
    KEY_PROGRESS,
    KEY_QUIET,
    KEY_PORT,
    KEY_LATENCY,
    KEY_FAIL_RATE,
    KEY_SEED,
    KEY_LOG
};

/* A number within bounds, or the end of the program. */
static uint64_t take_integer(struct argp_state *state, const char *name, const char *text, uint64_t least,
                             uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most)
        argp_error(state, "%s must be an integer from %llu to %llu, not \"%s\"", name, (unsigned long long)least,
                   (unsigned long long)most, text);
    return value;
}

static double take_number(struct argp_state *state, const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        argp_error(state, "%s must be a number from %g to %g, not \"%s\"", name, least, most, text);
    return value;
}

static void take_url(struct argp_state *state, const char *name, const char *url,
                     bool (*valid)(const char *url, char *error, size_t error_size))
{
    char error[512];
    if (!valid(url, error, sizeof error))
        argp_error(state, "%s: %s", name, error);
}

static enum mode take_mode(struct argp_state *state, const char *text)
{
    if (strcmp(text, "sequential") != 0 && strcmp(text, "threads") != 0)
        argp_error(state, "--mode must be sequential or threads, not \"%s\"", text);
    return strcmp(text, "sequential") == 0 ? MODE_SEQUENTIAL : MODE_THREADS;
}

static error_t take_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case KEY_API:
        take_url(state, "--api", arg, payment_url_valid);
        options->fetch.api = arg;
        break;
    case KEY_DB:
        take_url(state, "--db", arg, store_knows);
        options->db = arg;
        break;
    case KEY_MODE:
        options->mode = take_mode(state, arg);
        break;
    case KEY_WORKERS:
        options->workers = (unsigned)take_integer(state, "--workers", arg, 1, 1000);
        break;
    case KEY_TIMEOUT:
        options->fetch.timeout = take_number(state, "--timeout", arg, 0.001, 3600);
        break;
    case KEY_RETRIES:
        options->fetch.retries = (unsigned)take_integer(state, "--retries", arg, 0, 100);
        break;
    case KEY_DISCOUNTS:
        options->discounts = arg;
        break;
    case KEY_JSON:
        options->json = true;
        break;
    case KEY_PROGRESS:
        options->progress = true;
        break;
    case KEY_QUIET:
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        if (options->file != NULL)
            argp_error(state, "one FILE only, \"%s\" is too many", arg);
        options->file = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option run_table[] = {
    { "api", KEY_API, "URL", 0, "The payment API (default: a simulator inside, 400-600 ms an answer)", 0 },
    { "db", KEY_DB, "URL", 0, "Where rows go: sqlite:FILE (default: sqlite:orders.db)", 0 },
    { "mode", KEY_MODE, "MODE", 0, "threads (default), or sequential: one order at a time", 0 },
    { "workers", KEY_WORKERS, "N", 0, "How many requests may be in flight, 1 to 1000 (default: 32)", 0 },
    { "timeout", KEY_TIMEOUT, "SECONDS", 0, "Of one request (default: 10)", 0 },
    { "retries", KEY_RETRIES, "N", 0, "Attempts after the first, if there is no usable answer (default: 5)", 0 },
    { "discounts", KEY_DISCOUNTS, "FILE", 0, "Discount rules (default: built in)", 0 },
    { "json", KEY_JSON, NULL, 0, "Print the numbers as one JSON object on standard output", 0 },
    { "progress", KEY_PROGRESS, NULL, 0, "Show how far it is (default when standard error is a terminal)", 0 },
    { "quiet", KEY_QUIET, NULL, 0, "Say only what went wrong", 0 },
    { 0 },
};

void options_parse(int argc, char **argv, struct options *ret_options)
{
    static const char doc[] =
        "Reads orders (JSON Lines), asks a payment API about each, applies discounts and writes one row per order."
        "\vFILE: one order a line; \"-\" is standard input; without FILE ten sample orders.  A rerun leaves paid and "
        "failed orders alone and asks for the others again.  Ctrl-C finishes what is in flight; a second one does not."
        "\n\nExit status: 0; 1 the run could not go on; 2 usage; 3 an order is rejected or unreachable, or a line was "
        "malformed; 130 interrupted."
        "\n\n`orders serve --help' is about the simulated payment API.";
    static const struct argp argp = {
        .options = run_table, .parser = take_option, .args_doc = "[FILE]\nserve", .doc = doc
    };
    *ret_options = (struct options){ .db = "sqlite:orders.db",
                                     .workers = 32,
                                     .fetch = { .timeout = 10, .retries = 5 },
                                     .progress = isatty(STDERR_FILENO) };
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, ret_options);
    ret_options->progress &= !ret_options->quiet;
}

/* MIN-MAX or one number, in milliseconds. */
static void take_latency(struct argp_state *state, char *text, struct server_settings *server)
{
    char *dash = strchr(text, '-');
    if (dash != NULL)
        *dash = '\0';
    server->latency_min = (double)take_integer(state, "--latency", text, 0, 600000) / 1000;
    server->latency_max = server->latency_min;
    if (dash != NULL)
        server->latency_max = (double)take_integer(state, "--latency", dash + 1, 0, 600000) / 1000;
    if (server->latency_max < server->latency_min)
        argp_error(state, "--latency must be MIN-MAX in milliseconds, the smaller first");
}

static error_t take_serve_option(int key, char *arg, struct argp_state *state)
{
    struct serve_options *options = state->input;
    switch (key) {
    case KEY_PORT:
        options->server.port = (uint16_t)take_integer(state, "--port", arg, 0, 65535);
        break;
    case KEY_LATENCY:
        take_latency(state, arg, &options->server);
        break;
    case KEY_FAIL_RATE:
        options->server.plan.fail_rate = take_number(state, "--fail-rate", arg, 0, 1);
        break;
    case KEY_SEED:
        options->server.plan.seed = take_integer(state, "--seed", arg, 0, UINT64_MAX);
        break;
    case KEY_LOG:
        options->log = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "serve takes no FILE, \"%s\" is too many", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option serve_table[] = {
    { "port", KEY_PORT, "N", 0, "The port on 127.0.0.1 (default: a free one)", 0 },
    { "latency", KEY_LATENCY, "MIN-MAX", 0, "Milliseconds an answer takes (default: 400-600)", 0 },
    { "fail-rate", KEY_FAIL_RATE, "F", 0, "Fraction of attempts that fail, 0 to 1 (default: 0)", 0 },
    { "seed", KEY_SEED, "S", 0,
      "Answers are a function of seed, order id and attempt (default: " SIMULATE_SEED_TEXT ")", 0 },
    { "log", KEY_LOG, "FILE", 0, "One line for each request, appended (default: standard error)", 0 },
    { 0 },
};

void options_parse_serve(int argc, char **argv, struct serve_options *ret_options)
{
    static const char doc[] = "Simulates the payment API: prints its URL and answers GET /orders/ID until Ctrl-C."
                              "\vAn ID that begins with UNKNOWN is not known to it.";
    static const struct argp argp = { .options = serve_table, .parser = take_serve_option, .args_doc = "", .doc = doc };
    *ret_options = (struct serve_options){ .server = server_defaults(), .log = "-" };
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, ret_options);
}
