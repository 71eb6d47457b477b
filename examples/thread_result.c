/* Threads whose results are not lost, and whose errors do not disappear: the DownloadThread of "Python Threading Is...
   Weird", without a class.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <string.h>

struct download {
    const char *url;
};
struct page {
    char text[80];
};

static sp_status download(const struct download *in, struct page *ret_page)
{
    printf("Downloading %s\n", in->url);
    if (strncmp(in->url, "https://", 8) != 0)
        return sp_raise(SP_VALUE_ERROR, "no URL: %s", in->url);
    sp_sleep(0.1); /* simulates the download */
    snprintf(ret_page->text, sizeof ret_page->text, "Data from %s", in->url);
    return SP_OK;
}
SP_TASK(download, struct download, struct page);

int main(void)
{
    sp_thread *threads[] = { sp_start(download, .url = "https://api.example.com/users"),
                             sp_start(download, .url = "https://api.example.com/posts"),
                             sp_start(download, .url = "https://api.example.com/comments"),
                             sp_start(download, .url = "users") };
    for (int i = 0; i < 4; i++) {
        struct page page;
        if (sp_join(threads[i], &page, SP_FOREVER) == SP_OK)
            printf("thread %d: %s\n", i, page.text);
        else
            printf("thread %d failed: %s\n", i, sp_thread_error(threads[i])->message);
        sp_thread_release(threads[i]);
    }
    return 0;
}
