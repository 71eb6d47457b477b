/* The last words of a run.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_SUMMARY_H
#define ORDERS_SUMMARY_H

#include <stdbool.h>

#include "counts.h"

/* For people, on standard error. */
void summary_report(struct counts *counts, double seconds);
/* For programs, on standard output: one JSON object on a line.  False: it could not be written. */
bool summary_json(struct counts *counts, double seconds);

#endif
