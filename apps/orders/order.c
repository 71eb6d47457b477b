/* The states of an order, and its end.

   SPDX-License-Identifier: MIT */
#include "order.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = { [ORDER_PAID] = "paid",
                                           [ORDER_PENDING] = "pending",
                                           [ORDER_FAILED] = "failed",
                                           [ORDER_REJECTED] = "rejected",
                                           [ORDER_UNREACHABLE] = "unreachable" };

const char *order_state_name(enum order_state state)
{
    return state_names[state];
}

bool order_state_of_payment(const char *word, enum order_state *ret_state)
{
    for (enum order_state state = ORDER_PAID; state <= ORDER_FAILED; state++) {
        if (strcmp(word, state_names[state]) == 0) {
            *ret_state = state;
            return true;
        }
    }
    return false;
}

void order_free(struct order *order)
{
    free(order);
}
