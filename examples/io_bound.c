/* Ten pages, fetched one after the other and by a pool of ten: the I/O-bound comparison of "Python Threading Is... Weird".
   While one thread waits for the network, others run.

   SPDX-License-Identifier: MIT */
#include "web/web.h"

#include <spool.h>
#include <stdio.h>

enum { URLS = 10 };

static sp_status fetch(const struct url *url, size_t *ret_length)
{
    struct page page;
    sp_status status = web_get(url, 10.0, &page);
    if (status == SP_OK)
        *ret_length = page.length;
    return status;
}
SP_TASK(fetch, struct url, size_t);

int main(void)
{
    WEB web = web_open(0.05);
    if (web == NULL)
        return 1;
    struct url urls[URLS];
    size_t results[URLS];
    for (int i = 0; i < URLS; i++)
        urls[i] = web_url(web, "/");

    double begin = sp_monotonic(); /* sequential: slow */
    for (int i = 0; i < URLS; i++)
        if (fetch(&urls[i], &results[i]) != SP_OK)
            return 1;
    printf("Sequential: %.2f s, %s at a time\n", sp_monotonic() - begin,
           web_most_at_once(web) == 1 ? "one" : "several");

    begin = sp_monotonic(); /* threaded: fast */
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = URLS);
    if (sp_map(pool, fetch, urls, results, URLS) != SP_OK)
        return 1;
    printf("Threaded: %.2f s, %s at a time\n", sp_monotonic() - begin, web_most_at_once(web) == 1 ? "one" : "several");
    return 0;
}
