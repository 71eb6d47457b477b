/* What the simulated payment API answers: a pure function of seed, order id and attempt.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_SIMULATE_H
#define ORDERS_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

/* With this seed ORD-002 of the sample is pending, ORD-003 failed and the others paid. */
#define SIMULATE_SEED 897
#define SIMULATE_SEED_TEXT "897"

struct plan_settings {
    uint64_t seed;
    double fail_rate; /* of attempts, 0 to 1 */
};

enum plan_kind {
    PLAN_STATUS,      /* 200 with a payment status */
    PLAN_UNKNOWN,     /* 404 with a JSON object */
    PLAN_UNAVAILABLE, /* from here on: failures; 503 */
    PLAN_ERROR,       /* 500 */
    PLAN_TOO_MANY,    /* 429 */
    PLAN_CUT,         /* 200 with half of the JSON */
    PLAN_CLOSE,       /* the connection is closed */
    PLAN_KINDS
};

struct plan {
    enum plan_kind kind;
    const char *status; /* for PLAN_STATUS and PLAN_CUT */
    double wait;        /* in [0, 1): where between least and greatest latency */
};

struct plan simulate(const struct plan_settings *settings, const char *order_id, unsigned attempt);

/* "503", "paid", ...: for the log. */
const char *plan_name(const struct plan *plan);

#endif
