/* The numbers of a run.  One lock, held for a few additions.

   SPDX-License-Identifier: MIT */
#ifndef ORDERS_COUNTS_H
#define ORDERS_COUNTS_H

#include <stdint.h>

#include <spool.h>

#include "order.h"

/* The first five are enum order_state: rows that were committed. */
enum count {
    COUNT_DUPLICATES = ORDER_UNREACHABLE + 1,
    COUNT_SKIPPED,
    COUNT_MALFORMED,
    COUNT_LEFT, /* read, and given up because of a stop */
    COUNT_KINDS
};

enum { LATENCY_BUCKETS = 64 * 32 };

/* All bytes zero: nothing counted. */
struct counts {
    sp_lock lock;
    uint64_t of[COUNT_KINDS];          /* guarded by lock, as is all below */
    uint64_t in_flight;                /* requests on the wire */
    uint64_t requests;                 /* that ended */
    uint32_t latency[LATENCY_BUCKETS]; /* of requests; see counts.c */
};

void counts_add(struct counts *counts, unsigned kind, uint64_t n);
/* A request begins; it ended after so many seconds. */
void counts_request_begin(struct counts *counts);
void counts_request_end(struct counts *counts, double seconds);

/* What may be read at any time. */
struct count_snapshot {
    uint64_t of[COUNT_KINDS];
    uint64_t orders; /* rows: the five states together */
    uint64_t lines;  /* lines of input that are dealt with */
    uint64_t in_flight;
};
struct count_snapshot counts_snapshot(struct counts *counts);

/* The latency in milliseconds that the fraction q of requests did not exceed, within 2 %; 0 without requests. */
double counts_latency_ms(struct counts *counts, double q);

#endif
