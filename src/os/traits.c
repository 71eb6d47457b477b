/* What a thread has from the one that made it, and what it shall have instead: CPUs, scheduling, signal mask.

   A thread that is started on demand is made by whoever happens to need it.  It takes over what somebody else had at another
   time: the maker of the pool, or the one who started the timer.  What the system refuses stays as it was inherited.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/refcount.h"
#include "os/os.h"

enum { MOST_CPU_BYTES = 8192 / 8, RESETS_AT_FORK = 1 };

/* sched_attr of sched_getattr(2), in its first version, which the C library has no name for. */
struct schedule {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

struct cpus {
    size_t bytes; /* 0: not known */
    unsigned char mask[MOST_CPU_BYTES];
};

struct sp__os_traits {
    uint32_t refs; /* atomic */
    bool has_signals;
    sigset_t signals;
    struct schedule schedule; /* size 0: not known */
    size_t cpu_bytes;         /* 0: not known */
    unsigned char cpus[];
};

static void read_cpus(pid_t thread, struct cpus *ret_cpus)
{
    long got = syscall(SYS_sched_getaffinity, thread, (size_t)MOST_CPU_BYTES, ret_cpus->mask);
    ret_cpus->bytes = got > 0 ? (size_t)got : 0;
}

static void read_schedule(pid_t thread, struct schedule *ret_schedule)
{
    *ret_schedule = (struct schedule){ .size = sizeof *ret_schedule }; /* memcheck takes this for input */
    if (syscall(SYS_sched_getattr, thread, ret_schedule, (unsigned)sizeof *ret_schedule, 0u) != 0)
        ret_schedule->size = 0;
}

static void leave_real_time(struct schedule *schedule)
{
    if (schedule->policy != SCHED_FIFO && schedule->policy != SCHED_RR)
        return;
    schedule->policy = SCHED_OTHER;
    schedule->priority = 0;
}

/* What a thread would inherit that is made by one with this schedule, see sched(7). */
static void inherit(struct schedule *schedule)
{
    if (!(schedule->flags & RESETS_AT_FORK))
        return;
    leave_real_time(schedule);
    if (schedule->nice < 0)
        schedule->nice = 0;
}

/* NULL: no memory. */
static struct sp__os_traits *traits_of(pid_t thread)
{
    struct cpus *cpus = sp__os_alloc(sizeof *cpus); /* not on the stack, which may be small */
    if (cpus == NULL)
        return NULL;
    read_cpus(thread, cpus);
    struct sp__os_traits *traits = sp__os_zalloc(sizeof *traits + cpus->bytes);
    if (traits != NULL) {
        traits->refs = 1;
        traits->cpu_bytes = cpus->bytes;
        memcpy(traits->cpus, cpus->mask, cpus->bytes);
        read_schedule(thread, &traits->schedule);
        inherit(&traits->schedule);
    }
    sp__os_free(cpus);
    return traits;
}

static void read_signals(struct sp__os_traits *traits)
{
    traits->has_signals = pthread_sigmask(SIG_SETMASK, NULL, &traits->signals) == 0;
}

struct sp__os_traits *sp__os_traits_of_maker(bool with_signals)
{
    struct sp__os_traits *traits = traits_of(0);
    if (traits == NULL)
        return NULL;
    leave_real_time(&traits->schedule);
    if (with_signals)
        read_signals(traits);
    return traits;
}

struct sp__os_traits *sp__os_traits_signals(void)
{
    struct sp__os_traits *traits = sp__os_zalloc(sizeof *traits);
    if (traits == NULL)
        return NULL;
    traits->refs = 1;
    read_signals(traits);
    return traits;
}

struct sp__os_traits *sp__os_traits_of_main(void)
{
    return traits_of(getpid());
}

struct sp__os_traits *sp__os_traits_retain(struct sp__os_traits *traits)
{
    if (traits != NULL)
        sp__ref_up(&traits->refs);
    return traits;
}

void sp__os_traits_release(struct sp__os_traits *traits)
{
    if (traits != NULL && sp__ref_down(&traits->refs))
        sp__os_free(traits);
}

/* Set only what is different: a mask that was set does not grow with the process's cpuset any more. */
static void take_cpus(const struct sp__os_traits *traits)
{
    struct cpus *now = traits->cpu_bytes > 0 ? sp__os_alloc(sizeof *now) : NULL;
    if (now == NULL)
        return;
    read_cpus(0, now);
    if (now->bytes != traits->cpu_bytes || memcmp(now->mask, traits->cpus, now->bytes) != 0)
        (void)syscall(SYS_sched_setaffinity, 0, traits->cpu_bytes, traits->cpus);
    sp__os_free(now);
}

static void take_schedule(const struct schedule *wanted)
{
    struct schedule now;
    read_schedule(0, &now);
    if (wanted->size == 0 || now.size == 0)
        return;
    /* by a call of the C library, which remembers the policy for pthread_getschedparam */
    if (wanted->policy != now.policy || wanted->priority != now.priority)
        (void)pthread_setschedparam(pthread_self(), (int)wanted->policy,
                                    &(struct sched_param){ .sched_priority = (int)wanted->priority });
    if (wanted->nice != now.nice)
        (void)setpriority(PRIO_PROCESS, 0, wanted->nice); /* of this thread alone, on Linux */
}

void sp__os_traits_take(const struct sp__os_traits *traits)
{
    take_cpus(
        traits); /* first: on the CPUs of the maker, which may be busy with something urgent, all else may take long */
    take_schedule(&traits->schedule);
    if (traits->has_signals)
        (void)pthread_sigmask(SIG_SETMASK, &traits->signals, NULL);
}
