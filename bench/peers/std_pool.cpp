/* P1, P2 with a pool written by hand in C++: a deque of std::packaged_task, a std::future for each.

   SPDX-License-Identifier: MIT */
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <vector>
#include "../task.h"

typedef std::future<uint64_t> the_future;

static std::mutex mutex;
static std::condition_variable not_empty;
static std::deque<std::packaged_task<uint64_t()>> tasks;
static bool closed;

static void work()
{
    for (;;) {
        std::unique_lock<std::mutex> hold(mutex);
        not_empty.wait(hold, [] { return closed || !tasks.empty(); });
        if (tasks.empty())
            return;
        std::packaged_task<uint64_t()> next = std::move(tasks.front());
        tasks.pop_front();
        hold.unlock();
        next();
    }
}

static void close()
{
    std::lock_guard<std::mutex> hold(mutex);
    closed = true;
    not_empty.notify_all();
}

static void the_pool_run(void (*body)(void))
{
    std::vector<std::thread> threads;
    for (int i = 0; i < BENCH_WORKERS; i++)
        threads.emplace_back(work);
    body();
    close();
    for (std::thread &thread : threads)
        thread.join();
}

static inline void the_submit(the_future *ret_future, uint64_t i)
{
    std::packaged_task<uint64_t()> next([i] { return task(i); });
    *ret_future = next.get_future(); /* it was empty: so are an array of zeros, and one whose result was taken */
    {
        std::lock_guard<std::mutex> hold(mutex);
        tasks.push_back(std::move(next));
    }
    not_empty.notify_one();
}

static inline uint64_t the_result(the_future *future)
{
    return future->get();
}

#include "../pool.h"
