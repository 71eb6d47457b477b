/* Money is integer cents.  Products and sums are taken in 128 bits and must fit 64 when they are kept.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_MONEY_H
#define ORDERS_MONEY_H

#include <stdint.h>

__extension__ typedef __int128 money_wide;

/* percent (0 to 100) of an amount that is not negative, half a cent rounded up; never more than the amount. */
static inline int64_t money_percent(int64_t cents, int percent)
{
    return (int64_t)(((money_wide)cents * percent + 50) / 100);
}

#endif
