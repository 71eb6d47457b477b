/* Tests that sleep nearly all the time: all at once, each in a process of its own.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_ABREAST_H
#define SP_TESTS_ABREAST_H

#include "child.h"

enum { ABREAST_MOST = 16 };

static struct abreast {
    const char *program;
    const struct CMUnitTest *tests; /* of the processes */
    size_t n;
    struct CMUnitTest ends[ABREAST_MOST]; /* by the same names: that the process ends well */
    struct child children[ABREAST_MOST];
} abreast;

static inline void abreast_ends_well(void **state)
{
    const struct child *child = *state;
    (void)child_ends_well(*child, abreast.tests[child - abreast.children].name);
}

static inline int abreast_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < abreast.n; i++)
        abreast.children[i] = child_start(abreast.program, abreast.tests[i].name, NULL);
    return 0;
}

/* In a process: that one test. */
static inline int abreast_run_one(const char *name)
{
    if (freopen("/dev/null", "w", stdout) == NULL)
        return 98;
    cmocka_set_test_filter(name);
    return _cmocka_run_group_tests(name, abreast.tests, abreast.n, NULL, NULL);
}

/* In main. */
static inline int abreast_run(const char *program, const char *name, const struct CMUnitTest *tests, size_t n)
{
    abreast.program = program;
    abreast.tests = tests;
    abreast.n = n;
    if (name != NULL)
        return abreast_run_one(name);
    for (size_t i = 0; i < n; i++)
        abreast.ends[i] = (struct CMUnitTest){ tests[i].name, abreast_ends_well, NULL, NULL, &abreast.children[i] };
    return _cmocka_run_group_tests("abreast", abreast.ends, n, abreast_start, NULL);
}

#endif
