/* What an order costs.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_PRICE_H
#define ORDERS_PRICE_H

#include "discounts.h"
#include "order.h"

/* Fill in discount_cents, discount_rule and total_cents of a valid order: the one rule that saves most, the first of
   equals; none if none saves anything. */
void price_order(const struct discounts *discounts, struct order *order);

#endif
