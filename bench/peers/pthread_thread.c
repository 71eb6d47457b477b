/* T1, T2 with pthread_create() and pthread_join().

   SPDX-License-Identifier: MIT */
#include "../bench.h"

typedef struct the_thread {
    pthread_t thread;
    void (*run)(void);
} the_thread;

static void *call(void *argument)
{
    ((the_thread *)argument)->run();
    return NULL;
}

static bool the_thread_start(the_thread *thread, void (*run)(void), size_t stack)
{
    pthread_attr_t attributes;
    thread->run = run;
    pthread_attr_init(&attributes);
    if (stack != 0)
        pthread_attr_setstacksize(&attributes, stack);
    bool started = pthread_create(&thread->thread, &attributes, call, thread) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

static void the_thread_join(the_thread *thread)
{
    pthread_join(thread->thread, NULL);
}

static void the_thread_sleep(double seconds)
{
    struct timespec time = { 0, (long)(seconds * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

#include "../thread.h"
