/* T1 with std::thread.

   SPDX-License-Identifier: MIT */
#include <chrono>
#include <new>
#include <thread>
#include "../bench.h"

typedef std::thread the_thread;

static bool the_thread_start(the_thread *thread, void (*run)(void), size_t stack)
{
    bench_check(stack == 0, "std::thread has the default stack only");
    new (thread) std::thread(run);
    return true;
}

static void the_thread_join(the_thread *thread)
{
    thread->join();
}

static void the_thread_sleep(double seconds)
{
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

#include "../thread.h"
