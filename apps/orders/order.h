/* An order on its way through the pipeline.

   One stage owns it at a time; putting it into a queue gives it away.  One allocation holds it, its lines and its
   strings.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_ORDER_H
#define ORDERS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORDER_ID_MAX = 64, ORDER_CUSTOMER_MAX = 254, ORDER_LINES_MAX = 1000, ORDER_REASON_SIZE = 200 };
#define ORDER_QUANTITY_MAX INT64_C(1000000)
#define ORDER_UNIT_CENTS_MAX INT64_C(1000000000000)

/* How an order ends; also the index of its counter. */
enum order_state { ORDER_PAID, ORDER_PENDING, ORDER_FAILED, ORDER_REJECTED, ORDER_UNREACHABLE };

/* The word in the table. */
const char *order_state_name(enum order_state state);
/* The payment API's word; false: it is none of paid, pending, failed. */
bool order_state_of_payment(const char *word, enum order_state *ret_state);

struct order_line {
    const char *sku;
    int64_t quantity, unit_cents;
};

struct order {
    /* set by the reader; but for order_id they count only if valid */
    char order_id[ORDER_ID_MAX + 1];
    bool valid;
    char customer[ORDER_CUSTOMER_MAX + 1];
    char currency[4];
    const char *coupon; /* NULL: none */
    int64_t subtotal_cents;
    size_t line_count;
    struct order_line *lines;
    /* set by the fetch, or by the reader for what it rejects */
    enum order_state state;
    char reason[ORDER_REASON_SIZE]; /* empty: none */
    int64_t attempts;
    /* set by the pricer */
    int64_t discount_cents, total_cents;
    const char *discount_rule; /* lent by the discounts; NULL: none */
};

enum order_parsed { ORDER_VALID, ORDER_INVALID, ORDER_MALFORMED, ORDER_NO_MEMORY };

/* Make an order of one line of input, text[length] being 0; the text may be changed.

   ORDER_VALID: *ret_order is to be fetched.  ORDER_INVALID: it is rejected, with its reason.  ORDER_MALFORMED: there
   is no order, why is in reason.  The order is the caller's to free. */
enum order_parsed order_parse(char *text, size_t length, struct order **ret_order, char reason[ORDER_REASON_SIZE]);

/* 1 to 64 of [A-Za-z0-9_-], so that it can stand in a path as it is. */
bool order_id_valid(const char *text, size_t length);

void order_free(struct order *order);

#endif
