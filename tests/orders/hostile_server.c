/* A payment API that misbehaves: what it answers is said by the order id, up to the first '-'.

   Prints its URL, logs each path to the file in argv[1], runs until it is killed.  One thread per connection would
   do, but an id STALL is never answered: its connection is suspended for good.

   SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rule {
    const char *kind;
    unsigned status;
    const char *header, *value; /* NULL: none */
    const char *body;           /* %s is the order id */
};

#define PAID "{\"order_id\":\"%s\",\"status\":\"paid\"}"
#define LOCATION "Location"
#define RETRY_AFTER "Retry-After"

static const struct rule rules[] = {
    { "PAID", 200, NULL, NULL, PAID },
    { "OTHER", 200, NULL, NULL, "{\"order_id\":\"X%s\",\"status\":\"paid\"}" },
    { "HTML", 200, NULL, NULL, "<html>%s</html>" },
    { "TWICE", 200, NULL, NULL, "{\"order_id\":\"%s\",\"status\":\"paid\",\"status\":\"failed\"}" },
    { "LATIN", 200, NULL, NULL, "{\"order_id\":\"%s\",\"status\":\"paid\",\"by\":\"\xe4\"}" },
    { "R401", 401, NULL, NULL, PAID },
    { "R302", 302, LOCATION, "/orders/PAID-1", PAID },
    { "R404TEXT", 404, NULL, NULL, "no %s here" },
    { "R404JSON", 404, NULL, NULL, "{\"error\":\"no %s here\"}" },
    { "R500", 500, NULL, NULL, PAID },
    { "LATER120", 503, RETRY_AFTER, "120", "later" },
    { "LATER50", 503, RETRY_AFTER, "50", "later" },
    { "LATERDATE", 429, RETRY_AFTER, "Fri, 01 Jan 2100 00:00:00 GMT", "later" },
    /* the first answer only; then paid */
    { "ONCE408", 408, NULL, NULL, "slow" },
    { "ONCE429", 429, RETRY_AFTER, "1", "later" },
    { "ONCEPAST", 503, RETRY_AFTER, "Thu, 01 Jan 1970 00:00:01 GMT", "later" },
};

static int log_descriptor;
static char seen_once[16][65]; /* HTTP thread only */
static size_t seen_count;

/* Was this id asked for before?  It has been from now on. */
static bool seen_before(const char *id)
{
    for (size_t i = 0; i < seen_count; i++) {
        if (strcmp(seen_once[i], id) == 0)
            return true;
    }
    if (seen_count < sizeof seen_once / sizeof seen_once[0])
        snprintf(seen_once[seen_count++], sizeof seen_once[0], "%s", id);
    return false;
}

static enum MHD_Result send_body(struct MHD_Connection *connection, const struct rule *rule, char *body, size_t length)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(length, body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    if (rule->header != NULL && MHD_add_response_header(response, rule->header, rule->value) != MHD_YES)
        return MHD_NO;
    enum MHD_Result sent = MHD_queue_response(connection, rule->status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result send_rule(struct MHD_Connection *connection, const struct rule *rule, const char *id)
{
    char body[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int length = snprintf(body, sizeof body, rule->body, id);
#pragma GCC diagnostic pop
    return send_body(connection, rule, body, (size_t)length);
}

/* 200, valid JSON, about this order, and 200 KiB long. */
static enum MHD_Result send_large(struct MHD_Connection *connection, const char *id)
{
    static char body[200 * 1024];
    int length = snprintf(body, sizeof body, "{\"order_id\":\"%s\",\"status\":\"paid\",\"more\":\"", id);
    memset(body + length, 'x', sizeof body - (size_t)length);
    memcpy(body + sizeof body - 2, "\"}", 2);
    return send_body(connection, &rules[0], body, sizeof body);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **request)
{
    (void)context, (void)method, (void)version, (void)data, (void)size;
    static int begun;
    if (*request == NULL) {
        *request = &begun;
        return MHD_YES;
    }
    char line[200];
    int length = snprintf(line, sizeof line, "%.150s\n", url);
    if (write(log_descriptor, line, (size_t)length) != length)
        abort();
    const char *id = strncmp(url, "/orders/", 8) == 0 ? url + 8 : "";
    size_t kind = strcspn(id, "-");
    if (strncmp(id, "STALL", kind) == 0 && kind == 5) {
        MHD_suspend_connection(connection);
        return MHD_YES;
    }
    if (strncmp(id, "LARGE", kind) == 0 && kind == 5)
        return send_large(connection, id);
    if (strncmp(id, "ONCE", 4) == 0 && seen_before(id))
        return send_rule(connection, &rules[0], id);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strlen(rules[i].kind) == kind && strncmp(id, rules[i].kind, kind) == 0)
            return send_rule(connection, &rules[i], id);
    }
    return MHD_NO;
}

int main(int argc, char **argv)
{
    log_descriptor = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
                                                 NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                                                 MHD_OPTION_END);
    if (log_descriptor < 0 || daemon == NULL)
        return 1;
    printf("http://127.0.0.1:%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    int number;
    sigwait(&set, &number);
    _exit(0); /* with connections suspended, the daemon cannot be stopped in good order */
}
