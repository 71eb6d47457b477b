/* The CPU quota of the process's own cgroup and of all its ancestors, for both versions of cgroups.

   /proc/self/cgroup tells the path inside a hierarchy, /proc/self/mountinfo where that hierarchy is mounted and which
   part of it (in a container usually not the whole).  A quota at the root alone is not enough: a service lives some
   levels below it.  See cgroups(7), proc(5).

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/os.h"

enum { LARGEST_FILE = 1 << 24 };

/* Not read() and its like: those are cancellation points. */
static char *read_all(int descriptor)
{
    size_t size = 0, capacity = 4096;
    char *text = sp__os_alloc(capacity);
    while (text != NULL) {
        long got = sp__fault_now() ? -1 : syscall(SYS_read, descriptor, text + size, capacity - size - 1);
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
        if (larger == NULL) {
            errno = ENOMEM;
            break;
        }
        memcpy(larger, text, size);
        sp__os_free(text);
        text = larger;
        capacity *= 2;
    }
    if (text == NULL)
        errno = ENOMEM;
    sp__os_free(text);
    return NULL;
}

char *sp__os_read_file(const char *path)
{
    errno = ENOMEM; /* what a call that is made to fail says */
    long descriptor = sp__fault_now() ? -1 : syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    char *text = read_all((int)descriptor);
    int error = errno;
    syscall(SYS_close, (int)descriptor);
    errno = error;
    return text;
}

/* After a failure: is it for want of memory or descriptors?  What is not there, or is not for us, says nothing for good. */
static bool may_be_read_later(void)
{
    return errno == ENOMEM || errno == EMFILE || errno == ENFILE;
}

/* A part of one of the two files: nothing is copied, for the caller may have 16 KiB of stack. */
struct part {
    const char *at;
    size_t length;
};

static struct part next_line(const char **rest)
{
    struct part line = { *rest, strcspn(*rest, "\n") };
    *rest += line.length + ((*rest)[line.length] == '\n');
    return line;
}

static struct part from(struct part whole, size_t offset)
{
    return (struct part){ whole.at + offset, whole.length - offset };
}

/* The word with this number, from 0; of length 0 when there are not so many. */
static struct part word(struct part line, unsigned number)
{
    for (;; number--) {
        size_t length = 0;
        while (line.length > 0 && *line.at == ' ')
            line = from(line, 1);
        while (length < line.length && line.at[length] != ' ')
            length++;
        if (number == 0 || length == 0)
            return (struct part){ line.at, length };
        line = from(line, length);
    }
}

static bool is(struct part part, const char *text)
{
    return part.length == strlen(text) && memcmp(part.at, text, part.length) == 0;
}

/* Is `wanted` one of those in a list with commas? */
static bool lists(struct part list, const char *wanted)
{
    for (;;) {
        const char *comma = memchr(list.at, ',', list.length);
        size_t length = comma != NULL ? (size_t)(comma - list.at) : list.length;
        if (is((struct part){ list.at, length }, wanted))
            return true;
        if (comma == NULL)
            return false;
        list = from(list, length + 1);
    }
}

/* One hierarchy: where it is mounted and what part of it is visible there. */
struct hierarchy {
    struct part mount, root;
};

/* A line of mountinfo: "36 35 98:0 ROOT MOUNT OPTIONS [TAGS] - TYPE SOURCE SUPER_OPTIONS". */
static bool find_hierarchy(const char *mountinfo, bool version2, struct hierarchy *ret)
{
    static const char separator[] = " - ";
    for (const char *rest = mountinfo; *rest != '\0';) {
        struct part line = next_line(&rest);
        const char *dash = memmem(line.at, line.length, separator, sizeof separator - 1);
        if (dash == NULL)
            continue;
        struct part tail = from(line, (size_t)(dash - line.at) + sizeof separator - 1), type = word(tail, 0);
        if (version2 ? !is(type, "cgroup2") : !is(type, "cgroup") || !lists(word(tail, 2), "cpu"))
            continue;
        *ret = (struct hierarchy){ .root = word(line, 3), .mount = word(line, 4) };
        return ret->mount.length > 0 && ret->mount.at < dash;
    }
    return false;
}

/* The path of the process in a hierarchy: a line "0::PATH" for version 2, "N:LIST_WITH_cpu:PATH" for version 1. */
static bool find_path(const char *cgroup, bool version2, struct part *ret)
{
    for (const char *rest = cgroup; *rest != '\0';) {
        struct part line = next_line(&rest);
        const char *first = memchr(line.at, ':', line.length);
        if (first == NULL)
            continue;
        struct part list = from(line, (size_t)(first - line.at) + 1);
        const char *second = memchr(list.at, ':', list.length);
        if (second == NULL)
            continue;
        *ret = from(list, (size_t)(second - list.at) + 1);
        list.length = (size_t)(second - list.at);
        if (version2 ? list.length == 0 : lists(list, "cpu"))
            return true;
    }
    return false;
}

/* Only the part of the path below `root` is visible at the mount point. */
static struct part visible_part(struct part path, struct part root)
{
    if (!is(root, "/") && path.length >= root.length && memcmp(path.at, root.at, root.length) == 0 &&
        (path.length == root.length || path.at[root.length] == '/'))
        path = from(path, root.length);
    /* Above the visible part, or at it: the mount point itself is the nearest that can be read. */
    if (is(path, "/") || memmem(path.at, path.length, "/..", 3) != NULL)
        path.length = 0;
    return path;
}

/* ---- quotas ---- */

/* A folder, with room behind it for the name of a file in it. */
struct folder {
    char *path;
    size_t length;
    bool later; /* something could not be read for want of memory or descriptors: it is not known what it says */
};

enum { LONGEST_NAME = sizeof "/cpu.cfs_period_us" };

static char *read_in(struct folder *folder, const char *name)
{
    memcpy(folder->path + folder->length, name, strlen(name) + 1);
    char *text = sp__os_read_file(folder->path);
    folder->path[folder->length] = '\0';
    folder->later = folder->later || (text == NULL && may_be_read_later());
    return text;
}

static unsigned rounded_up(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? 0 : (unsigned)cpus;
}

/* Version 2: cpu.max is "QUOTA PERIOD" or "max PERIOD". */
static unsigned quota_v2(struct folder *folder)
{
    char *text = read_in(folder, "/cpu.max");
    if (text == NULL)
        return 0;
    char *rest = NULL;
    long long quota = strtoll(text, &rest, 10);
    unsigned cpus = rest != text ? rounded_up(quota, strtoll(rest, NULL, 10)) : 0;
    sp__os_free(text);
    return cpus;
}

static long long number_in(struct folder *folder, const char *name)
{
    char *text = read_in(folder, name);
    long long number = text != NULL ? strtoll(text, NULL, 10) : 0;
    sp__os_free(text);
    return number;
}

/* Version 1: two files, a quota of -1 means none. */
static unsigned quota_v1(struct folder *folder)
{
    long long quota = number_in(folder, "/cpu.cfs_quota_us");
    return rounded_up(quota, number_in(folder, "/cpu.cfs_period_us"));
}

static unsigned smaller_known(unsigned a, unsigned b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The smallest quota of the folder and of each above it, down to the mount point, whose path has `top` bytes. */
static unsigned smallest_quota(struct folder *folder, size_t top, unsigned (*quota_of)(struct folder *folder))
{
    unsigned smallest = quota_of(folder);
    while (folder->length > top) {
        while (folder->length > top && folder->path[--folder->length] != '/')
            continue;
        folder->path[folder->length] = '\0';
        smallest = smaller_known(smallest, quota_of(folder));
    }
    return smallest;
}

/* An errno value: it cannot be told now. */
static int quota_in(const char *cgroup, const char *mountinfo, bool version2, unsigned *ret_cpus)
{
    struct hierarchy at;
    struct part path;
    *ret_cpus = 0;
    if (!find_hierarchy(mountinfo, version2, &at) || !find_path(cgroup, version2, &path))
        return 0;
    path = visible_part(path, at.root);
    struct folder folder = { .length = at.mount.length + path.length };
    folder.path = sp__os_alloc(folder.length + LONGEST_NAME);
    if (folder.path == NULL)
        return ENOMEM;
    memcpy(folder.path, at.mount.at, at.mount.length);
    memcpy(folder.path + at.mount.length, path.at, path.length);
    *ret_cpus = smallest_quota(&folder, at.mount.length, version2 ? quota_v2 : quota_v1);
    sp__os_free(folder.path);
    return folder.later ? EAGAIN : 0;
}

static int quota_of_both(const char *cgroup, const char *mountinfo, unsigned *ret_cpus)
{
    unsigned v2, v1;
    int error = quota_in(cgroup, mountinfo, true, &v2);
    if (error == 0)
        error = quota_in(cgroup, mountinfo, false, &v1);
    if (error == 0)
        *ret_cpus = smaller_known(v1, v2);
    return error;
}

int sp__os_cgroup_cpus(const char *cgroup_file, const char *mountinfo_file, unsigned *ret_cpus)
{
    char *cgroup = sp__os_read_file(cgroup_file);
    char *mountinfo = cgroup != NULL ? sp__os_read_file(mountinfo_file) : NULL;
    int error = 0;
    if (mountinfo != NULL)
        error = quota_of_both(cgroup, mountinfo, ret_cpus);
    else if (may_be_read_later())
        error = errno;
    else
        *ret_cpus = 0;
    sp__os_free(mountinfo);
    sp__os_free(cgroup);
    return error;
}
