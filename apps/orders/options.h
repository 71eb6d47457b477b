/* The command line.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_OPTIONS_H
#define ORDERS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "server.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_ALL = 3, EXIT_INTERRUPTED = 130 };

enum mode { MODE_THREADS, MODE_SEQUENTIAL };

struct options {
    const char *file; /* NULL: the sample; "-": standard input */
    const char *db;
    enum mode mode;
    unsigned workers;
    struct fetch_settings fetch; /* .api NULL: the simulator */
    const char *discounts;       /* NULL: built in */
    bool json, progress, quiet;
};

struct serve_options {
    struct server_settings server;
    const char *log; /* "-": standard error */
};

/* Both end the process for --help and, with EXIT_USAGE, for what they do not understand. */
void options_parse(int argc, char **argv, struct options *ret_options);
void options_parse_serve(int argc, char **argv, struct serve_options *ret_options);

#endif
