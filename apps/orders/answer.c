/* The rule behind the table: an order may only be condemned by an answer that is certainly the payment API's, and about
   this order.  Everything else is somebody's fault but the order's.

   SPDX-License-Identifier: MIT */
#include "answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void set_reason(struct answer *answer, enum verdict verdict, const char *reason)
{
    answer->verdict = verdict;
    snprintf(answer->reason, sizeof answer->reason, "%s", reason);
}

/* A 200. */
static void judge_payment(struct answer *answer, const json_t *root, const char *order_id)
{
    const char *id = json_string_value(json_object_get(root, "order_id")),
               *status = json_string_value(json_object_get(root, "status"));
    if (id == NULL || status == NULL) {
        set_reason(answer, VERDICT_RETRY, "HTTP 200 without a payment status");
    } else if (strcmp(id, order_id) != 0) {
        set_reason(answer, VERDICT_GIVE_UP, "the answer is about another order");
    } else if (!order_state_of_payment(status, &answer->state)) {
        set_reason(answer, VERDICT_RETRY, "HTTP 200 with an unknown payment status");
    } else {
        set_reason(answer, VERDICT_STATE, "");
    }
}

void answer_judge(struct answer *answer, long http_status, const char *body, size_t length, const char *order_id)
{
    json_t *root = NULL;
    if (http_status == 200 || http_status == 404)
        root = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
    if (http_status == 200) {
        judge_payment(answer, root, order_id);
    } else if (http_status == 404 && json_is_object(root)) {
        answer->state = ORDER_REJECTED;
        set_reason(answer, VERDICT_STATE, "unknown to the payment API");
    } else {
        bool retry = http_status == 408 || http_status == 429 || (http_status >= 500 && http_status <= 599);
        answer->verdict = retry ? VERDICT_RETRY : VERDICT_GIVE_UP;
        snprintf(answer->reason, sizeof answer->reason, "HTTP %ld%s", http_status,
                 http_status == 404 ? " without JSON: is --api right?" : "");
    }
    json_decref(root);
}

void answer_none(struct answer *answer, bool worth_retrying, const char *why)
{
    set_reason(answer, worth_retrying ? VERDICT_RETRY : VERDICT_GIVE_UP, why);
}
