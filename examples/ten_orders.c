/* The statuses of ten orders from a payment API that takes half a second for each: one by one, then at once.  The before and
   after of the lesson on the order pipeline.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <string.h>

enum { ORDERS = 10 };

struct order {
    char id[16];
    double seconds; /* that the API takes */
};
typedef const char *status_text;

static sp_status fetch_order_status(const struct order *order, status_text *ret)
{
    static const struct {
        const char *id;
        status_text status;
    } known[] = { { "ORD-001", "paid" }, { "ORD-002", "pending" }, { "ORD-003", "failed" } };
    sp_sleep(order->seconds); /* simulates I/O */
    *ret = "unknown";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].id, order->id) == 0)
            *ret = known[i].status;
    return SP_OK;
}
SP_TASK(fetch_order_status, struct order, status_text);

int main(void)
{
    struct order orders[ORDERS];
    for (int i = 0; i < ORDERS; i++) {
        snprintf(orders[i].id, sizeof orders[i].id, "ORD-%03d", i + 1);
        orders[i].seconds = 0.04 + 0.02 * i / ORDERS; /* a tenth of the document's 400 to 600 ms */
    }

    status_text one_by_one[ORDERS], at_once[ORDERS];
    double begin = sp_monotonic();
    for (int i = 0; i < ORDERS; i++)
        if (fetch_order_status(&orders[i], &one_by_one[i]) != SP_OK)
            return 1;
    double before = sp_monotonic() - begin;

    begin = sp_monotonic();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = ORDERS);
    if (sp_map(pool, fetch_order_status, orders, at_once, ORDERS) != SP_OK)
        return 1;
    double after = sp_monotonic() - begin;

    for (int i = 0; i < ORDERS; i++)
        printf("%s: %s, %s\n", orders[i].id, one_by_one[i], at_once[i]);
    printf("One by one it took %.2f seconds, at once %.2f: %s\n", before, after,
           after < before / 2 ? "less than half" : "no gain");
    return 0;
}
