/* One order's status, fetched by one thread, which does not keep it to itself: the simplest case of the lesson on the order
   pipeline.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct order {
    const char *id;
};
struct status {
    char text[32];
};

static sp_status fetch_order_status(const struct order *in, struct status *ret_status)
{
    sp_sleep(0.1); /* simulates I/O: the payment API is asked */
    snprintf(ret_status->text, sizeof ret_status->text, "%s: paid", in->id);
    return SP_OK;
}
SP_TASK(fetch_order_status, struct order, struct status);

int main(void)
{
    sp_auto(sp_thread) thread = sp_start(fetch_order_status, .id = "ORD-001");
    struct status status;
    if (sp_join(thread, &status, SP_FOREVER) != SP_OK)
        return 1;
    printf("%s\n", status.text);
    printf("Done\n");
    return 0;
}
