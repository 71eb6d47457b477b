/* Latencies are kept in microseconds in buckets that double in width every 64: fixed size, at most 1.6 % wide.

   SPDX-License-Identifier: MIT */
#include "counts.h"

enum { STEPS_BITS = 6, STEPS = 1 << STEPS_BITS };

static size_t bucket_of(uint64_t us)
{
    if (us < STEPS)
        return (size_t)us;
    unsigned octave = 63u - (unsigned)__builtin_clzll(us) - STEPS_BITS;
    size_t bucket = (size_t)STEPS * (octave + 1) + (size_t)((us >> octave) - STEPS);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The middle of a bucket. */
static double us_of(size_t bucket)
{
    if (bucket < STEPS)
        return (double)bucket;
    size_t octave = bucket / STEPS - 1;
    return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(UINT64_C(1) << octave);
}

void counts_add(struct counts *counts, unsigned kind, uint64_t n)
{
    SP_HOLD(&counts->lock);
    counts->of[kind] += n;
}

void counts_request_begin(struct counts *counts)
{
    SP_HOLD(&counts->lock);
    counts->in_flight++;
}

void counts_request_end(struct counts *counts, double seconds)
{
    size_t bucket = bucket_of(seconds > 0 ? (uint64_t)(seconds * 1e6) : 0);
    SP_HOLD(&counts->lock);
    counts->in_flight--;
    counts->requests++;
    counts->latency[bucket]++;
}

struct count_snapshot counts_snapshot(struct counts *counts)
{
    struct count_snapshot seen = { .orders = 0 };
    SP_HOLD(&counts->lock);
    for (unsigned kind = 0; kind < COUNT_KINDS; kind++) {
        seen.of[kind] = counts->of[kind];
        seen.lines += counts->of[kind];
        if (kind <= ORDER_UNREACHABLE)
            seen.orders += counts->of[kind];
    }
    seen.in_flight = counts->in_flight;
    return seen;
}

double counts_latency_ms(struct counts *counts, double q)
{
    SP_HOLD(&counts->lock);
    double wanted = q * (double)counts->requests;
    uint64_t below = 0;
    for (size_t bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        below += counts->latency[bucket];
        if (below > 0 && (double)below >= wanted)
            return us_of(bucket) / 1000;
    }
    return 0;
}
