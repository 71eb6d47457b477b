/* What the unit tests of orders share.  SPDX-License-Identifier: MIT */
#ifndef ORDERS_TESTS_UNIT_H
#define ORDERS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
