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
    WEB web = web_open(0.1);
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
    double sequential = sp_monotonic() - begin;
    printf("Sequential: %.2f s\n", sequential);

    begin = sp_monotonic(); /* threaded: fast */
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = URLS);
    if (sp_map(pool, fetch, urls, results, URLS) != SP_OK)
        return 1;
    double threaded = sp_monotonic() - begin;
    printf("Threaded: %.2f s\n", threaded);
    printf("%s\n", threaded < sequential / 2 ? "Big win" : "No win");
    return 0;
}
