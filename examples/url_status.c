/* Twenty URLs and a pool of ten: their HTTP statuses by map, in input order, and by submit, one at a time.  The thread pool
   of "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include "web/web.h"

#include <spool.h>
#include <stdio.h>

enum { URLS = 20, WORKERS = 10 };

static sp_status get(const struct url *url, struct page *ret_page)
{
    return web_get(url, 10.0, ret_page);
}
SP_TASK(get, struct url, struct page);

int main(void)
{
    WEB web = web_open(0.02);
    if (web == NULL)
        return 1;
    struct url urls[URLS];
    for (int i = 0; i < URLS; i++) /* every fifth is missing, to tell them apart */
        urls[i] = i % 5 == 4 ? web_url(web, "/users/nobody") : web_url(web, "/");

    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = WORKERS);
    struct page pages[URLS];
    if (sp_map(pool, get, urls, pages, URLS) != SP_OK)
        return 1;
    printf("map:");
    for (int i = 0; i < URLS; i++)
        printf(" %ld", pages[i].status);

    /* Or submit individually, for finer control. */
    sp_future *futures[URLS];
    for (int i = 0; i < URLS; i++)
        futures[i] = sp_submit_from(pool, get, &urls[i]);
    printf("\nsubmit:");
    for (int i = 0; i < URLS; i++) {
        struct page page;
        if (sp_result(futures[i], &page, SP_FOREVER) == SP_OK)
            printf(" %ld", page.status);
        else
            printf(" (%s)", sp_future_error(futures[i])->message);
    }
    printf("\n");
    sp_release_all(futures, URLS);
    return 0;
}
