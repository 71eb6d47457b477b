/* One client of the payment API: libcurl with one connection, kept from request to request.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_PAYMENT_H
#define ORDERS_PAYMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "answer.h"

enum { PAYMENT_BODY_MAX = 64 * 1024 };

/* Is the URL one that can be asked: http or https, a host, no query, no fragment?  If not, why is in error. */
bool payment_url_valid(const char *url, char *error, size_t error_size);

struct payment; /* one thread only */

/* api must live as long; timeout in seconds is for a whole request.  NULL: no memory. */
struct payment *payment_open(const char *api, double timeout);
/* Ask about one order.  Blocks up to the timeout. */
void payment_ask(struct payment *payment, const char *order_id, struct answer *ret_answer);
void payment_close(struct payment *payment);

#endif
