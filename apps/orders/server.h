/* The simulated payment API over HTTP, on 127.0.0.1.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_SERVER_H
#define ORDERS_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "simulate.h"

struct server_settings {
    uint16_t port;                   /* 0: a free one */
    double latency_min, latency_max; /* seconds */
    struct plan_settings plan;
    int log; /* descriptor that is told of every request; -1: none */
};

/* A free port, 400-600 ms, no failures, no log. */
struct server_settings server_defaults(void);

struct server;

/* NULL: why is in error. */
struct server *server_start(const struct server_settings *settings, char *error, size_t error_size);
const char *server_url(const struct server *server);
/* Answer what is waiting at once, and end. */
void server_stop(struct server *server);

#endif
