/* Discount rules are JSON, so the file's root object is kept and the rules point into it.

   Every field must be known: a mistyped condition would silently make a rule apply to more orders.

   SPDX-License-Identifier: MIT */
#include "discounts.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct discounts {
    json_t *root; /* owns the strings */
    size_t count;
    struct discount_rule rules[];
};

static const char builtin_rules[] = "{\"rules\":["
                                    "{\"name\":\"welcome\",\"coupon\":\"WELCOME10\",\"percent\":10},"
                                    "{\"name\":\"big\",\"min_subtotal_cents\":10000,\"percent\":5},"
                                    "{\"name\":\"bulk\",\"sku\":\"TEA-1\",\"min_quantity\":10,\"percent\":15}]}";

/* Take a text of at least one character into *ret; a missing one is fine unless required. */
static bool take_text(const json_t *rule, const char *key, bool required, const char **ret)
{
    const json_t *value = json_object_get(rule, key);
    if (value == NULL)
        return !required;
    *ret = json_string_value(value);
    return *ret != NULL && **ret != '\0';
}

static bool take_integer(const json_t *rule, const char *key, int64_t least, int64_t most, int64_t *ret)
{
    const json_t *value = json_object_get(rule, key);
    if (value == NULL)
        return true;
    *ret = json_integer_value(value);
    return json_is_integer(value) && *ret >= least && *ret <= most;
}

/* The first field that no rule has, or NULL. */
static const char *unknown_field(json_t *object, const char *const *known)
{
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const char *const *k = known, *key = json_object_iter_key(at);
        while (*k != NULL && strcmp(*k, key) != 0)
            k++;
        if (*k == NULL)
            return key;
    }
    return NULL;
}

/* What is wrong with a rule, or NULL. */
static const char *take_rule(const json_t *object, struct discount_rule *rule)
{
    int64_t percent = -1;
    if (!take_text(object, "name", true, &rule->name))
        return "name must be a text";
    if (!take_text(object, "coupon", false, &rule->coupon))
        return "coupon must be a text";
    if (!take_text(object, "sku", false, &rule->sku))
        return "sku must be a text";
    if (!take_integer(object, "min_subtotal_cents", 0, INT64_MAX, &rule->min_subtotal_cents))
        return "min_subtotal_cents must be an integer, 0 or more";
    if (!take_integer(object, "min_quantity", 1, INT64_MAX, &rule->min_quantity))
        return "min_quantity must be an integer, 1 or more";
    if (rule->min_quantity != 0 && rule->sku == NULL)
        return "min_quantity needs a sku";
    if (!take_integer(object, "percent", 0, 100, &percent) || percent < 0)
        return "percent must be an integer from 0 to 100";
    rule->percent = (int)percent;
    return NULL;
}

static bool take_rules(struct discounts *discounts, const char *name, char *error, size_t error_size)
{
    static const char *const known[] = {
        "name", "coupon", "sku", "min_subtotal_cents", "min_quantity", "percent", NULL
    };
    const json_t *rules = json_object_get(discounts->root, "rules");
    for (size_t i = 0; i < discounts->count; i++) {
        json_t *object = json_array_get(rules, i);
        const char *unknown = unknown_field(object, known);
        const char *wrong = !json_is_object(object) ? "it must be an object" : take_rule(object, &discounts->rules[i]);
        if (unknown != NULL)
            snprintf(error, error_size, "%s: rule %zu: unknown field \"%s\"", name, i + 1, unknown);
        else if (wrong != NULL)
            snprintf(error, error_size, "%s: rule %zu: %s", name, i + 1, wrong);
        if (unknown != NULL || wrong != NULL)
            return false;
    }
    return true;
}

/* Takes the root over. */
static struct discounts *new_discounts(json_t *root, const char *name, char *error, size_t error_size)
{
    static const char *const known[] = { "rules", NULL };
    json_t *rules = json_object_get(root, "rules");
    if (!json_is_array(rules) || unknown_field(root, known) != NULL) {
        snprintf(error, error_size, "%s: it must be {\"rules\": [...]} and nothing else", name);
        json_decref(root);
        return NULL;
    }
    size_t count = json_array_size(rules);
    struct discounts *discounts = calloc(1, sizeof *discounts + count * sizeof discounts->rules[0]);
    if (discounts == NULL) {
        snprintf(error, error_size, "%s: no memory", name);
        json_decref(root);
        return NULL;
    }
    discounts->root = root;
    discounts->count = count;
    if (!take_rules(discounts, name, error, error_size)) {
        discounts_free(discounts);
        return NULL;
    }
    return discounts;
}

struct discounts *discounts_parse(const char *text, const char *name, char *error, size_t error_size)
{
    json_error_t wrong;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &wrong);
    if (root == NULL) {
        snprintf(error, error_size, "%s:%d: %s", name, wrong.line, wrong.text);
        return NULL;
    }
    return new_discounts(root, name, error, error_size);
}

struct discounts *discounts_load(const char *path, char *error, size_t error_size)
{
    json_error_t wrong;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &wrong);
    if (root == NULL) {
        if (wrong.line > 0)
            snprintf(error, error_size, "%s:%d: %s", path, wrong.line, wrong.text);
        else
            snprintf(error, error_size, "%s", wrong.text);
        return NULL;
    }
    return new_discounts(root, path, error, error_size);
}

struct discounts *discounts_builtin(void)
{
    char error[200];
    return discounts_parse(builtin_rules, "built-in rules", error, sizeof error);
}

void discounts_free(struct discounts *discounts)
{
    if (discounts == NULL)
        return;
    json_decref(discounts->root);
    free(discounts);
}

size_t discounts_count(const struct discounts *discounts)
{
    return discounts->count;
}

const struct discount_rule *discounts_rule(const struct discounts *discounts, size_t index)
{
    return &discounts->rules[index];
}
