/* SPDX-License-Identifier: MIT */
#include "payment.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "retry.h"

struct payment {
    CURL *curl;
    struct curl_slist *headers;
    char *url;     /* the API's, followed by /orders/ and room for an id */
    size_t prefix; /* where the id begins */
    char body[PAYMENT_BODY_MAX];
    size_t length;
    bool too_large;
    unsigned requests; /* of the attempt at hand that curl was about to send */
    char error[CURL_ERROR_SIZE];
};

/* Keep the answer, up to the limit; a larger one ends the transfer. */
static size_t take_body(char *data, size_t size, size_t n, void *context)
{
    struct payment *payment = context;
    size_t bytes = size * n;
    if (bytes > sizeof payment->body - payment->length) {
        payment->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(payment->body + payment->length, data, bytes);
    payment->length += bytes;
    return bytes;
}

/* One attempt is one request: curl itself would send it again when a kept connection turns out to be closed, unseen by
   the count of attempts, the back-off and the stop. */
static int before_request(void *context, char *local_ip, char *remote_ip, int local_port, int remote_port)
{
    (void)local_ip, (void)remote_ip, (void)local_port, (void)remote_port;
    struct payment *payment = context;
    return ++payment->requests == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static bool is_http(CURLU *url)
{
    char *scheme = NULL;
    bool http = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    return http;
}

/* Is the host this machine?  Then a proxy from the environment has no business. */
static bool is_loopback(const char *api)
{
    char *host = NULL;
    CURLU *url = curl_url();
    bool loopback = url != NULL && curl_url_set(url, CURLUPART_URL, api, 0) == CURLUE_OK &&
                    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                    (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0);
    curl_free(host);
    curl_url_cleanup(url);
    return loopback;
}

bool payment_url_valid(const char *api, char *error, size_t error_size)
{
    CURLU *url = curl_url();
    bool valid = url != NULL && strstr(api, "://") != NULL && curl_url_set(url, CURLUPART_URL, api, 0) == CURLUE_OK &&
                 is_http(url) && !has_part(url, CURLUPART_QUERY) && !has_part(url, CURLUPART_FRAGMENT);
    curl_url_cleanup(url);
    if (!valid)
        snprintf(error, error_size, "not a http:// or https:// URL without query: %s", api);
    return valid;
}

static bool set_options(struct payment *payment, const char *api, double timeout)
{
    static const char *const accept = "Accept: application/json";
    CURL *curl = payment->curl;
    payment->headers = curl_slist_append(NULL, accept);
    return payment->headers != NULL && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, payment->headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "orders/0.1") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout * 1000)) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout * 1000)) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 4096L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, payment) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, before_request) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PREREQDATA, payment) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, payment->error) == CURLE_OK &&
           (!is_loopback(api) || curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK);
}

struct payment *payment_open(const char *api, double timeout)
{
    struct payment *payment = calloc(1, sizeof *payment);
    if (payment == NULL)
        return NULL;
    size_t length = strlen(api);
    while (length > 0 && api[length - 1] == '/')
        length--;
    static const char path[] = "/orders/";
    payment->prefix = length + sizeof path - 1;
    payment->url = malloc(payment->prefix + ORDER_ID_MAX + 1);
    payment->curl = curl_easy_init();
    if (payment->url == NULL || payment->curl == NULL || !set_options(payment, api, timeout)) {
        payment_close(payment);
        return NULL;
    }
    memcpy(payment->url, api, length);
    memcpy(payment->url + length, path, sizeof path);
    return payment;
}

void payment_close(struct payment *payment)
{
    if (payment == NULL)
        return;
    curl_easy_cleanup(payment->curl);
    curl_slist_free_all(payment->headers);
    free(payment->url);
    free(payment);
}

/* What another attempt cannot mend. */
static bool is_final_failure(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT;
}

/* There is no whole answer. */
static void judge_failure(const struct payment *payment, CURLcode code, struct answer *ret_answer)
{
    const char *why = payment->error[0] != '\0' ? payment->error : curl_easy_strerror(code);
    if (payment->requests > 1)
        why = "the connection was closed without an answer";
    answer_none(ret_answer, !is_final_failure(code), why);
}

static double retry_after_of(CURL *curl)
{
    struct curl_header *header;
    double seconds;
    if (curl_easy_header(curl, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        retry_after_parse(header->value, time(NULL), &seconds))
        return seconds;
    return -1;
}

void payment_ask(struct payment *payment, const char *order_id, struct answer *ret_answer)
{
    payment->length = 0;
    payment->too_large = false;
    payment->requests = 0;
    payment->error[0] = '\0';
    ret_answer->retry_after = -1;
    snprintf(payment->url + payment->prefix, ORDER_ID_MAX + 1, "%s", order_id);
    CURLcode code = curl_easy_setopt(payment->curl, CURLOPT_URL, payment->url);
    if (code == CURLE_OK)
        code = curl_easy_perform(payment->curl);
    if (code != CURLE_OK && !payment->too_large) {
        judge_failure(payment, code, ret_answer);
        return;
    }
    long http_status = 0;
    curl_easy_getinfo(payment->curl, CURLINFO_RESPONSE_CODE, &http_status);
    /* Too large is as good as empty: it is no payment status and no JSON object. */
    answer_judge(ret_answer, http_status, payment->body, payment->too_large ? 0 : payment->length, order_id);
    ret_answer->retry_after = retry_after_of(payment->curl);
}
