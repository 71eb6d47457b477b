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

static sp_lock lock;
static int asking, most; /* orders at the API at a time, now and at most; guarded by the lock */

/* Simulates the wait for the API. */
static void ask(double seconds)
{
    SP_WITH(&lock)
    {
        asking++;
        most = asking > most ? asking : most;
    }
    sp_sleep(seconds);
    SP_WITH(&lock) asking--;
}

static sp_status fetch_order_status(const struct order *order, status_text *ret)
{
    static const struct {
        const char *id;
        status_text status;
    } known[] = { { "ORD-001", "paid" }, { "ORD-002", "pending" }, { "ORD-003", "failed" } };
    ask(order->seconds);
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
    printf("One by one it took %.2f seconds, %s at a time\n", sp_monotonic() - begin, most == 1 ? "one" : "several");

    begin = sp_monotonic();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = ORDERS);
    if (sp_map(pool, fetch_order_status, orders, at_once, ORDERS) != SP_OK)
        return 1;
    printf("At once it took %.2f seconds, %s at a time\n", sp_monotonic() - begin, most == 1 ? "one" : "several");

    for (int i = 0; i < ORDERS; i++)
        printf("%s: %s, %s\n", orders[i].id, one_by_one[i], at_once[i]);
    return 0;
}
