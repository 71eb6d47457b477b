/* Pricing cannot overflow: a sku's lines are a part of the subtotal, which the validation has found to fit.

   SPDX-License-Identifier: MIT */
#include "price.h"

#include <stdbool.h>
#include <string.h>

#include "money.h"

/* The amount that the rule takes its percentage of; 0 if it does not apply. */
static int64_t amount_of_rule(const struct discount_rule *rule, const struct order *order)
{
    if (rule->coupon != NULL && (order->coupon == NULL || strcmp(rule->coupon, order->coupon) != 0))
        return 0;
    if (order->subtotal_cents < rule->min_subtotal_cents)
        return 0;
    if (rule->sku == NULL)
        return order->subtotal_cents;
    int64_t amount = 0, quantity = 0;
    for (size_t i = 0; i < order->line_count; i++) {
        const struct order_line *line = &order->lines[i];
        if (strcmp(line->sku, rule->sku) == 0) {
            amount += line->quantity * line->unit_cents;
            quantity += line->quantity;
        }
    }
    return quantity >= rule->min_quantity ? amount : 0;
}

void price_order(const struct discounts *discounts, struct order *order)
{
    order->discount_cents = 0;
    order->discount_rule = NULL;
    for (size_t i = 0; i < discounts_count(discounts); i++) {
        const struct discount_rule *rule = discounts_rule(discounts, i);
        int64_t saved = money_percent(amount_of_rule(rule, order), rule->percent);
        if (saved > order->discount_cents) {
            order->discount_cents = saved;
            order->discount_rule = rule->name;
        }
    }
    order->total_cents = order->subtotal_cents - order->discount_cents;
}
