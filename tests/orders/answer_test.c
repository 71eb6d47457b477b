/* What answers mean, and when to ask again.

   SPDX-License-Identifier: MIT */
#include "unit.h"

#include "answer.h"
#include "payment.h"
#include "retry.h"

static void answers(void **state)
{
    (void)state;
    static const struct {
        long http;
        const char *body;
        enum verdict verdict;
        enum order_state state;
    } table[] = {
        { 200, "{\"order_id\":\"A\",\"status\":\"paid\"}", VERDICT_STATE, ORDER_PAID },
        { 200, "{\"order_id\":\"A\",\"status\":\"pending\",\"more\":1}", VERDICT_STATE, ORDER_PENDING },
        { 200, "{\"order_id\":\"A\",\"status\":\"failed\"}", VERDICT_STATE, ORDER_FAILED },
        { 200, "{\"order_id\":\"A\",\"status\":\"rejected\"}", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"A\",\"status\":\"PAID\"}", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"A\"}", VERDICT_RETRY, 0 },
        { 200, "{\"status\":\"paid\"}", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"A\",\"status\":1}", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"A\",\"status\":\"paid\",\"status\":\"failed\"}", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"A\",\"sta", VERDICT_RETRY, 0 },
        { 200, "<html>paid</html>", VERDICT_RETRY, 0 },
        { 200, "", VERDICT_RETRY, 0 },
        { 200, "[]", VERDICT_RETRY, 0 },
        { 200, "{\"order_id\":\"B\",\"status\":\"paid\"}", VERDICT_GIVE_UP, 0 },
        { 200, "{\"order_id\":\"a\",\"status\":\"failed\"}", VERDICT_GIVE_UP, 0 },
        { 404, "{\"error\":\"no such order\"}", VERDICT_STATE, ORDER_REJECTED },
        { 404, "{}", VERDICT_STATE, ORDER_REJECTED },
        { 404, "[]", VERDICT_GIVE_UP, 0 },
        { 404, "<html>", VERDICT_GIVE_UP, 0 },
        { 404, "", VERDICT_GIVE_UP, 0 },
        { 408, "", VERDICT_RETRY, 0 },
        { 429, "", VERDICT_RETRY, 0 },
        { 500, "", VERDICT_RETRY, 0 },
        { 503, "{\"order_id\":\"A\",\"status\":\"paid\"}", VERDICT_RETRY, 0 },
        { 599, "", VERDICT_RETRY, 0 },
        { 201, "{\"order_id\":\"A\",\"status\":\"paid\"}", VERDICT_GIVE_UP, 0 },
        { 204, "", VERDICT_GIVE_UP, 0 },
        { 301, "", VERDICT_GIVE_UP, 0 },
        { 302, "{\"order_id\":\"A\",\"status\":\"paid\"}", VERDICT_GIVE_UP, 0 },
        { 400, "{}", VERDICT_GIVE_UP, 0 },
        { 401, "{}", VERDICT_GIVE_UP, 0 },
        { 403, "{}", VERDICT_GIVE_UP, 0 },
        { 410, "{}", VERDICT_GIVE_UP, 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct answer answer = { .state = ORDER_UNREACHABLE };
        answer_judge(&answer, table[i].http, table[i].body, strlen(table[i].body), "A");
        if (answer.verdict != table[i].verdict)
            fail_msg("%ld %s: verdict %d", table[i].http, table[i].body, answer.verdict);
        if (answer.verdict == VERDICT_STATE)
            assert_int_equal(answer.state, table[i].state);
        assert_int_equal(answer.reason[0] == '\0', answer.verdict == VERDICT_STATE && answer.state <= ORDER_FAILED);
    }
}

static void retry_after(void **state)
{
    (void)state;
    const time_t now = 1792836000; /* Sat, 24 Oct 2026 10:00:00 GMT */
    static const struct {
        const char *text;
        double seconds; /* negative: refused */
    } table[] = {
        { "0", 0 },
        { "7", 7 },
        { " 120 ", 120 },
        { "99999999999999999999999", 1e23 },
        { "Sat, 24 Oct 2026 10:00:30 GMT", 30 },
        { "Saturday, 24-Oct-26 10:01:00 GMT", 60 },
        { "Sat Oct 24 10:00:05 2026", 5 },
        { "Sat, 24 Oct 2026 09:59:59 GMT", 0 },
        { "Thu, 01 Jan 1970 00:00:01 GMT", 0 },
        { "", -1 },
        { "soon", -1 },
        { "-5", -1 },
        { "1.5", -1 },
        { "5 s", -1 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        double seconds = -1;
        bool read = retry_after_parse(table[i].text, now, &seconds);
        if (read != (table[i].seconds >= 0))
            fail_msg("\"%s\": %s", table[i].text, read ? "read" : "refused");
        if (read && !(seconds >= table[i].seconds * 0.999 && seconds <= table[i].seconds * 1.001))
            fail_msg("\"%s\": %g s", table[i].text, seconds);
    }
}

static void backoff_doubles_up_to_5_s(void **state)
{
    (void)state;
    static const double most[] = { 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5 };
    for (unsigned n = 0; n < sizeof most / sizeof most[0]; n++) {
        assert_true(retry_backoff(n, 0) == 0);
        assert_true(retry_backoff(n, 0.5) > most[n] * 0.499 && retry_backoff(n, 0.5) < most[n] * 0.501);
    }
    assert_true(retry_backoff(1000, 0.999) <= 5);
}

static void urls(void **state)
{
    (void)state;
    static const char *const good[] = { "http://127.0.0.1:8080", "https://pay.example.com/", "http://h/v1/api",
                                        "HTTP://[::1]:80" };
    static const char *const bad[] = {
        "",        "pay.example.com", "localhost:8080", "ftp://h",       "file:///etc/passwd",
        "http://", "http://h?x=1",    "http://h#x",     "http://h:99999"
    };
    char error[300];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!payment_url_valid(good[i], error, sizeof error))
            fail_msg("refused: %s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (payment_url_valid(bad[i], error, sizeof error))
            fail_msg("accepted: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(backoff_doubles_up_to_5_s),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
