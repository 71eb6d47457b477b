/* C1 with sp_as_completed.

       PROGRAM as_completed COUNT         million tasks per second: submit all, take all in the order in which they end

   SPDX-License-Identifier: MIT */
#include "executor.h"
#include "../task.h"

SP_FUNCTION(task, uint64_t, uint64_t);

static struct bench_args args;

static void submit_all(sp_future **ret_futures)
{
    for (uint64_t i = 0; i < args.count; i++)
        ret_futures[i] = sp_submit(pool, task, i);
}

static void take_all(sp_future *const *futures)
{
    uint64_t sum = 0, taken = 0;
    sp_completion *completed = sp_as_completed(futures, args.count, SP_FOREVER);
    for (sp_future *future = sp_next(completed); future != NULL; future = sp_next(completed)) {
        uint64_t value = 0;
        bench_check(sp_result(future, &value, SP_NOWAIT) == SP_OK, "the task failed");
        sum += value;
        taken++;
    }
    bench_check(sp_completion_status(completed) == SP_OK && taken == args.count, "not every future came");
    sp_completion_release(completed);
    task_check_sum(sum, args.count);
}

static void as_completed(void)
{
    sp_future **futures = (sp_future **)bench_array(args.count, sizeof *futures);
    double before = bench_memory("VmRSS:");
    struct bench_clock begin = bench_clock_now();
    submit_all(futures);
    take_all(futures);
    sp_release_all(futures, args.count);
    struct bench_clock passed = bench_clock_since(begin);
    bench_print((double)args.count / passed.wall / 1e6, "Mtasks/s", passed, args.count);
    printf(" bytes=%.1f\n", bench_bytes_each(before, args.count));
    free(futures);
}

int main(int argc, char **argv)
{
    args = bench_arguments(argc, argv);
    bench_check(bench_mode(&args, "as_completed"), "no such mode");
    task_submitter();
    the_pool_run(as_completed);
    task_check_submitter();
    return 0;
}
