/* The ten orders that the program carries.  SPDX-License-Identifier: MIT */
#ifndef ORDERS_SAMPLE_H
#define ORDERS_SAMPLE_H

enum { SAMPLE_COUNT = 10 };
/* JSON Lines. */
extern const char sample_orders[];

#endif
