/* SPDX-License-Identifier: MIT */
#include "retry.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

double retry_backoff(unsigned n, double random)
{
    double most = 5.0;
    if (n < 5) /* 0.2 × 2^5 is above the limit */
        most = 0.2 * (double)(1u << n);
    return (most < 5.0 ? most : 5.0) * random;
}

bool retry_after_parse(const char *text, time_t now, double *ret_seconds)
{
    text += strspn(text, " \t");
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && text[digits + strspn(text + digits, " \t")] == '\0') {
        *ret_seconds = strtod(text, NULL); /* too many digits are a large number, not an overflow */
        return true;
    }
    if (!isalpha((unsigned char)*text))
        return false;
    time_t date = curl_getdate(text, NULL);
    if (date == (time_t)-1)
        return false;
    *ret_seconds = date > now ? (double)(date - now) : 0;
    return true;
}
