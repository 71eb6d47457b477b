/* The prices of three stocks, asked for at once: the thread pool of the lesson that compares threads to workers at one desk.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <string.h>

enum { STOCKS = 3 };

typedef const char *stock;
static sp_status fetch_price(const stock *in, int *ret_rupees)
{
    static const struct {
        stock name;
        int rupees;
    } prices[STOCKS] = { { "INFY", 1800 }, { "TCS", 3900 }, { "WIPRO", 450 } };
    sp_sleep(0.1); /* pretend API call; ten times shorter than in the document */
    for (int i = 0; i < STOCKS; i++) {
        if (strcmp(prices[i].name, *in) == 0) {
            *ret_rupees = prices[i].rupees;
            return SP_OK;
        }
    }
    return sp_raise(SP_VALUE_ERROR, "no such stock: %s", *in);
}
SP_TASK(fetch_price, stock, int);

int main(void)
{
    static const stock stocks[STOCKS] = { "INFY", "TCS", "WIPRO" };
    int prices[STOCKS];
    double begin = sp_monotonic();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = STOCKS);
    if (sp_map(pool, fetch_price, stocks, prices, STOCKS) != SP_OK)
        return 1;
    for (int i = 0; i < STOCKS; i++)
        printf("%s: ₹%d\n", stocks[i], prices[i]);
    printf("All 3 fetched in %.2f s\n", sp_monotonic() - begin); /* about 0.1, not 0.3 */
    return 0;
}
