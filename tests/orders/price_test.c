/* Discount files and the arithmetic.

   SPDX-License-Identifier: MIT */
#include "unit.h"

#include "money.h"
#include "price.h"

static struct discounts *rules(const char *text)
{
    char error[300];
    struct discounts *discounts = discounts_parse(text, "test", error, sizeof error);
    if (discounts == NULL)
        fail_msg("%s", error);
    return discounts;
}

static struct order one_line(const char *coupon, struct order_line *line)
{
    return (struct order){ .valid = true,
                           .coupon = coupon,
                           .lines = line,
                           .line_count = 1,
                           .subtotal_cents = line->quantity * line->unit_cents };
}

static void rounds_half_up(void **state)
{
    (void)state;
    assert_int_equal(money_percent(5, 10), 1);  /* 0.5 */
    assert_int_equal(money_percent(4, 10), 0);  /* 0.4 */
    assert_int_equal(money_percent(15, 10), 2); /* 1.5 */
    assert_int_equal(money_percent(149, 1), 1); /* 1.49 */
    assert_int_equal(money_percent(150, 1), 2);
    assert_int_equal(money_percent(0, 100), 0);
    assert_int_equal(money_percent(99, 0), 0);
    assert_int_equal(money_percent(INT64_MAX, 100), INT64_MAX);
    assert_int_equal(money_percent(INT64_MAX, 50), INT64_C(4611686018427387904));
}

static void builtin_rules(void **state)
{
    (void)state;
    struct discounts *discounts = discounts_builtin();
    static const struct {
        const char *coupon, *sku;
        int64_t quantity, cents, discount;
        const char *rule;
    } table[] = {
        { "WELCOME10", "TEA-2", 2, 1250, 250, "welcome" },
        { NULL, "TEA-2", 2, 1250, 0, NULL },
        { "welcome10", "TEA-2", 2, 1250, 0, NULL },
        { NULL, "POT-1", 1, 9999, 0, NULL },
        { NULL, "POT-1", 1, 10000, 500, "big" },
        { NULL, "TEA-1", 10, 100, 150, "bulk" },
        { NULL, "TEA-1", 9, 100, 0, NULL },
        { "WELCOME10", "POT-1", 1, 20000, 2000, "welcome" },
        { "WELCOME10", "TEA-1", 10, 2000, 3000, "bulk" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct order_line line = { table[i].sku, table[i].quantity, table[i].cents };
        struct order order = one_line(table[i].coupon, &line);
        price_order(discounts, &order);
        assert_int_equal(order.discount_cents, table[i].discount);
        assert_int_equal(order.total_cents, order.subtotal_cents - table[i].discount);
        if (table[i].rule == NULL)
            assert_null(order.discount_rule);
        else
            assert_string_equal(order.discount_rule, table[i].rule);
    }
    discounts_free(discounts);
}

static void sku_rule_is_about_its_lines_together(void **state)
{
    (void)state;
    struct discounts *discounts = rules(
        "{\"rules\":[{\"name\":\"r\",\"sku\":\"A\",\"min_quantity\":10,\"percent\":15}]}");
    struct order_line lines[] = { { "A", 4, 100 }, { "B", 5, 1000 }, { "A", 6, 200 } };
    struct order order = { .valid = true, .lines = lines, .line_count = 3, .subtotal_cents = 6600 };
    price_order(discounts, &order);
    assert_int_equal(order.discount_cents, 240);
    assert_int_equal(order.total_cents, 6360);
    lines[2].quantity = 5;
    order.subtotal_cents = 6400;
    price_order(discounts, &order);
    assert_int_equal(order.discount_cents, 0);
    discounts_free(discounts);
}

static void all_conditions_must_hold(void **state)
{
    (void)state;
    struct discounts *discounts = rules("{\"rules\":[{\"name\":\"r\",\"coupon\":\"C\",\"sku\":\"A\",\"min_quantity\":2,"
                                        "\"min_subtotal_cents\":200,\"percent\":50}]}");
    struct order_line line = { "A", 2, 100 };
    struct order order = one_line("C", &line);
    price_order(discounts, &order);
    assert_int_equal(order.discount_cents, 100);
    order.coupon = "D";
    price_order(discounts, &order);
    assert_int_equal(order.discount_cents, 0);
    line.quantity = 1;
    order = one_line("C", &line);
    price_order(discounts, &order);
    assert_int_equal(order.discount_cents, 0);
    discounts_free(discounts);
}

static void first_of_equals(void **state)
{
    (void)state;
    struct discounts *discounts = rules(
        "{\"rules\":[{\"name\":\"none\",\"percent\":0},{\"name\":\"first\",\"percent\":10},"
        "{\"name\":\"second\",\"percent\":10}]}");
    struct order_line line = { "A", 1, 100 };
    struct order order = one_line(NULL, &line);
    price_order(discounts, &order);
    assert_string_equal(order.discount_rule, "first");
    discounts_free(discounts);
}

static void largest_amounts(void **state)
{
    (void)state;
    struct discounts *discounts = rules("{\"rules\":[{\"name\":\"all\",\"sku\":\"A\",\"percent\":100}]}");
    struct order_line lines[9];
    for (size_t i = 0; i < 9; i++)
        lines[i] = (struct order_line){ "A", ORDER_QUANTITY_MAX, ORDER_UNIT_CENTS_MAX };
    struct order order = { .lines = lines, .line_count = 9, .subtotal_cents = 9 * INT64_C(1000000000000000000) };
    price_order(discounts, &order);
    assert_int_equal(order.total_cents, 0);
    discounts_free(discounts);
}

static void malformed_files(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"rules\":{}}",
        "{\"rules\":[],\"more\":1}",
        "{\"rules\":[],\"rules\":[]}",
        "{\"rules\":[5]}",
        "{\"rules\":[{}]}",
        "{\"rules\":[{\"name\":\"a\"}]}",
        "{\"rules\":[{\"percent\":5}]}",
        "{\"rules\":[{\"name\":\"\",\"percent\":5}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5.5}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":\"5\"}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":101}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":-1}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"cupon\":\"X\"}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"coupon\":1}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"sku\":\"\"}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"min_quantity\":3}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"sku\":\"S\",\"min_quantity\":0}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"min_subtotal_cents\":-1}]}",
        "{\"rules\":[{\"name\":\"a\",\"percent\":5,\"min_subtotal_cents\":1e3}]}",
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char error[300] = "";
        if (discounts_parse(table[i], "rules.json", error, sizeof error) != NULL)
            fail_msg("accepted: %s", table[i]);
        assert_true(strncmp(error, "rules.json:", 11) == 0);
    }
    struct discounts *none = rules("{\"rules\":[]}");
    assert_int_equal(discounts_count(none), 0);
    discounts_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_half_up),
        cmocka_unit_test(builtin_rules),
        cmocka_unit_test(sku_rule_is_about_its_lines_together),
        cmocka_unit_test(all_conditions_must_hold),
        cmocka_unit_test(first_of_equals),
        cmocka_unit_test(largest_amounts),
        cmocka_unit_test(malformed_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
