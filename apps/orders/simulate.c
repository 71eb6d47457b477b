/* SPDX-License-Identifier: MIT */
#include "simulate.h"

#include <stdbool.h>
#include <string.h>

#include "random.h"

static uint64_t hash_id(uint64_t seed, const char *order_id)
{
    uint64_t hash = seed;
    for (; *order_id != '\0'; order_id++) {
        hash ^= (unsigned char)*order_id;
        hash = random_next(&hash);
    }
    return hash;
}

struct plan simulate(const struct plan_settings *settings, const char *order_id, unsigned attempt)
{
    /* The state comes first, before the attempt is mixed in: it must be the same on every attempt and every rerun. */
    uint64_t of_order = hash_id(settings->seed, order_id);
    double dice = random_unit(&of_order);
    struct plan plan = { .kind = PLAN_STATUS, .status = dice < 0.8 ? "paid" : dice < 0.92 ? "pending" : "failed" };
    uint64_t of_attempt = of_order ^ (attempt * UINT64_C(0xD1342543DE82EF95));
    plan.wait = random_unit(&of_attempt);
    bool fails = random_unit(&of_attempt) < settings->fail_rate;
    if (fails)
        plan.kind = (enum plan_kind)(PLAN_UNAVAILABLE + random_next(&of_attempt) % (PLAN_KINDS - PLAN_UNAVAILABLE));
    else if (strncmp(order_id, "UNKNOWN", 7) == 0)
        plan.kind = PLAN_UNKNOWN;
    return plan;
}

const char *plan_name(const struct plan *plan)
{
    static const char *const names[PLAN_KINDS] = {
        [PLAN_UNKNOWN] = "404",  [PLAN_UNAVAILABLE] = "503", [PLAN_ERROR] = "500",
        [PLAN_TOO_MANY] = "429", [PLAN_CUT] = "cut",         [PLAN_CLOSE] = "close"
    };
    return plan->kind == PLAN_STATUS ? plan->status : names[plan->kind];
}
