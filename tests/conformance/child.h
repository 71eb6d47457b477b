/* This program again, as a child that runs one case: for what happens at the end of a process, and after a fork.  The cases
   are run by children because a process ends but once, and because fork copies what cmocka and its tests have.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CONFORMANCE_CHILD_H
#define SP_TESTS_CONFORMANCE_CHILD_H

#include "testing.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct child_case {
    const char *name;
    int (*run)(void);       /* what the child's main does and returns */
    int status;             /* which must be the child's exit status */
    const char *said;       /* all of its standard output; NULL: anything */
    const char *complained; /* "": nothing on standard error; else words that stand in it */
};

static const char *child_program; /* argv[0] */

static inline void child_say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        abort();
}

static inline void child_read(int descriptor, char *text, size_t size)
{
    size_t length = 0;
    for (ssize_t got; (got = read(descriptor, text + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(descriptor);
}

/* The exit status of a child, 256 if it did not exit. */
static inline int child_status(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

/* What a forked child says to a question, -1 if it says nothing.  Not its exit status: a leak checker may change that, and
   a child without its parent's threads has what they had. */
static inline int child_answer(int (*ask)(void *context), void *context)
{
    int ends[2], answer = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        answer = ask(context);
        _exit(write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &answer, sizeof answer) != sizeof answer)
        answer = -1;
    close(ends[0]);
    (void)child_status(child);
    return answer;
}

static inline void child_become(const struct child_case *it, const int out[2], const int err[2])
{
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    close(out[0]);
    close(err[0]);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* what a process leaves at its end is not the question here */
    test_execute((char *[]){ (char *)child_program, (char *)it->name, NULL });
    _exit(99);
}

/* A test of cmocka's whose state is the case. */
static inline void child_test(void **state)
{
    const struct child_case *it = *state;
    int out[2], err[2];
    static char said[65536], complained[65536];
    assert_int_equal(pipe(out) + pipe(err), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_become(it, out, err);
    close(out[1]);
    close(err[1]);
    child_read(out[0], said, sizeof said);
    child_read(err[0], complained, sizeof complained);
    int status = child_status(child);
    if (status != it->status)
        fail_msg("%s: status %d, said '%s', complained '%s'", it->name, status, said, complained);
    if (it->said != NULL)
        assert_string_equal(said, it->said);
    if (*it->complained == '\0')
        assert_string_equal(complained, "");
    else
        assert_non_null(strstr(complained, it->complained));
}

#define CHILD_CASE(name, status, said, complained)                                                                     \
    {                                                                                                                  \
#name, name, status, said, complained                                                                          \
    }

/* Of main, first thing: run the case that is asked for and leave, or remember where the program is. */
static inline void child_main(int argc, char **argv, const struct child_case *cases, size_t n)
{
    child_program = argv[0];
    for (size_t i = 0; i < n && argc > 1; i++)
        if (strcmp(argv[1], cases[i].name) == 0)
            exit(cases[i].run());
}

#define CHILD_TEST(it)                                                                                                 \
    {                                                                                                                  \
        (it)->name, child_test, NULL, NULL, (void *)(uintptr_t)(it)                                                    \
    }

#endif
