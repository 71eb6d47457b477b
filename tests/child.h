/* A test's other half: this program again, in a process of its own, with a time limit; and what it wrote to standard error.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CHILD_H
#define SP_TESTS_CHILD_H

#include "testing.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the process: say where it went wrong, and be a failure. */
#define must(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_)) {                                                                                           \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition_);                                                   \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

struct child_end {
    bool hung;  /* it was killed when its time was up */
    int status; /* of waitpid */
    size_t length;
    char said[8192];
};

/* Read until the other end is closed.  False: that took longer than `seconds`. */
static inline bool child_read(int descriptor, struct child_end *end, int seconds)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int left = seconds * 1000 - (int)((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000);
        struct pollfd ready = { .fd = descriptor, .events = POLLIN };
        if (left <= 0 || poll(&ready, 1, left) <= 0)
            return false;
        ssize_t got = read(descriptor, end->said + end->length, sizeof end->said - 1 - end->length);
        if (got <= 0)
            return true;
        end->length += (size_t)got;
    }
}

/* A program that runs. */
struct child {
    pid_t process;
    int says; /* what we read its standard error from */
};

/* Start `program`, which is argv[0] of the caller, with one argument or two. */
static inline struct child child_start(const char *program, const char *name, const char *argument)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        test_execute((char *[]){ (char *)program, (char *)name, (char *)argument, NULL });
        _exit(99);
    }
    close(ends[1]);
    return (struct child){ child, ends[0] };
}

static inline struct child_end child_await(struct child child)
{
    struct child_end end = { .hung = false };
    end.hung = !child_read(child.says, &end, 30);
    end.said[end.length] = '\0';
    close(child.says);
    if (end.hung)
        kill(child.process, SIGKILL);
    assert_int_equal(waitpid(child.process, &end.status, 0), child.process);
    return end;
}

static inline struct child_end child_run(const char *program, const char *name, const char *argument)
{
    return child_await(child_start(program, name, argument));
}

/* It must have ended by abort, having said the words. */
static inline void child_aborted(const struct child_end *end, const char *words)
{
    if (end->hung || !WIFSIGNALED(end->status) || WTERMSIG(end->status) != SIGABRT || strstr(end->said, words) == NULL)
        fail_msg("expected abort and '%s'; hung %d, status %x, said '%s'", words, end->hung, (unsigned)end->status,
                 end->said);
}

/* It must end with 0. */
static inline struct child_end child_ends_well(struct child child, const char *name)
{
    struct child_end end = child_await(child);
    if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
        fail_msg("%s: hung %d, status %x, said '%s'", name, end.hung, (unsigned)end.status, end.said);
    return end;
}

static inline struct child_end child_run_well(const char *program, const char *name)
{
    return child_ends_well(child_start(program, name, NULL), name);
}

/* The same, and it must say these words and nothing else. */
static inline void child_says(const char *program, const char *name, const char *words)
{
    struct child_end end = child_run_well(program, name);
    assert_string_equal(end.said, words);
}

/* One of the bodies that a program runs as its own child. */
struct child_case {
    const char *name;
    void (*run)(void);
};

/* In main: run the case of that name. */
static inline int child_main(const struct child_case *cases, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(cases[i].name, name) == 0)
            cases[i].run();
    return 0;
}

#endif
