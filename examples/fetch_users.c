/* Three users from a JSON API: map, with all results in order, and submit, with each result when it is needed.  The thread
   pool of the lesson "Concurrency: Threading, Multiprocessing & the GIL".

   SPDX-License-Identifier: MIT */
#include "web/web.h"

#include <spool.h>
#include <stdio.h>

enum { USERS = 3 };

struct user {
    char login[16], name[32];
};
static sp_status fetch(const struct url *url, struct user *ret)
{
    struct page page;
    sp_status status = web_get(url, 5.0, &page);
    if (status != SP_OK)
        return status;
    if (sscanf(page.text, "{\"login\": \"%15[^\"]\", \"name\": \"%31[^\"]\"}", ret->login, ret->name) != 2)
        return sp_raise(SP_VALUE_ERROR, "%s is no user", url->text);
    return SP_OK;
}
SP_TASK(fetch, struct url, struct user);

int main(void)
{
    WEB web = web_open(0.02);
    if (web == NULL)
        return 1;
    const struct url urls[USERS] = { web_url(web, "/users/torvalds"), web_url(web, "/users/gvanrossum"),
                                     web_url(web, "/users/antirez") };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 5);

    /* map: submit all, collect results in order */
    struct user users[USERS];
    if (sp_map(pool, fetch, urls, users, USERS) != SP_OK)
        return 1;
    for (int i = 0; i < USERS; i++)
        printf("map: %s is %s\n", users[i].login, users[i].name);

    /* submit: one at a time, collect when needed */
    sp_future *futures[USERS];
    for (int i = 0; i < USERS; i++)
        futures[i] = sp_submit_from(pool, fetch, &urls[i]);
    for (int i = 0; i < USERS; i++) {
        struct user user;
        if (sp_result(futures[i], &user, SP_FOREVER) == SP_OK)
            printf("submit: %s is %s\n", user.login, user.name);
        else
            printf("failed: %s\n", sp_future_error(futures[i])->message);
    }
    sp_release_all(futures, USERS);
    return 0;
}
