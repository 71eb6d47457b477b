/* What the models share: a word whose compare-and-swap may read old values, orders that can be weakened, the runs.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_MODEL_H
#define SP_TESTS_MODEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <relacy/relacy.hpp>

typedef rl::atomic<uint64_t> model_word;

/* The one order, or check, that is left out in this run; each model has an enum of its own.  0: none. */
static int model_weakened;

static inline rl::memory_order model_order(int which, rl::memory_order order, rl::memory_order weaker)
{
    return model_weakened == which ? weaker : order;
}

/* A compare-and-swap.  The checker's fails only on the newest value; one that fails may read an older one as well. */
static inline bool model_cas(model_word *word, uint64_t *expected, uint64_t value, rl::memory_order order,
                             rl::memory_order failure, rl::debug_info_param where)
{
    if (order == rl::mo_relaxed)
        failure = rl::mo_relaxed;
    if (rl::rand(4) == 0) {
        uint64_t seen = word->load(failure, where);
        if (seen != *expected) {
            *expected = seen;
            return false;
        }
    }
    return word->compare_exchange_strong(*expected, value, order, where, failure, where);
}

/* How many schedules: 10^5, or 10^6 with SPOOL_SOAK; or so many percent of 10^5 as SPOOL_TEST_SCALE says.  At least one. */
static inline uint64_t model_schedules(void)
{
    const char *text = getenv("SPOOL_TEST_SCALE");
    double percent = text != NULL ? strtod(text, NULL) : getenv("SPOOL_SOAK") != NULL ? 1000 : 100;
    double count = 100000 * percent / 100;
    return count < 1 ? 1 : (uint64_t)count;
}

/* The number of the first schedule: SPOOL_TEST_SEED, or a fresh one.  A schedule is made from its number alone.  31 bits:
   beyond 32 the checker's random numbers are poor. */
static inline uint64_t model_first(void)
{
    static uint64_t first;
    if (first == 0) {
        const char *text = getenv("SPOOL_TEST_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t seed = text != NULL ? strtoul(text, NULL, 0) : (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec;
        first = (seed & 0x7FFFFFFF) != 0 ? seed & 0x7FFFFFFF : 1;
        printf("seed: SPOOL_TEST_SEED=%lu\n", (unsigned long)first);
        fflush(stdout);
    }
    return first;
}

static inline void model_prepare(rl::test_params *params, uint64_t schedules, std::ostream *report,
                                 std::ostream *progress)
{
    char first[24];
    snprintf(first, sizeof first, "%lu ", (unsigned long)model_first());
    params->initial_state = first;
    params->iteration_count = model_first() + schedules - 1;
    params->execution_depth_limit = 100000;
    params->output_stream = report;
    params->progress_stream = progress;
}

/* Run the schedules until one fails.  (rl::simulate would do, and compile the checker's other schedulers as well.) */
template <class suite> static bool model_run(rl::test_params *params, rl::ostringstream *state)
{
    typedef rl::random_scheduler<suite::params::thread_count> scheduler;
    return rl::run_test<suite, scheduler>(*params, *state, params->collect_history) == rl::test_result_success;
}

/* Does the model hold in all schedules?  If not, what happened is printed, step by step. */
template <class suite> static bool model_holds(const char *program, const char *name)
{
    rl::test_params params;
    rl::ostringstream progress, report, state, ignored;
    clock_t begin = clock();
    model_prepare(&params, model_schedules(), &report, &progress);
    if (model_run<suite>(&params, &state)) {
        printf("%s, %s: %lu schedules, %.1f s\n", program, name, (unsigned long)model_schedules(),
               (double)(clock() - begin) / CLOCKS_PER_SEC);
        fflush(stdout);
        return true;
    }
    params.initial_state = state.str(); /* the number of the schedule that failed: once more, written down */
    params.collect_history = true;
    (void)model_run<suite>(&params, &ignored);
    printf("%s\n%s, %s: %s; this schedule again: SPOOL_TEST_SEED=%lu SPOOL_TEST_SCALE=0 %s\n", report.str().c_str(),
           program, name, rl::test_result_str(params.test_result), (unsigned long)params.stop_iteration, program);
    fflush(stdout);
    return false;
}

/* Is the weakened model caught?  In the first dozens of schedules as a rule. */
template <class suite> static bool model_breaks(const char *program, const char *name, int weakened, const char *what)
{
    rl::test_params params;
    rl::ostringstream progress, report, state;
    model_prepare(&params, 100000, &report, &progress);
    model_weakened = weakened;
    bool caught = !model_run<suite>(&params, &state);
    model_weakened = 0;
    printf("%s, %s, without %s: %s", program, name, what,
           caught ? rl::test_result_str(params.test_result) : "NOT CAUGHT");
    if (caught)
        printf(" in schedule %lu", (unsigned long)(params.stop_iteration - model_first() + 1));
    printf("\n");
    fflush(stdout);
    return caught;
}

/* A model in which something never happens shows nothing about it.  (Few schedules may miss it.) */
static inline bool model_happened(const char *program, const char *what, unsigned long times)
{
    bool enough = times > 0 || model_schedules() < 10000;
    printf("%s: %s: %lu times%s\n", program, what, times, enough ? "" : ", SHOULD HAPPEN");
    return enough;
}

#endif
