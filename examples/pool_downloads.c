/* A pool of three workers over four downloads, the results in the order of the URLs: the first pool of "Python Threading
   Is... Weird".

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { URLS = 4 };

typedef const char *url;
struct data {
    char text[64];
};
static sp_status download(const url *in, struct data *ret)
{
    printf("Downloading %s\n", *in);
    sp_sleep(0.1); /* simulates the network; ten times shorter than in the document */
    snprintf(ret->text, sizeof ret->text, "Data from %s", *in);
    return SP_OK;
}
SP_TASK(download, url, struct data);

int main(void)
{
    static const url urls[URLS] = { "https://example.com/1", "https://example.com/2", "https://example.com/3",
                                    "https://example.com/4" };
    struct data results[URLS];
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3); /* the fourth waits until one of the three is free */
    if (sp_map(pool, download, urls, results, URLS) != SP_OK)
        return 1;
    for (int i = 0; i < URLS; i++)
        printf("%s\n", results[i].text);
    return 0;
}
