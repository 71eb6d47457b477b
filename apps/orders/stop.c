/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "report.h"

static sp_event stopping;
static int descriptor = -1;     /* set once before other threads start */
static atomic_bool interrupted; /* a flag alone: publishes nothing but itself */
static sp_lock lock;
static char failure[512]; /* guarded by lock; empty: none; written once */

static void request_stop(void)
{
    sp_event_set(&stopping);
    /* It can only fail by being full, and then it is readable. */
    if (write(descriptor, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
        return;
}

struct watch {
    sigset_t signals;
    const char *announcement;
};

static sp_status watch_signals(const struct watch *watch, sp_none *unused)
{
    (void)unused;
    int number;
    while (sigwait(&watch->signals, &number) != 0)
        continue;
    atomic_store_explicit(&interrupted, true, memory_order_relaxed);
    report("%s", watch->announcement);
    request_stop();
    while (sigwait(&watch->signals, &number) != 0)
        continue;
    _exit(130);
}
SP_TASK(watch_signals, struct watch, sp_none);

bool stop_watch(const char *announcement)
{
    struct watch watch = { .announcement = announcement };
    sigemptyset(&watch.signals);
    sigaddset(&watch.signals, SIGINT);
    sigaddset(&watch.signals, SIGTERM);
    errno = pthread_sigmask(SIG_BLOCK, &watch.signals, NULL);
    if (errno != 0)
        return false;
    descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (descriptor < 0)
        return false;
    /* A daemon: it sits in sigwait when the process ends. */
    const sp_thread_options *options = SP_THREAD(.name = "signals", .daemon = true);
    sp_auto(sp_thread) thread = sp_thread_start(options, &watch_signals_sp_task, &watch);
    return thread != NULL;
}

sp_event *stop_event(void)
{
    return &stopping;
}

bool stop_requested(void)
{
    return sp_event_is_set(&stopping);
}

int stop_descriptor(void)
{
    return descriptor;
}

bool stop_interrupted(void)
{
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

static void keep_failure(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static void keep_failure(const char *format, va_list args)
{
    SP_HOLD(&lock);
    if (failure[0] == '\0')
        vsnprintf(failure, sizeof failure, format, args);
}

void stop_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_failure(format, args);
    va_end(args);
    request_stop();
}

const char *stop_failure(void)
{
    SP_HOLD(&lock);
    return failure[0] != '\0' ? failure : NULL;
}
