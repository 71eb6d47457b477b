/* Fifty URLs, fetched one after the other and by a pool of ten: exercise 1 of "Threading and the GIL".

   SPDX-License-Identifier: MIT */
#include "web/web.h"

#include <spool.h>
#include <stdio.h>
#include <string.h>

enum { URLS = 50, WORKERS = 10 };

static sp_status fetch(const struct url *url, size_t *ret_length)
{
    struct page page;
    sp_status status = web_get(url, 10.0, &page);
    if (status == SP_OK)
        *ret_length = page.length;
    return status;
}
SP_TASK(fetch, struct url, size_t);

static sp_status fetch_sequentially(const struct url *urls, size_t *ret_lengths)
{
    sp_status status = SP_OK;
    for (int i = 0; i < URLS && status == SP_OK; i++)
        status = fetch(&urls[i], &ret_lengths[i]);
    return status;
}

static sp_status fetch_pooled(const struct url *urls, size_t *ret_lengths)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = WORKERS);
    return sp_map(pool, fetch, urls, ret_lengths, URLS);
}

int main(void)
{
    WEB web = web_open(0.02);
    if (web == NULL)
        return 1;
    struct url urls[URLS];
    for (int i = 0; i < URLS; i++)
        urls[i] = web_url(web, "/page/%d", i);

    size_t lengths[URLS], same_lengths[URLS], sum = 0;
    double begin = sp_monotonic();
    if (fetch_sequentially(urls, lengths) != SP_OK)
        return 1;
    printf("Sequential: %.2f s, %s at a time\n", sp_monotonic() - begin,
           web_most_at_once(web) == 1 ? "one" : "several");
    begin = sp_monotonic();
    if (fetch_pooled(urls, same_lengths) != SP_OK)
        return 1;
    printf("Pooled: %.2f s, %s at a time\n", sp_monotonic() - begin, web_most_at_once(web) == 1 ? "one" : "several");

    for (int i = 0; i < URLS; i++)
        sum += lengths[i];
    printf("%d pages, %zu bytes, the same both ways: %s\n", URLS, sum,
           memcmp(lengths, same_lengths, sizeof lengths) == 0 ? "yes" : "no");
    return 0;
}
