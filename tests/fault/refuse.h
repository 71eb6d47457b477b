/* Refusing the calls of a scenario in turn, and what the scenarios share: a task that owns its argument and its result, and
   what each future must have come to.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_FAULT_REFUSE_H
#define SP_TESTS_FAULT_REFUSE_H

#include "testing.h"

#include <errno.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "stress/stress.h"

static sp_event gate;
static uint32_t runs, calls, dropped_args, dropped_results; /* atomic */

static inline void drop_arg(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&dropped_args, 1);
}

static inline void drop_result(void *result)
{
    (void)result;
    sp__add_seq_cst(&dropped_results, 1);
}

static inline void reset_counts(void)
{
    sp_event_clear(&gate);
    sp__store_release(&runs, 0);
    sp__store_release(&calls, 0);
    sp__store_release(&dropped_args, 0);
    sp__store_release(&dropped_results, 0);
}

static inline sp_status square(const int *in, int *out)
{
    *out = *in * *in;
    sp__add_seq_cst(&runs, 1);
    return *in >= 0 ? SP_OK : sp_raise(SP_VALUE_ERROR, "negative: %d", *in);
}
SP_TASK_OWNING(square, int, int, drop_arg, drop_result);

/* May a call end so when something was refused?  True: nothing was. */
static inline bool went_well(sp_status status)
{
    stress_expect(status == SP_OK || status == SP_MEMORY_ERROR || status == SP_OS_ERROR);
    return status == SP_OK;
}

/* The end of one future, which has one. */
static inline bool future_went_well(sp_future *future)
{
    int value;
    sp_status status = sp_result(future, &value, SP_FOREVER);
    const sp_error *error = sp_future_error(future);
    stress_expect(sp_future_done(future));
    stress_expect((error == NULL) == (status == SP_OK));
    stress_expect(error == NULL || (error->status == status && error->message != NULL));
    return went_well(status);
}

static inline bool all_went_well(sp_future *const *futures, int n)
{
    bool all = true;
    for (int i = 0; i < n; i++)
        all = future_went_well(futures[i]) && all;
    return all;
}

static inline sp_executor *new_pool(unsigned workers)
{
    errno = 0;
    sp_executor *pool = sp_thread_pool(.max_workers = workers);
    stress_expect(pool != NULL || errno == ENOMEM);
    return pool; /* the calls understand NULL */
}

static inline void end_pool(sp_executor *pool)
{
    stress_expect(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

/* ---- refusing ---- */

static inline void ignore_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

static inline int set_up(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(ignore_error, NULL);
    return 0;
}

static inline bool run(bool (*scenario)(void), const char *name, uint64_t call)
{
    reset_counts();
    bool all = scenario();
    const char *wrong = sp__load_acquire(&stress_wrong);
    if (wrong != NULL)
        fail_msg("%s, call %d refused, line %d: not true: %s", name, (int)call, stress_wrong_line, wrong);
    return all;
}

/* Refuse call 1, 2, ... until a run makes fewer calls than that. */
static inline uint64_t refuse_each(bool (*scenario)(void), const char *name, bool for_ever)
{
    uint64_t refused = 0;
    for (uint64_t call = 1;; call++) {
        sp__fault_arm(call, for_ever);
        bool all = run(scenario, name, call);
        bool reached = sp__fault_disarm() > 0;
        assert_true(reached || all);
        assert_true(run(scenario, name, 0)); /* and now it works */
        if (!reached)
            return refused;
        refused++;
        assert_true(call < 5000);
    }
}

static uint64_t refused_in_all; /* how many calls were refused so far */

static inline void refuse(bool (*scenario)(void), const char *name, bool for_ever)
{
    assert_true(run(scenario, name, 0)); /* what is made once in a process is made */
    uint64_t refused = refuse_each(scenario, name, for_ever);
    printf("%s: %d calls refused in turn%s\n", name, (int)refused, for_ever ? ", and all after" : "");
    refused_in_all += refused;
}

/* Memory may be kept and used again, so that a scenario on its own may need nothing of the system; not all of them. */
static inline void something_was_refused(void **state)
{
    (void)state;
    assert_true(refused_in_all > 0);
}

#endif
