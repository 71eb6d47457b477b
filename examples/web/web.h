/* A little web for the examples that fetch: an HTTP server in this process, on 127.0.0.1 and a free port, and a get.

   Every page takes its time, as pages do; waiting requests wait at the same time.

       /users/torvalds, gvanrossum, antirez   200, {"login": "torvalds", "name": "Linus Torvalds"}
       /users/...                             404
       /broken                                the connection is closed without an answer
       anything else                          200, a page of text

   SPDX-License-Identifier: MIT */
#ifndef WEB_H
#define WEB_H

#include <stddef.h>

#include <spool.h>

struct web;

/* Start it; `latency` is how long a page takes, in seconds.  Once, by main, before there are other threads: libcurl wants
   to be set up so.  NULL: it says why on standard error. */
struct web *web_open(double latency);
/* No request may be under way.  NULL is fine. */
void web_close(struct web *web);
/* How many requests were waiting for their page at the same time, at most, since the last call. */
int web_most_at_once(struct web *web);
/* For the end of a scope: WEB web = web_open(0.02); */
#define WEB __attribute__((cleanup(web_scope_end))) struct web *
void web_scope_end(struct web **web);

struct url {
    char text[80];
};
/* The URL of a page there: web_url(web, "/page/%d", 7). */
struct url web_url(const struct web *web, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct page {
    long status;    /* 200, 404 ... */
    size_t length;  /* of all of it */
    char text[128]; /* as much as fits, as a string */
};
/* Get a page, whatever its status.

   Returns SP_OK, SP_TIMEOUT, or SP_OS_ERROR, when there is no whole answer; called in a task, with a message. */
sp_status web_get(const struct url *url, double timeout, struct page *ret_page);

#endif
