/* Queues and semaphores are linearizable: small concurrent runs are recorded, and an order that explains them is sought.

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <spool.h>

#include "stress/history.h"

enum { THREADS = 3, MOST_OPERATIONS = 5, BOUND = 2, LARGEST_RELEASE = 2 };

_Static_assert(THREADS *MOST_OPERATIONS *(1 + LARGEST_RELEASE) + 1 <= HISTORY_MOST, "the run, and taking what it left");

/* Large, so that a putter is between claiming a slot and handing it over for as long as can be. */
enum { LARGE = 8192, LARGE_IN_CHAIN = 256 };

struct recorder;

struct runner {
    struct recorder *recorder;
    uint32_t number;
    uint64_t random;
    unsigned count;
    struct history_operation operations[MOST_OPERATIONS];
    uint8_t item[LARGE];
};

struct recorder {
    sp_queue *queue; /* or NULL: the semaphore is meant */
    size_t item_size;
    sp_semaphore semaphore;
    uint64_t ticket;  /* atomic */
    uint32_t round;   /* atomic; which run is to come */
    uint32_t ready;   /* atomic; threads that wait for its start */
    uint32_t go;      /* atomic; which run has started */
    uint32_t arrived; /* atomic; threads that have ended it */
    uint32_t pulse;   /* atomic; changes while a thread that waits for the start is on a CPU */
    uint32_t over;    /* atomic */
    uint32_t yields;  /* atomic; few operations are interrupted: some give the CPU away */
    struct runner runners[THREADS];
};

/* ---- one operation ---- */

/* An operation counts from here on.  Where one thread runs at a time, as under memcheck, few are interrupted: there
   others must get their turn in between. */
static uint64_t note_start(struct runner *self)
{
    uint64_t start = sp__add_seq_cst(&self->recorder->ticket, 1);
    if (sp__load_relaxed(&self->recorder->yields) && stress_one_in(8, &self->random))
        sched_yield();
    return start;
}

static void operate_on_queue(struct runner *self, struct history_operation *operation)
{
    struct recorder *recorder = self->recorder;
    memset(self->item, operation->value, recorder->item_size);
    operation->start = note_start(self);
    sp_status status = operation->kind == HISTORY_PUT
                           ? sp_queue_put(recorder->queue, self->item, recorder->item_size, SP_NOWAIT)
                           : sp_queue_get(recorder->queue, self->item, recorder->item_size, SP_NOWAIT);
    operation->end = sp__add_seq_cst(&recorder->ticket, 1);
    operation->done = status == SP_OK;
    operation->value = self->item[0];
    stress_expect(self->item[recorder->item_size - 1] == self->item[0]);
    stress_expect(status == SP_OK || status == (operation->kind == HISTORY_PUT ? SP_FULL : SP_EMPTY));
}

static void operate_on_semaphore(struct runner *self, struct history_operation *operation)
{
    struct recorder *recorder = self->recorder;
    operation->start = note_start(self);
    if (operation->kind == HISTORY_ACQUIRE)
        operation->done = sp_semaphore_acquire_timeout(&recorder->semaphore, SP_NOWAIT);
    else
        operation->done = sp_semaphore_release(&recorder->semaphore, operation->value) == SP_OK;
    operation->end = sp__add_seq_cst(&recorder->ticket, 1);
}

static void operate(struct runner *self, struct history_operation *operation)
{
    if (self->recorder->queue != NULL)
        operate_on_queue(self, operation);
    else
        operate_on_semaphore(self, operation);
}

static struct history_operation draw_operation(struct runner *self)
{
    uint64_t drawn = test_random(&self->random);
    bool adds = drawn % 2 == 0;
    if (self->recorder->queue != NULL) /* each value is put once in a run: 0, 1, ... of each thread */
        return (
            struct history_operation){ .kind = adds ? HISTORY_PUT : HISTORY_GET,
                                       .value = (uint8_t)(adds ? self->number * MOST_OPERATIONS + self->count : 0) };
    return (struct history_operation){ .kind = adds ? HISTORY_RELEASE : HISTORY_ACQUIRE,
                                       .value = (uint8_t)(adds ? 1 + (drawn >> 8) % LARGEST_RELEASE : 0) };
}

/* ---- runs: the threads live on, and meet between them ---- */

static void run_once(struct runner *self)
{
    unsigned wanted = MOST_OPERATIONS - 1 + (unsigned)(test_random(&self->random) % 2);
    for (self->count = 0; self->count < wanted; self->count++) {
        self->operations[self->count] = draw_operation(self);
        operate(self, &self->operations[self->count]);
        if (stress_one_in(64, &self->random))
            sched_yield(); /* let the third come in between */
        stress_linger(test_random(&self->random) % 8);
    }
}

/* Short waits are for another CPU, long ones for one's own. */
static void await_change(uint32_t *word, uint32_t from)
{
    for (unsigned i = 0; sp__load_acquire(word) == from; i++) {
        if (i < 300)
            sp__cpu_relax();
        else
            test_pause(i - 300);
    }
}

static void await_start(struct recorder *recorder, uint32_t round)
{
    sp__add_seq_cst(&recorder->ready, 1);
    for (unsigned i = 1; sp__load_acquire(&recorder->go) == round; i++) {
        sp__add_relaxed(&recorder->pulse, 1);
        if (i % 2000 == 0)
            sched_yield();
    }
}

static void *run_again_and_again(void *arg)
{
    struct runner *self = arg;
    struct recorder *recorder = self->recorder;
    for (uint32_t round = 0;; round++) {
        await_change(&recorder->round, round);
        if (sp__load_acquire(&recorder->over))
            return NULL;
        await_start(recorder, round);
        run_once(self);
        sp__add_seq_cst(&recorder->arrived, 1);
    }
}

/* Wait, not for ever, until another runner is on another CPU: else nothing would overlap. */
static void await_pulse(struct recorder *recorder)
{
    for (int tries = 0; tries < 8; tries++) {
        uint32_t before = sp__load_relaxed(&recorder->pulse);
        for (int i = 0; i < 100; i++) {
            sp__cpu_relax();
            if (sp__load_relaxed(&recorder->pulse) != before)
                return;
        }
        sched_yield();
    }
}

static void await_others(uint32_t *count)
{
    for (uint32_t seen; (seen = sp__load_acquire(count)) < THREADS - 1;)
        await_change(count, seen);
}

/* The main thread is the first runner: it would only wait. */
static void run_all(struct recorder *recorder)
{
    recorder->arrived = recorder->ready = 0;
    sp__add_seq_cst(&recorder->round, 1);
    await_others(&recorder->ready);
    await_pulse(recorder);
    sp__add_seq_cst(&recorder->go, 1);
    run_once(&recorder->runners[0]);
    await_others(&recorder->arrived);
}

/* What is left is part of the history: the main thread takes it, one after the other. */
static void add_rest(struct recorder *recorder, struct history *history)
{
    static struct runner last;
    last.recorder = recorder;
    bool more = true;
    while (more) {
        assert_true(history->count < HISTORY_MOST);
        struct history_operation *operation = &history->operations[history->count++];
        *operation = (struct history_operation){ .kind = recorder->queue != NULL ? HISTORY_GET : HISTORY_ACQUIRE };
        operate(&last, operation);
        more = operation->done;
    }
}

static void record(struct recorder *recorder, struct history *history)
{
    recorder->ticket = 0;
    run_all(recorder);
    history->count = 0;
    for (int i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < recorder->runners[i].count; k++)
            history->operations[history->count++] = recorder->runners[i].operations[k];
    add_rest(recorder, history);
}

static void check_histories(sp_queue *queue, size_t item_size, uint8_t bound)
{
    static struct recorder the_recorder;
    struct recorder *recorder = &the_recorder;
    *recorder = (struct recorder){ .queue = queue, .item_size = item_size };
    /* 5,000 histories as a rule, 10^5 with SPOOL_TEST_SCALE=2000 */
    struct test_rounds rounds = test_rounds(5000);
    long overlap = 0;
    struct history history;
    bool explained = true;
    uint64_t seed = test_seed();
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++)
        recorder->runners[i] = (struct runner){ .recorder = recorder, .number = i, .random = seed + i };
    for (int i = 1; i < THREADS; i++)
        threads[i] = test_thread(run_again_and_again, &recorder->runners[i]);
    while (explained && test_next_round(&rounds, overlap > 0)) {
        record(recorder, &history);
        overlap += history_overlaps(&history);
        sp__store_relaxed(&recorder->yields, overlap < rounds.begun / 10);
        explained = history_is_linearizable(&history, (struct history_object){ .bound = bound });
    }
    sp__store_release(&recorder->over, 1);
    sp__add_seq_cst(&recorder->round, 1);
    for (int i = 1; i < THREADS; i++)
        test_join(threads[i]);
    stress_assert_nothing_wrong();
    if (!explained) {
        history_print(&history);
        fail_msg("no order explains this history");
    }
    printf("%ld histories, operations overlap in %ld\n", rounds.begun - 1, overlap);
    assert_true(overlap > 0); /* else they tell nothing */
}

static void the_bounded_fifo_is_linearizable(void **state)
{
    (void)state;
    sp_auto(sp_queue)
        queue = sp_queue_new(LARGE, &(sp_queue_options){ .struct_size = sizeof(sp_queue_options), .maxsize = BOUND });
    check_histories(queue, LARGE, BOUND);
}

static void the_unbounded_fifo_is_linearizable(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_new(LARGE_IN_CHAIN, NULL);
    check_histories(queue, LARGE_IN_CHAIN, 0);
}

static void the_semaphore_is_linearizable(void **state)
{
    (void)state;
    check_histories(NULL, 0, 0);
}

/* ---- the checker itself ---- */

#define DONE(kind, value, start, end)                                                                                  \
    {                                                                                                                  \
        HISTORY_##kind, value, true, start, end                                                                        \
    }
#define NOT(kind, start, end)                                                                                          \
    {                                                                                                                  \
        HISTORY_##kind, 0, false, start, end                                                                           \
    }

static const struct sample {
    const char *what;
    struct history history;
    bool linearizable;
} samples[] = {
    { "nothing", { 0 }, true },
    { "in order", { 3, { DONE(PUT, 1, 0, 1), DONE(PUT, 2, 2, 3), DONE(GET, 1, 4, 5) } }, true },
    { "out of order", { 3, { DONE(PUT, 1, 0, 1), DONE(PUT, 2, 2, 3), DONE(GET, 2, 4, 5) } }, false },
    { "puts overlap", { 3, { DONE(PUT, 1, 0, 2), DONE(PUT, 2, 1, 3), DONE(GET, 2, 4, 5) } }, true },
    { "got twice", { 3, { DONE(PUT, 1, 0, 1), DONE(GET, 1, 2, 4), DONE(GET, 1, 3, 5) } }, false },
    { "got before put", { 2, { DONE(GET, 1, 0, 1), DONE(PUT, 1, 2, 3) } }, false },
    { "got while put", { 2, { DONE(GET, 1, 0, 2), DONE(PUT, 1, 1, 3) } }, true },
    { "empty after a put", { 2, { DONE(PUT, 1, 0, 1), NOT(GET, 2, 3) } }, false },
    { "empty during a put", { 2, { DONE(PUT, 1, 0, 2), NOT(GET, 1, 3) } }, true },
    { "full at one", { 2, { DONE(PUT, 1, 0, 1), NOT(PUT, 2, 3) } }, false },
    { "full at two", { 3, { DONE(PUT, 1, 0, 1), DONE(PUT, 2, 2, 3), NOT(PUT, 4, 5) } }, true },
    { "full after a get",
      { 4, { DONE(PUT, 1, 0, 1), DONE(PUT, 2, 2, 3), DONE(GET, 1, 4, 5), NOT(PUT, 6, 7) } },
      false },
    { "three in a bound of two", { 3, { DONE(PUT, 1, 0, 1), DONE(PUT, 2, 2, 3), DONE(PUT, 3, 4, 5) } }, false },
    { "lost", { 4, { DONE(PUT, 1, 0, 2), DONE(PUT, 2, 1, 3), DONE(GET, 2, 4, 5), NOT(GET, 6, 7) } }, false },
    { "no permit", { 1, { DONE(ACQUIRE, 0, 0, 1) } }, false },
    { "a permit that comes", { 2, { DONE(ACQUIRE, 0, 0, 2), DONE(RELEASE, 1, 1, 3) } }, true },
    { "a permit denied", { 2, { DONE(RELEASE, 1, 0, 1), NOT(ACQUIRE, 2, 3) } }, false },
    { "a permit taken twice",
      { 3, { DONE(RELEASE, 1, 0, 1), DONE(ACQUIRE, 0, 2, 4), DONE(ACQUIRE, 0, 3, 5) } },
      false },
    { "two permits", { 3, { DONE(RELEASE, 2, 0, 1), DONE(ACQUIRE, 0, 2, 4), DONE(ACQUIRE, 0, 3, 5) } }, true },
};

static void the_checker_tells_right_from_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct history_object from = { .bound = BOUND };
        if (history_is_linearizable(&samples[i].history, from) != samples[i].linearizable)
            fail_msg("wrong about: %s", samples[i].what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_tells_right_from_wrong),
        cmocka_unit_test(the_bounded_fifo_is_linearizable),
        cmocka_unit_test(the_unbounded_fifo_is_linearizable),
        cmocka_unit_test(the_semaphore_is_linearizable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
