/* The stages together.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_PIPELINE_H
#define ORDERS_PIPELINE_H

#include "counts.h"
#include "discounts.h"
#include "fetch.h"
#include "reader.h"
#include "writer.h"

/* All lent. */
struct pipeline_parts {
    struct reader *reader;
    const struct fetch_settings *fetch;
    const struct discounts *discounts;
    struct writer *writer;
    struct counts *counts;
};

/* Both return when the input has ended, or the run was stopped, and everything that was fetched is written; why it was
   stopped is stop.h's to tell. */
void pipeline_threads(const struct pipeline_parts *parts, unsigned workers);
void pipeline_sequential(const struct pipeline_parts *parts);

#endif
