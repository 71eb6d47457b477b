/* One line of input to an order: parse, find the id, validate, copy.

   The JSON tree is larger than the order many times over, so it does not live longer than this.

   SPDX-License-Identifier: MIT */
#include "order.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "money.h"

/* The lengths come from jansson: a string may hold U+0000, which C strings cannot. */
static bool is_c_string(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

bool order_id_valid(const char *text, size_t length)
{
    if (length < 1 || length > ORDER_ID_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 127 || (!isalnum(c) && c != '_' && c != '-'))
            return false;
    }
    return true;
}

/* The local part as HTML's input type=email has it. */
static bool local_part_valid(const char *text, size_t length)
{
    if (length < 1 || length > 64)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 127 || (!isalnum(c) && strchr(".!#$%&'*+/=?^_`{|}~-", c) == NULL))
            return false;
    }
    return true;
}

/* Labels of letters, digits and inner hyphens, 1 to 63 long, at least two of them. */
static bool domain_valid(const char *text)
{
    size_t labels = 0;
    for (;;) {
        size_t length = strcspn(text, ".");
        if (length < 1 || length > 63 || text[0] == '-' || text[length - 1] == '-')
            return false;
        for (size_t i = 0; i < length; i++) {
            unsigned char c = (unsigned char)text[i];
            if (c > 127 || (!isalnum(c) && c != '-'))
                return false;
        }
        labels++;
        if (text[length] == '\0')
            return labels >= 2;
        text += length + 1;
    }
}

static bool email_valid(const char *text)
{
    const char *at = strchr(text, '@');
    return at != NULL && strlen(text) <= ORDER_CUSTOMER_MAX && local_part_valid(text, (size_t)(at - text)) &&
           domain_valid(at + 1);
}

static bool currency_valid(const json_t *value)
{
    if (!is_c_string(value) || json_string_length(value) != 3)
        return false;
    const char *text = json_string_value(value);
    for (int i = 0; i < 3; i++) {
        if (text[i] < 'A' || text[i] > 'Z')
            return false;
    }
    return true;
}

/* Characters are code points, not bytes: jansson has checked the UTF-8. */
static bool sku_valid(const json_t *value)
{
    if (!is_c_string(value))
        return false;
    size_t characters = 0;
    for (const char *c = json_string_value(value); *c != '\0'; c++)
        characters += ((unsigned char)*c & 0xC0) != 0x80;
    return characters >= 1 && characters <= 64;
}

static bool integer_within(const json_t *value, int64_t least, int64_t most)
{
    return json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most;
}

/* What is wrong with a line, or NULL; its strings and its money are added up. */
static const char *check_line(const json_t *line, size_t *string_bytes, money_wide *subtotal)
{
    if (!json_is_object(line))
        return "line %zu is no object";
    const json_t *sku = json_object_get(line, "sku"), *quantity = json_object_get(line, "quantity"),
                 *unit_cents = json_object_get(line, "unit_cents");
    if (!sku_valid(sku))
        return "line %zu: sku is not 1 to 64 characters";
    if (!integer_within(quantity, 1, ORDER_QUANTITY_MAX))
        return "line %zu: quantity is no integer from 1 to 1000000";
    if (!integer_within(unit_cents, 0, ORDER_UNIT_CENTS_MAX))
        return "line %zu: unit_cents is no integer from 0 to 1000000000000";
    *string_bytes += json_string_length(sku) + 1;
    *subtotal += (money_wide)json_integer_value(quantity) * json_integer_value(unit_cents);
    return NULL;
}

/* Is the order valid?  If not, why; if it is, how many bytes its strings take, and what it costs. */
static bool check_order(const json_t *root, size_t *ret_string_bytes, int64_t *ret_subtotal,
                        char reason[ORDER_REASON_SIZE])
{
    const json_t *customer = json_object_get(root, "customer"), *lines = json_object_get(root, "lines"),
                 *coupon = json_object_get(root, "coupon");
    const char *wrong = NULL;
    if (!is_c_string(customer) || !email_valid(json_string_value(customer)))
        wrong = "customer is no e-mail address";
    else if (!currency_valid(json_object_get(root, "currency")))
        wrong = "currency is not three capital letters";
    else if (coupon != NULL && !json_is_null(coupon) && !is_c_string(coupon))
        wrong = "coupon is no text";
    else if (!json_is_array(lines) || json_array_size(lines) < 1 || json_array_size(lines) > ORDER_LINES_MAX)
        wrong = "lines is no array of 1 to 1000 lines";
    if (wrong != NULL) {
        snprintf(reason, ORDER_REASON_SIZE, "%s", wrong);
        return false;
    }
    money_wide subtotal = 0;
    size_t bytes = json_is_string(coupon) ? json_string_length(coupon) + 1 : 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *format = check_line(json_array_get(lines, i), &bytes, &subtotal);
        if (format != NULL) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(reason, ORDER_REASON_SIZE, format, i + 1);
#pragma GCC diagnostic pop
            return false;
        }
    }
    if (subtotal > INT64_MAX) {
        snprintf(reason, ORDER_REASON_SIZE, "the subtotal is too large");
        return false;
    }
    *ret_string_bytes = bytes;
    *ret_subtotal = (int64_t)subtotal;
    return true;
}

/* Copy a string to *end and move *end behind it. */
static const char *keep_string(char **end, const json_t *value)
{
    char *copy = *end;
    size_t size = json_string_length(value) + 1;
    memcpy(copy, json_string_value(value), size);
    *end = copy + size;
    return copy;
}

static void fill_order(struct order *order, const json_t *root, char *strings)
{
    const json_t *lines = json_object_get(root, "lines"), *coupon = json_object_get(root, "coupon");
    snprintf(order->customer, sizeof order->customer, "%s", json_string_value(json_object_get(root, "customer")));
    snprintf(order->currency, sizeof order->currency, "%s", json_string_value(json_object_get(root, "currency")));
    if (json_is_string(coupon))
        order->coupon = keep_string(&strings, coupon);
    for (size_t i = 0; i < order->line_count; i++) {
        const json_t *line = json_array_get(lines, i);
        order->lines[i] = (struct order_line){ .sku = keep_string(&strings, json_object_get(line, "sku")),
                                               .quantity = json_integer_value(json_object_get(line, "quantity")),
                                               .unit_cents = json_integer_value(json_object_get(line, "unit_cents")) };
    }
}

/* An order with room behind it for its lines and strings. */
static struct order *new_order(const char *order_id, size_t line_count, size_t string_bytes)
{
    struct order *order = calloc(1, sizeof *order + line_count * sizeof *order->lines + string_bytes);
    if (order == NULL)
        return NULL;
    snprintf(order->order_id, sizeof order->order_id, "%s", order_id);
    order->line_count = line_count;
    order->lines = (struct order_line *)(order + 1);
    return order;
}

/* Does the number text[0..length) fit neither int64 nor double?  Such a number makes jansson refuse the whole line. */
static bool number_overflows(const char *text, size_t length)
{
    char *end;
    if (memchr(text, '.', length) == NULL && memchr(text, 'e', length) == NULL && memchr(text, 'E', length) == NULL) {
        errno = 0;
        (void)strtoll(text, &end, 10);
        return end == text + length && errno == ERANGE;
    }
    double value = strtod(text, &end);
    return end == text + length && isinf(value);
}

/* Put 0.5 in the place of numbers that overflow: it is valid nowhere, so the order is rejected if the field matters,
   and the line is not taken for no JSON. */
static void replace_overflowing_numbers(char *text)
{
    bool in_string = false;
    for (char *c = text; *c != '\0'; c++) {
        if (in_string) {
            if (*c == '\\' && c[1] != '\0')
                c++;
            else if (*c == '"')
                in_string = false;
        } else if (*c == '"') {
            in_string = true;
        } else if (*c == '-' || isdigit((unsigned char)*c)) {
            size_t length = strspn(c, "+-.0123456789eE");
            if (number_overflows(c, length)) {
                memset(c, ' ', length);
                memcpy(c, "0.5", 3);
            }
            c += length - 1;
        }
    }
}

static json_t *parse_json(char *text, size_t length, char reason[ORDER_REASON_SIZE])
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_error_t error;
    json_t *root = json_loadb(text, length, flags, &error);
    if (root == NULL && json_error_code(&error) == json_error_numeric_overflow) {
        replace_overflowing_numbers(text);
        root = json_loadb(text, length, flags, &error);
    }
    if (root == NULL)
        snprintf(reason, ORDER_REASON_SIZE, "no JSON object: %s", error.text);
    return root;
}

static enum order_parsed parse_object(const json_t *root, struct order **ret_order, char reason[ORDER_REASON_SIZE])
{
    const json_t *id = json_object_get(root, "order_id");
    if (!json_is_string(id) || !order_id_valid(json_string_value(id), json_string_length(id))) {
        snprintf(reason, ORDER_REASON_SIZE, "%s",
                 !json_is_object(root) ? "no JSON object"
                 : id == NULL          ? "no order_id"
                                       : "order_id is not 1 to 64 of A-Z a-z 0-9 _ -");
        return ORDER_MALFORMED;
    }
    size_t string_bytes = 0;
    int64_t subtotal = 0;
    bool valid = check_order(root, &string_bytes, &subtotal, reason);
    size_t line_count = valid ? json_array_size(json_object_get(root, "lines")) : 0;
    struct order *order = new_order(json_string_value(id), line_count, string_bytes);
    if (order == NULL)
        return ORDER_NO_MEMORY;
    order->valid = valid;
    if (valid) {
        order->subtotal_cents = subtotal;
        fill_order(order, root, (char *)(order->lines + line_count));
    } else {
        order->state = ORDER_REJECTED;
        memcpy(order->reason, reason, sizeof order->reason);
    }
    *ret_order = order;
    return valid ? ORDER_VALID : ORDER_INVALID;
}

enum order_parsed order_parse(char *text, size_t length, struct order **ret_order, char reason[ORDER_REASON_SIZE])
{
    memset(reason, 0, ORDER_REASON_SIZE);
    json_t *root = parse_json(text, length, reason);
    if (root == NULL)
        return ORDER_MALFORMED;
    enum order_parsed parsed = parse_object(root, ret_order, reason);
    json_decref(root);
    return parsed;
}
