/* One epoll thread of libmicrohttpd does everything but wait: a request whose answer takes its time is suspended, and
   the delay's thread resumes it.  A waiting request costs a connection and a heap entry, no thread.

   Fork: none.  Threads: `attempts` and the log belong to the HTTP thread; everything else is set once.

   SPDX-License-Identifier: MIT */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spool.h>

#include "attempts.h"
#include "delay.h"
#include "order.h"

enum { CONNECTIONS_MAX = 4096, URL_SIZE = 64 };

struct server {
    struct server_settings settings;
    struct MHD_Daemon *daemon;
    struct delay *delay;
    struct attempts attempts; /* HTTP thread only */
    char url[URL_SIZE];
};

/* One request, from its headers to its end; libmicrohttpd carries the pointer. */
struct exchange {
    char order_id[ORDER_ID_MAX + 1]; /* empty: the path is not ours */
    struct plan plan;
    bool waited;
};

struct server_settings server_defaults(void)
{
    struct server_settings settings = { .latency_min = 0.4, .latency_max = 0.6, .log = -1 };
    settings.plan.seed = SIMULATE_SEED;
    return settings;
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

/* One write, so that lines of several processes do not mix. */
static void log_request(const struct server *server, const char *url, const char *answer, unsigned attempt)
{
    if (server->settings.log < 0)
        return;
    char line[256];
    int length = snprintf(line, sizeof line, "GET %.150s attempt=%u answer=%s\n", url, attempt, answer);
    if (write(server->settings.log, line, (size_t)length) < 0)
        return; /* a log that cannot be written must not end the service */
}

/* Decide about a new request.  NULL: no memory. */
static struct exchange *begin_exchange(struct server *server, const char *url, const char *method)
{
    static const char prefix[] = "/orders/";
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    const char *id = url + sizeof prefix - 1;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 || strncmp(url, prefix, sizeof prefix - 1) != 0 ||
        !order_id_valid(id, strlen(id))) {
        log_request(server, url, "none", 0);
        exchange->waited = true;
        return exchange;
    }
    snprintf(exchange->order_id, sizeof exchange->order_id, "%s", id);
    unsigned attempt = attempts_of(&server->attempts, id);
    exchange->plan = simulate(&server->settings.plan, id, attempt);
    attempts_note(&server->attempts, id, exchange->plan.kind >= PLAN_UNAVAILABLE ? attempt + 1 : 0);
    log_request(server, url, plan_name(&exchange->plan), attempt);
    return exchange;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status, const char *type, char *text,
                                 size_t length)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result sent = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (sent == MHD_YES)
        sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct exchange *exchange)
{
    static const unsigned statuses[PLAN_KINDS] = { [PLAN_STATUS] = 200, [PLAN_UNKNOWN] = 404,  [PLAN_UNAVAILABLE] = 503,
                                                   [PLAN_ERROR] = 500,  [PLAN_TOO_MANY] = 429, [PLAN_CUT] = 200 };
    if (exchange->order_id[0] == '\0')
        return send_text(connection, 404, "text/plain", (char[]){ "no such page\n" }, 13);
    const struct plan *plan = &exchange->plan;
    if (plan->kind == PLAN_CLOSE)
        return MHD_NO;
    char text[160];
    bool status = plan->kind == PLAN_STATUS || plan->kind == PLAN_CUT;
    int length = snprintf(text, sizeof text, "{\"order_id\":\"%s\",\"%s\":\"%s\"}", exchange->order_id,
                          status ? "status" : "error", status ? plan->status : "try something else");
    if (plan->kind == PLAN_CUT)
        length /= 2;
    return send_text(connection, statuses[plan->kind], "application/json", text, (size_t)length);
}

/* Called when the headers are there, again when the body is, and again when a suspended request is resumed. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *body, size_t *body_size, void **request)
{
    (void)version, (void)body;
    struct server *server = context;
    struct exchange *exchange = *request;
    if (exchange == NULL) {
        *request = begin_exchange(server, url, method);
        return *request != NULL ? MHD_YES : MHD_NO;
    }
    if (*body_size > 0) {
        *body_size = 0; /* nobody wants it */
        return MHD_YES;
    }
    const struct server_settings *settings = &server->settings;
    double wait = settings->latency_min + (settings->latency_max - settings->latency_min) * exchange->plan.wait;
    if (!exchange->waited && wait > 0) {
        exchange->waited = true;
        MHD_suspend_connection(connection);
        if (!delay_add(server->delay, connection, sp_monotonic() + wait))
            MHD_resume_connection(connection);
        return MHD_YES;
    }
    return send_answer(connection, exchange);
}

static void end_exchange(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    free(*request);
    *request = NULL;
}

static bool start_daemon(struct server *server)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(server->settings.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    server->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, server->settings.port,
                                      NULL, NULL, handle, server, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                                      MHD_OPTION_NOTIFY_COMPLETED, end_exchange, NULL, MHD_OPTION_CONNECTION_LIMIT,
                                      (unsigned)CONNECTIONS_MAX, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u,
                                      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)4096, MHD_OPTION_END);
    if (server->daemon == NULL)
        return false;
    unsigned port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", port);
    return true;
}

struct server *server_start(const struct server_settings *settings, char *error, size_t error_size)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        snprintf(error, error_size, "no memory for the simulator");
        return NULL;
    }
    server->settings = *settings;
    server->delay = delay_start(resume);
    errno = 0;
    if (server->delay != NULL && start_daemon(server))
        return server;
    snprintf(error, error_size, "cannot serve on 127.0.0.1:%u: %s", settings->port, strerror(errno));
    if (server->delay != NULL)
        delay_finish(server->delay);
    delay_free(server->delay);
    free(server);
    return NULL;
}

const char *server_url(const struct server *server)
{
    return server->url;
}

void server_stop(struct server *server)
{
    if (server == NULL)
        return;
    /* libmicrohttpd must not be stopped while a connection is suspended. */
    delay_finish(server->delay);
    MHD_stop_daemon(server->daemon);
    delay_free(server->delay);
    attempts_clear(&server->attempts);
    free(server);
}
