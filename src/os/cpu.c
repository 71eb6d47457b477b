/* How many CPUs this process may use.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <spool/time.h>

#include "os/fault.h"
#include "os/os.h"

enum { MOST_CPUS = 1 << 16 }; /* end of the search for a mask that is large enough */

unsigned sp__os_affinity_cpus(void)
{
    for (size_t cpus = 1024; cpus <= MOST_CPUS; cpus *= 2) {
        cpu_set_t *set = sp__fault_now() ? NULL : CPU_ALLOC(cpus);
        if (set == NULL)
            return 0;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int error = sp__fault_now() ? ENOSYS : sched_getaffinity(0, size, set) != 0 ? errno : 0;
        unsigned count = error == 0 ? (unsigned)CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (error != EINVAL) /* EINVAL: the machine has more CPUs than the mask has bits */
            return count;
    }
    return 0;
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

unsigned sp_cpu_count(void)
{
    unsigned count = smaller_known(override_cpus(), sp__os_affinity_cpus());
    count = smaller_known(count, sp__os_cgroup_cpus("/proc/self/cgroup", "/proc/self/mountinfo"));
    return count > 0 ? count : 1;
}
