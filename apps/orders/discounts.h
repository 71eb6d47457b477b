/* Discount rules: the built-in ones, or those of a file.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_DISCOUNTS_H
#define ORDERS_DISCOUNTS_H

#include <stddef.h>
#include <stdint.h>

/* All conditions that are given must hold.  With sku it is about that sku's lines, else about the whole subtotal. */
struct discount_rule {
    const char *name;
    const char *coupon;         /* NULL: any */
    const char *sku;            /* NULL: the whole order */
    int64_t min_subtotal_cents; /* 0: any */
    int64_t min_quantity;       /* of sku, summed */
    int percent;                /* 0 to 100 */
};

struct discounts; /* read only once loaded; shared by all threads */

/* The built-in rules.  NULL: no memory. */
struct discounts *discounts_builtin(void);
/* The rules of a file.  NULL: why is in error, a sentence that names the file. */
struct discounts *discounts_load(const char *path, char *error, size_t error_size);
/* The rules of a text that is called `name` in errors. */
struct discounts *discounts_parse(const char *text, const char *name, char *error, size_t error_size);
void discounts_free(struct discounts *discounts);

size_t discounts_count(const struct discounts *discounts);
const struct discount_rule *discounts_rule(const struct discounts *discounts, size_t index);

#endif
