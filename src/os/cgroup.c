/* The CPU quota of the process's own cgroup and of all its ancestors, for both versions of cgroups.

   /proc/self/cgroup tells the path inside a hierarchy, /proc/self/mountinfo where that hierarchy is mounted and which
   part of it (in a container usually not the whole).  A quota at the root alone is not enough: a service lives some
   levels below it.  See cgroups(7), proc(5).

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/os.h"

enum { LARGEST_FILE = 1 << 24 };

static char *read_all(int descriptor)
{
    size_t size = 0, capacity = 4096;
    char *text = sp__os_alloc(capacity);
    while (text != NULL) {
        ssize_t got = sp__fault_now() ? -1 : read(descriptor, text + size, capacity - size - 1);
        if (got == 0) {
            text[size] = '\0';
            return text;
        }
        if (got < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        size += (size_t)got;
        if (size + 1 < capacity)
            continue;
        char *larger = capacity < LARGEST_FILE ? sp__os_alloc(capacity * 2) : NULL;
        if (larger == NULL)
            break;
        memcpy(larger, text, size);
        sp__os_free(text);
        text = larger;
        capacity *= 2;
    }
    sp__os_free(text);
    return NULL;
}

char *sp__os_read_file(const char *path)
{
    errno = 0;
    int descriptor = sp__fault_now() ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    char *text = read_all(descriptor);
    close(descriptor);
    return text;
}

static unsigned rounded_up(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > UINT_MAX ? 0 : (unsigned)cpus;
}

/* Version 2: cpu.max is "QUOTA PERIOD" or "max PERIOD". */
static unsigned quota_v2(const char *folder)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path)
        return 0;
    char *text = sp__os_read_file(path);
    if (text == NULL)
        return 0;
    char *rest = NULL;
    long long quota = strtoll(text, &rest, 10);
    unsigned cpus = rest != text ? rounded_up(quota, strtoll(rest, NULL, 10)) : 0;
    sp__os_free(text);
    return cpus;
}

static long long number_in(const char *folder, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return 0;
    char *text = sp__os_read_file(path);
    long long number = text != NULL ? strtoll(text, NULL, 10) : 0;
    sp__os_free(text);
    return number;
}

/* Version 1: two files, a quota of -1 means none. */
static unsigned quota_v1(const char *folder)
{
    return rounded_up(number_in(folder, "cpu.cfs_quota_us"), number_in(folder, "cpu.cfs_period_us"));
}

/* The smallest quota of mount/path and of each folder above it, down to the mount point. */
static unsigned smallest_quota(const char *mount, const char *path, unsigned (*quota_of)(const char *folder))
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", mount, path) >= (int)sizeof folder)
        return 0;
    size_t top = strlen(mount);
    unsigned smallest = 0;
    for (;;) {
        unsigned cpus = quota_of(folder);
        if (cpus != 0 && (smallest == 0 || cpus < smallest))
            smallest = cpus;
        char *slash = strlen(folder) > top ? strrchr(folder + top, '/') : NULL;
        if (slash == NULL)
            return smallest;
        *slash = '\0';
    }
}

/* One hierarchy: where it is mounted and what part of it is visible there. */
struct hierarchy {
    char mount[PATH_MAX], root[PATH_MAX];
};

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
            return true;
    return false;
}

/* A line of mountinfo: "36 35 98:0 ROOT MOUNT OPTIONS [TAGS] - TYPE SOURCE SUPER_OPTIONS". */
static bool find_hierarchy(const char *mountinfo, bool version2, struct hierarchy *ret)
{
    char type[64], super_options[1024], line[3 * PATH_MAX];
    for (const char *at = mountinfo; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        at += length + (at[length] == '\n');
        const char *dash = strstr(line, " - ");
        struct hierarchy found;
        if (dash == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", found.root, found.mount) != 2 ||
            sscanf(dash, " - %63s %*s %1023s", type, super_options) != 2)
            continue;
        if (version2 ? strcmp(type, "cgroup2") == 0 : strcmp(type, "cgroup") == 0 && has_word(super_options, "cpu")) {
            *ret = found;
            return true;
        }
    }
    return false;
}

/* The path of the process in a hierarchy: a line "0::PATH" for version 2, "N:LIST_WITH_cpu:PATH" for version 1. */
static bool find_path(const char *cgroup, bool version2, char path[PATH_MAX])
{
    char line[PATH_MAX + 256];
    for (const char *at = cgroup; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        at += length + (at[length] == '\n');
        char *list = strchr(line, ':');
        char *place = list != NULL ? strchr(list + 1, ':') : NULL;
        if (place == NULL)
            continue;
        *place++ = '\0';
        list++;
        if (version2 ? *list == '\0' : has_word(list, "cpu"))
            return snprintf(path, PATH_MAX, "%s", place) < PATH_MAX;
    }
    return false;
}

static unsigned quota_in(const char *cgroup, const char *mountinfo, bool version2)
{
    struct hierarchy at;
    char path[PATH_MAX];
    if (!find_hierarchy(mountinfo, version2, &at) || !find_path(cgroup, version2, path))
        return 0;
    const char *inside = path;
    size_t root = strcmp(at.root, "/") == 0 ? 0 : strlen(at.root);
    if (root > 0 && strncmp(path, at.root, root) == 0 && (path[root] == '/' || path[root] == '\0'))
        inside += root; /* only the part below `root` is visible at the mount point */
    if (strcmp(inside, "/") == 0 || strstr(inside, "/..") != NULL)
        inside = ""; /* above the visible part: the mount point itself is the nearest that can be read */
    return smallest_quota(at.mount, inside, version2 ? quota_v2 : quota_v1);
}

unsigned sp__os_cgroup_cpus(const char *cgroup_file, const char *mountinfo_file)
{
    char *cgroup = sp__os_read_file(cgroup_file), *mountinfo = sp__os_read_file(mountinfo_file);
    unsigned cpus = 0;
    if (cgroup != NULL && mountinfo != NULL) {
        unsigned v2 = quota_in(cgroup, mountinfo, true), v1 = quota_in(cgroup, mountinfo, false);
        cpus = v1 == 0 || (v2 != 0 && v2 < v1) ? v2 : v1;
    }
    sp__os_free(mountinfo);
    sp__os_free(cgroup);
    return cpus;
}
