/* Fetches that may fail, taken as they end, each with its result or its error: risky_fetch of the lesson "Concurrency:
   Threading, Multiprocessing & the GIL".

   SPDX-License-Identifier: MIT */
#include "web/web.h"

#include <spool.h>
#include <stdio.h>
#include <string.h>

struct user {
    char name[32];
};
static sp_status risky_fetch(const struct url *url, struct user *ret)
{
    struct page page;
    sp_status status = web_get(url, 2.0, &page);
    if (status != SP_OK)
        return status; /* with the message of web_get */
    if (page.status >= 400)
        return sp_raise(SP_OS_ERROR, "HTTP status %ld", page.status);
    const char *name = strstr(page.text, "\"name\": \"");
    if (name == NULL || sscanf(name, "\"name\": \"%31[^\"]", ret->name) != 1)
        return sp_raise(SP_VALUE_ERROR, "no name in the answer");
    return SP_OK;
}
SP_TASK(risky_fetch, struct url, struct user);

int main(void)
{
    static const char *const pages[] = { "/users/torvalds", "/users/nobody", "/users/antirez", "/broken", "/" };
    enum { PAGES = sizeof pages / sizeof pages[0] };
    WEB web = web_open(0.02);
    if (web == NULL)
        return 1;
    const size_t host = strlen(web_url(web, "%s", "").text); /* is another one each time: only the rest is printed */

    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 10);
    sp_future *todo[PAGES];
    for (int i = 0; i < PAGES; i++) {
        struct url url = web_url(web, "%s", pages[i]);
        todo[i] = sp_submit_from(pool, risky_fetch, &url);
    }

    /* as_completed: as they finish, not as they were submitted */
    sp_auto(sp_completion) done = sp_as_completed(todo, PAGES, SP_FOREVER);
    for (sp_future *future; (future = sp_next(done)) != NULL;) {
        const struct url *url = sp_future_arg(future);
        struct user user;
        if (sp_result(future, &user, SP_NOWAIT) == SP_OK)
            printf("%s: %s\n", url->text + host, user.name);
        else
            printf("%s failed: %s\n", url->text + host, sp_future_error(future)->message);
    }
    sp_release_all(todo, PAGES);
    return sp_completion_status(done) == SP_OK ? 0 : 1;
}
