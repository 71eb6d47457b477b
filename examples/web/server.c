/* The server: libmicrohttpd with a thread for each connection, so that an answer may simply sleep.

   SPDX-License-Identifier: MIT */
#include "web.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct web {
    struct MHD_Daemon *daemon;
    double latency;
    unsigned port;
    sp_lock lock;
    int waiting, most; /* guarded by the lock */
};

static const char *name_of(const char *login)
{
    static const char *const users[][2] = { { "torvalds", "Linus Torvalds" },
                                            { "gvanrossum", "Guido van Rossum" },
                                            { "antirez", "Salvatore Sanfilippo" } };
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
        if (strcmp(users[i][0], login) == 0)
            return users[i][1];
    return NULL;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status, char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

/* The time that a page takes. */
static void wait_for_page(struct web *web)
{
    SP_WITH(&web->lock)
    {
        web->waiting++;
        web->most = web->waiting > web->most ? web->waiting : web->most;
    }
    sp_sleep(web->latency);
    SP_WITH(&web->lock) web->waiting--;
}

int web_most_at_once(struct web *web)
{
    SP_HOLD(&web->lock);
    int most = web->most;
    web->most = 0;
    return most;
}

/* Called when the headers of a request are there, and again when all of it is. */
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_size, void **request)
{
    (void)method, (void)version, (void)body;
    if (*request == NULL) {
        *request = connection; /* anything that is not NULL */
        return MHD_YES;
    }
    if (*body_size > 0) {
        *body_size = 0; /* nobody wants it */
        return MHD_YES;
    }
    wait_for_page(context);
    if (strcmp(path, "/broken") == 0)
        return MHD_NO;
    char text[256];
    static const char users[] = "/users/";
    if (strncmp(path, users, sizeof users - 1) != 0) {
        snprintf(text, sizeof text, "This is %.200s.\n", path);
        return send_text(connection, MHD_HTTP_OK, text);
    }
    const char *login = path + sizeof users - 1, *name = name_of(login);
    if (name == NULL)
        return send_text(connection, MHD_HTTP_NOT_FOUND, (char[]){ "{\"message\": \"Not Found\"}" });
    snprintf(text, sizeof text, "{\"login\": \"%s\", \"name\": \"%s\"}", login, name);
    return send_text(connection, MHD_HTTP_OK, text);
}

struct web *web_open(double latency)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fputs("web: cannot set up libcurl\n", stderr);
        free(web);
        return NULL;
    }
    web->latency = latency;
    web->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL,
                                   answer, web, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
    if (web->daemon == NULL) {
        perror("web: cannot serve on 127.0.0.1");
        web_close(web);
        return NULL;
    }
    web->port = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return web;
}

void web_close(struct web *web)
{
    if (web == NULL)
        return;
    if (web->daemon != NULL)
        MHD_stop_daemon(web->daemon);
    curl_global_cleanup();
    free(web);
}

void web_scope_end(struct web **web)
{
    web_close(*web);
}

struct url web_url(const struct web *web, const char *format, ...)
{
    struct url url;
    int length = snprintf(url.text, sizeof url.text, "http://127.0.0.1:%u", web->port);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(url.text + length, sizeof url.text - (size_t)length, format, arguments);
    va_end(arguments);
    return url;
}
