/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "payment.h"
#include "random.h"
#include "retry.h"
#include "stop.h"

enum { PARKED_MAX = 4 };

/* An order that is to be asked about again. */
struct parked {
    struct order *order;
    double due; /* sp_monotonic() */
};

struct fetcher {
    const struct fetch_settings *settings;
    struct counts *counts;
    struct payment *payment;
    uint64_t random;
    struct parked parked[PARKED_MAX];
    size_t n;
    bool closed; /* the queue has ended */
};

struct fetcher *fetcher_open(const struct fetch_settings *settings, struct counts *counts)
{
    struct fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (fetcher == NULL)
        return NULL;
    fetcher->settings = settings;
    fetcher->counts = counts;
    fetcher->payment = payment_open(settings->api, settings->timeout);
    if (getrandom(&fetcher->random, sizeof fetcher->random, GRND_NONBLOCK) < 0)
        fetcher->random = (uint64_t)(sp_monotonic() * 1e9) ^ (uint64_t)(uintptr_t)fetcher;
    if (fetcher->payment != NULL)
        return fetcher;
    fetcher_close(fetcher);
    return NULL;
}

void fetcher_close(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    payment_close(fetcher->payment);
    free(fetcher);
}

static void give_up(struct order *order, const char *format, double number, const char *reason)
    __attribute__((format(printf, 2, 0)));
static void give_up(struct order *order, const char *format, double number, const char *reason)
{
    order->state = ORDER_UNREACHABLE;
    snprintf(order->reason, sizeof order->reason, format, number, reason);
}

/* One request.  True: the order is fetched.  False: it is to be asked about again at *ret_due. */
static bool attempt(struct fetcher *fetcher, struct order *order, double *ret_due)
{
    struct answer answer;
    counts_request_begin(fetcher->counts);
    double begin = sp_monotonic();
    payment_ask(fetcher->payment, order->order_id, &answer);
    double end = sp_monotonic();
    counts_request_end(fetcher->counts, end - begin);
    order->attempts++;
    if (answer.verdict != VERDICT_RETRY) {
        order->state = answer.verdict == VERDICT_STATE ? answer.state : ORDER_UNREACHABLE;
        snprintf(order->reason, sizeof order->reason, "%s", answer.reason);
        return true;
    }
    if (answer.retry_after > RETRY_AFTER_MAX) {
        give_up(order, "told to come back in %.0f s: %.150s", answer.retry_after, answer.reason);
        return true;
    }
    if (order->attempts > fetcher->settings->retries) {
        give_up(order, "no usable answer in %.0f attempts, the last: %.140s", (double)order->attempts, answer.reason);
        return true;
    }
    unsigned retry = (unsigned)order->attempts - 1;
    *ret_due = end +
               (answer.retry_after >= 0 ? answer.retry_after : retry_backoff(retry, random_unit(&fetcher->random)));
    return false;
}

bool fetch_one(struct fetcher *fetcher, struct order *order)
{
    double due;
    while (!stop_requested()) {
        if (attempt(fetcher, order, &due))
            return true;
        sp_event_wait(stop_event(), due - sp_monotonic());
    }
    return false;
}

static void discard(struct fetcher *fetcher, struct order *order)
{
    counts_add(fetcher->counts, COUNT_LEFT, 1);
    order_free(order);
}

static size_t earliest(const struct fetcher *fetcher)
{
    size_t first = 0;
    for (size_t i = 1; i < fetcher->n; i++) {
        if (fetcher->parked[i].due < fetcher->parked[first].due)
            first = i;
    }
    return first;
}

static struct order *unpark(struct fetcher *fetcher, size_t index)
{
    struct order *order = fetcher->parked[index].order;
    fetcher->parked[index] = fetcher->parked[--fetcher->n];
    return order;
}

/* The next order to ask about: one set aside that is due, else one from the queue.  NULL: there are no more.

   The wait on the queue ends with a stop too, because the reader closes the queue then. */
static struct order *next_order(struct fetcher *fetcher, sp_queue *in)
{
    for (;;) {
        size_t first = earliest(fetcher);
        double wait = fetcher->n == 0 ? SP_FOREVER : fetcher->parked[first].due - sp_monotonic();
        if (fetcher->n > 0 && (wait <= 0 || stop_requested()))
            return unpark(fetcher, first);
        if (fetcher->closed && fetcher->n == 0)
            return NULL;
        if (fetcher->closed || fetcher->n == PARKED_MAX) {
            sp_event_wait(stop_event(), wait);
            continue;
        }
        struct order *order;
        sp_status status = sp_get(in, &order, wait);
        if (status == SP_OK)
            return order;
        fetcher->closed = status != SP_EMPTY;
    }
}

void fetch_all(struct fetcher *fetcher, sp_queue *in, sp_queue *out)
{
    struct order *order;
    double due;
    while ((order = next_order(fetcher, in)) != NULL) {
        if (stop_requested())
            discard(fetcher, order);
        else if (!attempt(fetcher, order, &due))
            fetcher->parked[fetcher->n++] = (struct parked){ .order = order, .due = due };
        else if (sp_put(out, &order, SP_FOREVER) != SP_OK)
            discard(fetcher, order);
    }
}
