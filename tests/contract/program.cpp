/* A C++ program runs a thread, a task, a queue and as_completed through the named functions.

   SPDX-License-Identifier: MIT */
#include <spool.h>

#include <cstdio>

static sp_status square(const void *arg, void *result)
{
    int x = *static_cast<const int *>(arg);
    if (x < 0)
        return sp_raise_at(__FILE__, __LINE__, SP_VALUE_ERROR, "no root of %d", x);
    *static_cast<int *>(result) = x * x;
    return SP_OK;
}

static int failures;

static void check(bool holds, const char *what)
{
    if (!holds) {
        std::printf("FAILED: %s\n", what);
        failures++;
    }
}

int main()
{
    sp_task task = {};
    task.struct_size = sizeof task;
    task.name = "square";
    task.file = __FILE__;
    task.arg_size = task.result_size = sizeof(int);
    task.run = square;

    int seven = 7, result = 0;
    sp_thread *thread = sp_thread_start(nullptr, &task, &seven);
    check(sp_thread_join(thread, &result, sizeof result, 10) == SP_OK && result == 49, "thread");
    sp_thread_release(thread);

    sp_queue *queue = sp_queue_new(sizeof(int), nullptr);
    check(sp_queue_put(queue, &seven, sizeof seven, SP_NOWAIT) == SP_OK, "put");
    check(sp_queue_get(queue, &result, sizeof result, 1) == SP_OK && result == 7, "get");
    check(sp_queue_get(queue, &result, sizeof result, SP_NOWAIT) == SP_EMPTY, "empty");
    sp_queue_release(queue);

    sp_executor *pool = sp_thread_pool_new(nullptr);
    sp_future *futures[5];
    for (int i = 0; i < 5; i++) {
        int arg = i - 1;
        futures[i] = sp_executor_submit(pool, &task, &arg);
    }
    sp_completion *set = sp_as_completed(futures, 5, 30);
    int sum = 0, failed = 0;
    for (sp_future *f; (f = sp_completion_next(set)) != nullptr;) {
        if (sp_future_result(f, &result, sizeof result, SP_NOWAIT) == SP_OK)
            sum += result;
        else
            failed += sp_future_error(f)->status == SP_VALUE_ERROR;
    }
    check(sp_completion_status(set) == SP_OK, "completion");
    check(sum == 0 + 1 + 4 + 9 && failed == 1, "results");
    sp_completion_release(set);
    sp_release_all(futures, 5);
    check(sp_executor_shutdown(pool, nullptr) == SP_OK, "shutdown");
    sp_executor_release(pool);

    sp_lock lock = {};
    sp_lock_acquire(&lock);
    check(sp_lock_locked(&lock), "lock");
    sp_lock_release(&lock);
    std::puts(failures == 0 ? "fine" : "not fine");
    return failures;
}
