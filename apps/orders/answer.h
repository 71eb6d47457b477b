/* What an answer of the payment API means for an order.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_ANSWER_H
#define ORDERS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "order.h"

enum verdict {
    VERDICT_STATE,   /* it has a state: paid, pending, failed, or rejected because it is unknown there */
    VERDICT_RETRY,   /* no usable answer; another attempt may get one */
    VERDICT_GIVE_UP, /* no usable answer, and none to be expected */
};

struct answer {
    enum verdict verdict;
    enum order_state state;         /* for VERDICT_STATE */
    double retry_after;             /* seconds the API asks to wait; negative: it does not say */
    char reason[ORDER_REASON_SIZE]; /* empty for paid, pending, failed */
};

/* Judge an HTTP answer about order_id.  The body need not end in 0.  retry_after is left to the caller. */
void answer_judge(struct answer *answer, long http_status, const char *body, size_t length, const char *order_id);

/* Judge a request that got no whole answer. */
void answer_none(struct answer *answer, bool worth_retrying, const char *why);

#endif
