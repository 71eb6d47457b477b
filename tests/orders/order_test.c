/* Which lines are malformed, rejected, valid: every limit from both sides.

   SPDX-License-Identifier: MIT */
#include "unit.h"

#include "order.h"

#define HEAD "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"USD\",\"lines\":["
#define ONE "{\"sku\":\"S\",\"quantity\":1,\"unit_cents\":1}"
#define LINE_WITH(sku, quantity, cents) "{\"sku\":" sku ",\"quantity\":" quantity ",\"unit_cents\":" cents "}"

/* Parse a copy; the order goes to *ret if it is wanted. */
static enum order_parsed parse(const char *text, struct order **ret)
{
    char reason[ORDER_REASON_SIZE], *copy = strdup(text);
    struct order *order = NULL;
    enum order_parsed parsed = order_parse(copy, strlen(copy), &order, reason);
    free(copy);
    if (parsed == ORDER_MALFORMED) {
        assert_null(order);
        assert_true(reason[0] != '\0');
    } else {
        assert_non_null(order);
        assert_int_equal(order->valid, parsed == ORDER_VALID);
        if (parsed == ORDER_INVALID) {
            assert_true(order->reason[0] != '\0');
            assert_int_equal(order->state, ORDER_REJECTED);
            assert_int_equal(order->attempts, 0);
        }
    }
    if (ret != NULL)
        *ret = order;
    else
        order_free(order);
    return parsed;
}

struct expected {
    const char *text;
    enum order_parsed parsed;
};

static void check_table(const struct expected *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum order_parsed parsed = parse(table[i].text, NULL);
        if (parsed != table[i].parsed)
            fail_msg("got %d, wanted %d: %s", parsed, table[i].parsed, table[i].text);
    }
}
#define CHECK(table) check_table(table, sizeof table / sizeof table[0])

static void malformed_lines(void **state)
{
    (void)state;
    static const struct expected table[] = {
        { "", ORDER_MALFORMED },
        { "   ", ORDER_MALFORMED },
        { "nonsense", ORDER_MALFORMED },
        { "[1]", ORDER_MALFORMED },
        { "17", ORDER_MALFORMED },
        { "{}", ORDER_MALFORMED },
        { "{\"order_id\":1}", ORDER_MALFORMED },
        { "{\"order_id\":\"\"}", ORDER_MALFORMED },
        { "{\"order_id\":\"a b\"}", ORDER_MALFORMED },
        { "{\"order_id\":\"a/b\"}", ORDER_MALFORMED },
        { "{\"order_id\":\"\xc3\xa4\"}", ORDER_MALFORMED },
        { "{\"order_id\":\"a\\u0000\"}", ORDER_MALFORMED },
        { "{\"order_id\":\"A\",\"order_id\":\"A\"}", ORDER_MALFORMED },
        { HEAD ONE "],\"x\":{\"k\":1,\"k\":1}}", ORDER_MALFORMED },
        { HEAD ONE "]} trailing", ORDER_MALFORMED },
        { HEAD ONE "]", ORDER_MALFORMED },
        { "{\"order_id\":\"A\",\"customer\":\"\xff\"}", ORDER_MALFORMED },
    };
    CHECK(table);
}

static void order_ids(void **state)
{
    (void)state;
    char text[100];
    memset(text, 'x', sizeof text);
    assert_true(order_id_valid(text, 1));
    assert_true(order_id_valid(text, 64));
    assert_false(order_id_valid(text, 65));
    assert_false(order_id_valid(text, 0));
    assert_true(order_id_valid("AZaz09_-", 8));
    for (const char *c = " ./%?#\\\"'\n\x7f"; *c != '\0'; c++)
        assert_false(order_id_valid(c, 1));
}

static void customers(void **state)
{
    (void)state;
    static const struct {
        const char *customer;
        enum order_parsed parsed;
    } table[] = {
        { "\"ada@example.com\"", ORDER_VALID },
        { "\"o'neil+tag@mail.example.co\"", ORDER_VALID },
        { "\"a@b.c\"", ORDER_VALID },
        { "\"ada\"", ORDER_INVALID },
        { "\"@example.com\"", ORDER_INVALID },
        { "\"ada@\"", ORDER_INVALID },
        { "\"ada@example\"", ORDER_INVALID },
        { "\"ada@@example.com\"", ORDER_INVALID },
        { "\"ada@exa mple.com\"", ORDER_INVALID },
        { "\"ada lovelace@example.com\"", ORDER_INVALID },
        { "\"ada@.com\"", ORDER_INVALID },
        { "\"ada@example..com\"", ORDER_INVALID },
        { "\"ada@-example.com\"", ORDER_INVALID },
        { "\"ada@example.com.\"", ORDER_INVALID },
        { "\"ada@example.com\\u0000\"", ORDER_INVALID },
        { "\"\"", ORDER_INVALID },
        { "null", ORDER_INVALID },
        { "7", ORDER_INVALID },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, "{\"order_id\":\"A\",\"customer\":%s,\"currency\":\"USD\",\"lines\":[" ONE "]}",
                 table[i].customer);
        if (parse(text, NULL) != table[i].parsed)
            fail_msg("customer %s", table[i].customer);
    }
}

static void fields(void **state)
{
    (void)state;
    static const struct expected table[] = {
        { HEAD ONE "]}", ORDER_VALID },
        { HEAD ONE "],\"coupon\":\"X\",\"unknown\":[{}]}", ORDER_VALID },
        { HEAD ONE "],\"coupon\":null}", ORDER_VALID },
        { HEAD ONE "],\"coupon\":5}", ORDER_INVALID },
        { HEAD "]}", ORDER_INVALID },
        { HEAD "1]}", ORDER_INVALID },
        { "{\"order_id\":\"A\"}", ORDER_INVALID },
        { "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"usd\",\"lines\":[" ONE "]}", ORDER_INVALID },
        { "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"USDX\",\"lines\":[" ONE "]}", ORDER_INVALID },
        { "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"US\",\"lines\":[" ONE "]}", ORDER_INVALID },
        { "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"USD\",\"lines\":{}}", ORDER_INVALID },
        { "{\"order_id\":\"A\",\"customer\":\"a@b.cd\",\"currency\":\"USD\"}", ORDER_INVALID },
        { HEAD LINE_WITH("\"\"", "1", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("5", "1", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "0", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "-1", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "1.0", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "\"1\"", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "true", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "1000000", "1") "]}", ORDER_VALID },
        { HEAD LINE_WITH("\"S\"", "1000001", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "1", "0") "]}", ORDER_VALID },
        { HEAD LINE_WITH("\"S\"", "1", "-1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "1", "1000000000000") "]}", ORDER_VALID },
        { HEAD LINE_WITH("\"S\"", "1", "1000000000001") "]}", ORDER_INVALID },
    };
    CHECK(table);
}

/* A number that fits nowhere makes the order invalid, not the line malformed; in a field that nobody knows, neither. */
static void numbers_that_fit_nowhere(void **state)
{
    (void)state;
    static const struct expected table[] = {
        { HEAD LINE_WITH("\"S\"", "1", "99999999999999999999") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "-99999999999999999999", "1") "]}", ORDER_INVALID },
        { HEAD LINE_WITH("\"S\"", "1", "1e999") "]}", ORDER_INVALID },
        { HEAD ONE "],\"unknown\":99999999999999999999}", ORDER_VALID },
        { HEAD ONE "],\"unknown\":[1e999,\"99999999999999999999 \\\" 1e999\",-1e999]}", ORDER_VALID },
        { HEAD ONE "],\"unknown\":99999999999999999999,}", ORDER_MALFORMED },
    };
    CHECK(table);
}

static void sku_is_counted_in_characters(void **state)
{
    (void)state;
    char sku[200] = "", text[500];
    for (int i = 0; i < 64; i++)
        strcat(sku, "\xc3\xa4");
    for (int more = 0; more < 2; more++) {
        snprintf(text, sizeof text, HEAD "{\"sku\":\"%s%s\",\"quantity\":1,\"unit_cents\":1}]}", sku, more ? "x" : "");
        assert_int_equal(parse(text, NULL), more ? ORDER_INVALID : ORDER_VALID);
    }
}

/* n lines of quantity 1,000,000 at `cents`. */
static char *order_of_lines(size_t n, const char *cents)
{
    char *text = malloc(200 + n * 100), *end = text;
    assert_non_null(text);
    end += sprintf(end, HEAD);
    for (size_t i = 0; i < n; i++)
        end += sprintf(end, "%s{\"sku\":\"S\",\"quantity\":1000000,\"unit_cents\":%s}", i > 0 ? "," : "", cents);
    sprintf(end, "]}");
    return text;
}

static void lines_at_most_1000(void **state)
{
    (void)state;
    for (size_t n = 1000; n <= 1001; n++) {
        char *text = order_of_lines(n, "1");
        struct order *order;
        assert_int_equal(parse(text, &order), n == 1000 ? ORDER_VALID : ORDER_INVALID);
        if (n == 1000)
            assert_int_equal(order->subtotal_cents, 1000000000);
        order_free(order);
        free(text);
    }
}

static void subtotal_that_overflows_is_rejected(void **state)
{
    (void)state;
    struct order *order;
    char *fits = order_of_lines(9, "1000000000000"), *overflows = order_of_lines(10, "1000000000000"),
         *far_beyond = order_of_lines(1000, "1000000000000");
    assert_int_equal(parse(fits, &order), ORDER_VALID);
    assert_int_equal(order->subtotal_cents, INT64_C(9000000000000000000));
    order_free(order);
    assert_int_equal(parse(overflows, NULL), ORDER_INVALID);
    assert_int_equal(parse(far_beyond, NULL), ORDER_INVALID);
    free(fits);
    free(overflows);
    free(far_beyond);
}

static void fields_are_kept(void **state)
{
    (void)state;
    struct order *order;
    assert_int_equal(parse("{\"order_id\":\"ORD-1\",\"customer\":\"ada@example.com\",\"currency\":\"EUR\",\"lines\":["
                           "{\"sku\":\"A\",\"quantity\":2,\"unit_cents\":150},{\"sku\":\"BB\",\"quantity\":1,"
                           "\"unit_cents\":5}],\"coupon\":\"C\"}",
                           &order),
                     ORDER_VALID);
    assert_string_equal(order->order_id, "ORD-1");
    assert_string_equal(order->customer, "ada@example.com");
    assert_string_equal(order->currency, "EUR");
    assert_string_equal(order->coupon, "C");
    assert_int_equal(order->line_count, 2);
    assert_string_equal(order->lines[1].sku, "BB");
    assert_int_equal(order->lines[0].quantity, 2);
    assert_int_equal(order->subtotal_cents, 305);
    order_free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_lines),
        cmocka_unit_test(order_ids),
        cmocka_unit_test(customers),
        cmocka_unit_test(fields),
        cmocka_unit_test(numbers_that_fit_nowhere),
        cmocka_unit_test(sku_is_counted_in_characters),
        cmocka_unit_test(lines_at_most_1000),
        cmocka_unit_test(subtotal_that_overflows_is_rejected),
        cmocka_unit_test(fields_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
