/* The client: one libcurl handle and one connection for each request.

   SPDX-License-Identifier: MIT */
#include "web.h"

#include <curl/curl.h>
#include <string.h>

/* Count the bytes of a page, and keep as many as fit. */
static size_t take(char *data, size_t size, size_t n, void *context)
{
    struct page *page = context;
    size_t bytes = size * n, kept = strlen(page->text), room = sizeof page->text - 1 - kept;
    memcpy(page->text + kept, data, bytes < room ? bytes : room);
    page->length += bytes;
    return bytes;
}

static CURLcode perform(CURL *curl, const char *url, double timeout, struct page *page)
{
    CURLcode code = CURLE_FAILED_INIT;
    if (curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&    /* it is on this machine */
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && /* threads and alarms do not mix */
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout * 1000)) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, page) == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &page->status);
    return code;
}

sp_status web_get(const struct url *url, double timeout, struct page *ret_page)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return sp_raise(SP_MEMORY_ERROR, "cannot set up libcurl");
    struct page page = { .status = 0 };
    CURLcode code = perform(curl, url->text, timeout, &page);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        return sp_raise(code == CURLE_OPERATION_TIMEDOUT ? SP_TIMEOUT : SP_OS_ERROR, "%s", curl_easy_strerror(code));
    *ret_page = page;
    return SP_OK;
}
