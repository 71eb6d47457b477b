/* How many CPUs this process may use.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <spool/time.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "os/os.h"

enum { MOST_CPUS = 1 << 16 }; /* end of the search for a mask that is large enough */

static uint32_t quota_and_1; /* atomic: of the process's cgroups, which are asked once, plus 1; 0: not asked yet */

/* An errno value; EINVAL: the machine has more CPUs than the mask has bits. */
static int count_in(cpu_set_t *set, size_t size, unsigned *ret_count)
{
    if (sp__fault_now())
        return ENOSYS;
    if (sched_getaffinity(0, size, set) != 0)
        return errno;
    *ret_count = (unsigned)CPU_COUNT_S(size, set);
    return 0;
}

unsigned sp__os_affinity_cpus(void)
{
    unsigned count = 0;
    cpu_set_t usual;
    int error = count_in(&usual, sizeof usual, &count);
    for (size_t cpus = 2 * CPU_SETSIZE; error == EINVAL && cpus <= MOST_CPUS; cpus *= 2) {
        cpu_set_t *set = sp__os_alloc(CPU_ALLOC_SIZE(cpus));
        if (set == NULL)
            return 0;
        error = count_in(set, CPU_ALLOC_SIZE(cpus), &count);
        sp__os_free(set);
    }
    return count;
}

/* SPOOL_CPU_COUNT as a number from 1; 0 when it is unset or is no such number. */
static unsigned override_cpus(void)
{
    const char *text = getenv("SPOOL_CPU_COUNT"); // NOLINT(concurrency-mt-unsafe): nobody here calls setenv
    char *end = NULL;
    if (text == NULL || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && value <= MOST_CPUS ? (unsigned)value : 0;
}

static unsigned smaller_known(unsigned a, unsigned b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

static unsigned cgroup_cpus(void)
{
    unsigned known = sp__load_relaxed(&quota_and_1), cpus; /* relaxed: nothing but the number is published */
    if (known != 0)
        return known - 1;
    if (sp__os_cgroup_cpus("/proc/self/cgroup", "/proc/self/mountinfo", &cpus) != 0)
        return 0;                              /* the next call asks again */
    sp__store_relaxed(&quota_and_1, cpus + 1); /* relaxed: as above */
    return cpus;
}

unsigned sp_cpu_count(void)
{
    unsigned count = smaller_known(override_cpus(), sp__os_affinity_cpus());
    count = smaller_known(count, cgroup_cpus());
    return count > 0 ? count : 1;
}
