/* The system's side: CPU count, cgroup quotas, stacks, guard page, futex, the fault table.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

#include "os/fault.h"
#include "os/os.h"

/* ---- cgroups: a tree of files in a temporary folder ---- */

static char root[128];
static uint64_t blocks_before; /* of memory */
static int files_before;       /* open ones */

static int open_files(void)
{
    int count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) != -1;
    return count;
}

static void write_file(const char *name, const char *text)
{
    char path[512], folder[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (size_t i = strlen(root) + 1; path[i] != '\0'; i++)
        if (path[i] == '/') {
            snprintf(folder, sizeof folder, "%.*s", (int)i, path);
            mkdir(folder, 0755);
        }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/spool-os-test-XXXXXX");
    blocks_before = sp__fault_blocks();
    files_before = open_files();
    return mkdtemp(root) == NULL;
}

static int end(void **state)
{
    (void)state;
    char command[256];
    assert_int_equal(sp__fault_blocks(), blocks_before);
    assert_int_equal(open_files(), files_before);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static unsigned cpus(const char *cgroup, const char *mount_root)
{
    char line[512], cgroup_file[256], mountinfo_file[256];
    snprintf(line, sizeof line,
             "22 1 0:21 / /proc rw - proc proc rw\n30 25 0:26 %s %s/v2 rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
             "31 25 0:27 / %s/v1 rw - cgroup cgroup rw,cpu,cpuacct\n",
             mount_root, root, root);
    write_file("mountinfo", line);
    write_file("cgroup", cgroup);
    snprintf(cgroup_file, sizeof cgroup_file, "%s/cgroup", root);
    snprintf(mountinfo_file, sizeof mountinfo_file, "%s/mountinfo", root);
    unsigned count = 12345;
    assert_int_equal(sp__os_cgroup_cpus(cgroup_file, mountinfo_file, &count), 0);
    return count;
}

static void quota_of_the_own_cgroup_and_its_ancestors(void **state)
{
    (void)state;
    write_file("v2/cpu.max", "max 100000\n");
    write_file("v2/a/cpu.max", "300000 100000\n");
    write_file("v2/a/b/cpu.max", "max 100000\n");
    assert_int_equal(cpus("0::/\n", "/"), 0);
    assert_int_equal(cpus("0::/a\n", "/"), 3);
    assert_int_equal(cpus("0::/a/b\n", "/"), 3);     /* the ancestor's */
    assert_int_equal(cpus("0::/a/b/c/d\n", "/"), 3); /* folders that are not there */
    write_file("v2/a/b/cpu.max", "150000 100000\n");
    assert_int_equal(cpus("0::/a/b\n", "/"), 2);        /* rounded up */
    assert_int_equal(cpus("0::/box/a/b\n", "/box"), 2); /* in a container the mount shows a part */
    write_file("other/cpu.max", "100000 100000\n");     /* beside the mount: whose that is cannot be seen */
    assert_int_equal(cpus("0::/../other\n", "/box"), 0);
    assert_int_equal(cpus("nonsense", "/"), 0);
    write_file("v2er/a/cpu.max", "100000 100000\n");
    assert_int_equal(cpus("0::/boxer/a\n", "/box"), 0); /* not below /box */
}

static void quota_of_version_1(void **state)
{
    (void)state;
    write_file("v1/job/cpu.cfs_quota_us", "50000\n");
    write_file("v1/job/cpu.cfs_period_us", "100000\n");
    write_file("v1/cpu.cfs_quota_us", "-1\n");
    write_file("v1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus("5:cpu,cpuacct:/job\n2:memory:/x\n", "/"), 1);
    assert_int_equal(cpus("5:cpuset:/job\n", "/"), 0);
    assert_int_equal(cpus("5:cpu:/\n", "/"), 0);
}

/* With a quota of one CPU a pool of the default size is much smaller: so want of memory is not taken for "none". */
static void a_quota_that_cannot_be_read_now_is_an_error(void **state)
{
    (void)state;
    char cgroup_file[256], mountinfo_file[256];
    write_file("v2/cpu.max", "max 100000\n");
    write_file("v2/a/cpu.max", "300000 100000\n");
    assert_int_equal(cpus("0::/a\n", "/"), 3);
    snprintf(cgroup_file, sizeof cgroup_file, "%s/cgroup", root);
    snprintf(mountinfo_file, sizeof mountinfo_file, "%s/mountinfo", root);
    unsigned count = 77;
    uint64_t call = 1, failed;
    do {
        sp__fault_arm(call++, false);
        int error = sp__os_cgroup_cpus(cgroup_file, mountinfo_file, &count);
        failed = sp__fault_disarm();
        assert_true(failed > 0 ? error != 0 && count == 77 : error == 0 && count == 3);
    } while (failed > 0);
    assert_int_equal(sp__os_cgroup_cpus("/nowhere/cgroup", mountinfo_file, &count), 0);
    assert_int_equal(count, 0);
}

/* The same for want of descriptors. */
static void a_quota_without_a_free_descriptor_is_an_error(void **state)
{
    (void)state;
    char cgroup_file[256];
    struct rlimit usual;
    unsigned count = 77;
    write_file("cgroup", "0::/a\n");
    snprintf(cgroup_file, sizeof cgroup_file, "%s/cgroup", root);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, usual.rlim_max }), 0);
    int error = sp__os_cgroup_cpus(cgroup_file, cgroup_file, &count);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(error, EMFILE);
    assert_int_equal(count, 77);
}

static void a_file_longer_than_a_page_is_read_whole(void **state)
{
    (void)state;
    static char text[20000];
    size_t length = 0;
    while (length < 15000)
        length += (size_t)snprintf(text + length, sizeof text - length, "7:cpuset,cpux:/not/this\n");
    snprintf(text + length, sizeof text - length, "0::/a\n");
    write_file("v2/a/cpu.max", "700000 100000\n");
    assert_int_equal(cpus(text, "/"), 7);
}

static void the_quota_is_read_once(void **state)
{
    (void)state;
    sp__fault_arm(2, false); /* the first after the affinity mask */
    (void)sp_cpu_count();
    assert_int_equal(sp__fault_disarm(), 1);
    sp__fault_arm(UINT64_MAX, false);
    unsigned count = sp_cpu_count();
    assert_true(sp__fault_calls() > 1); /* it could not be read before */
    sp__fault_arm(UINT64_MAX, false);
    assert_int_equal(sp_cpu_count(), count);
    assert_int_equal(sp__fault_calls(), 1); /* the affinity mask */
    sp__fault_disarm();
}

static void cpu_count_is_the_smallest_and_never_0(void **state)
{
    (void)state;
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    unsigned usual = sp_cpu_count();
    assert_true(usual >= 1);
    setenv("SPOOL_CPU_COUNT", "1", 1);
    assert_int_equal(sp_cpu_count(), 1);
    const char *const bad[] = { "0", "-3", "many", "2x", "", "99999999999999999999", "4294967297" };
    for (int i = 0; i < 7; i++) {
        setenv("SPOOL_CPU_COUNT", bad[i], 1);
        assert_int_equal(sp_cpu_count(), usual);
    }
    unsetenv("SPOOL_CPU_COUNT");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    assert_int_equal(sp_cpu_count(), 1);
    sched_setaffinity(0, sizeof all, &all);
    for (uint64_t call = 1; call < 50; call++) {
        sp__fault_arm(call, true);
        assert_true(sp_cpu_count() >= 1);
        sp__fault_disarm();
    }
}

/* ---- pages ---- */

/* Only those that lie in the memory as a whole. */
static void what_lies_beside_memory_that_is_given_up_stays(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory, 1, 3 * page);
    sp__os_give_up_pages(memory + 100, 2 * page);
    for (size_t i = 0; i < 3 * page; i++)
        assert_int_equal(memory[i], i / page == 1 ? 0 : 1);
    assert_int_equal(munmap(memory, 3 * page), 0);
}

/* ---- threads ---- */

struct stack {
    size_t left, size;
};

/* The C library takes them from the stack; whoever asks for one need not know of them. */
static _Thread_local volatile char thread_locals[20000];

static void measure(void *arg)
{
    struct stack *stack = arg;
    stack->left = (uintptr_t)__builtin_frame_address(0) - sp__os_stack_bottom(&stack->size);
    thread_locals[0] = 1;
}

static void stack_size_is_what_was_asked_for(void **state)
{
    (void)state;
    struct stack stack = { 0, 0 };
    struct sp__os_thread thread = { .run = measure, .arg = &stack };
    assert_int_equal(sp__os_thread_start(&thread, &(struct sp__os_thread_options){ .stack_size = 300001 }), 0);
    sp__os_thread_join(&thread);
#ifdef __SANITIZE_THREAD__
    puts("not under the thread sanitizer, whose frames and stacks have other sizes: what is left of the stack");
    assert_true(stack.left > 0);
#else
    assert_true(stack.size >= 300001 + sizeof thread_locals);
    /* musl takes none of it from the stack, so that what was added for them is left over. */
    assert_in_range(stack.left, 300001 - 8192, 300001 + 8192 + sizeof thread_locals);
#endif
    assert_int_equal(sp__os_thread_start(&thread, &(struct sp__os_thread_options){ .stack_size = 1 }), 0);
    sp__os_thread_join(&thread); /* the system's minimum */
    sp__fault_arm(1, false);
    assert_int_equal(sp__os_thread_start(&thread, &(struct sp__os_thread_options){ 0 }), EAGAIN);
    sp__fault_disarm();
}

static void wait_for_event(void *event)
{
    (void)sp_event_wait((sp_event *)event, SP_FOREVER);
}

static bool can_be_cancelled(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
    return before == PTHREAD_CANCEL_ENABLE;
}

/* It cannot be in the middle of these calls, but then again. */
static void who_names_or_joins_a_thread_can_be_cancelled_afterwards(void **state)
{
    (void)state;
    for (int tries = 0; tries < 2; tries++) {
        sp_event event = { 0 };
        struct sp__os_thread thread = { .run = wait_for_event, .arg = &event };
        assert_int_equal(sp__os_thread_start(&thread, &(struct sp__os_thread_options){ 0 }), 0);
        sp__os_thread_name(&thread, "waits");
        assert_true(can_be_cancelled());
        assert_false(sp__os_thread_try_join(&thread));
        assert_true(can_be_cancelled());
        sp_event_set(&event);
        if (tries == 0)
            sp__os_thread_join(&thread);
        else
            test_await(sp__os_thread_try_join(&thread));
        assert_true(can_be_cancelled());
    }
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
static void overflow(void *arg)
{
    char block[4096];
    memset(block, 1, sizeof block);
    __asm__ __volatile__("" : : "r"(block) : "memory");
    if (*(bool *)arg)
        overflow(arg);
    __asm__ __volatile__("" : : "r"(block) : "memory"); /* no tail call */
}

static void a_stack_overflow_meets_the_guard_page(void **state)
{
    (void)state;
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool deeper = true;
        struct sp__os_thread thread = { .run = overflow, .arg = &deeper };
        signal(SIGSEGV, SIG_DFL);
        if (sp__os_thread_start(&thread, &(struct sp__os_thread_options){ .stack_size = 65536 }) == 0)
            sp__os_thread_join(&thread);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
#endif

static void futex_wait_knows_its_deadline(void **state)
{
    (void)state;
    uint32_t word = 1;
    assert_int_equal(sp__os_futex_wait(&word, 2, SP__NEVER), 0); /* it is not 2 */
    assert_int_equal(sp__os_futex_wait(&word, 1, -5), ETIMEDOUT);
    int64_t begin = sp__os_now();
    assert_int_equal(sp__os_futex_wait(&word, 1, begin + 5000000), ETIMEDOUT);
    assert_true(sp__os_now() - begin >= 5000000);
}

/* ---- the fault table ---- */

static void the_fault_table_fails_what_it_is_told_to(void **state)
{
    (void)state;
    sp__fault_arm(2, false);
    void *a = sp__os_alloc(1), *b = sp__os_alloc(1), *c = sp__os_alloc(1);
    assert_true(a != NULL && b == NULL && c != NULL);
    assert_int_equal(sp__fault_calls(), 3);
    assert_int_equal(sp__fault_disarm(), 1);
    sp__os_free(a);
    sp__os_free(c);
    sp__fault_arm(1, true);
    assert_null(sp__os_zalloc(1));
    assert_null(sp__os_read_file("/proc/self/cgroup"));
    assert_int_equal(sp__os_at_exit(NULL), ENOMEM);
    assert_int_equal(sp__fault_disarm(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quota_is_read_once), /* first: others ask for it, too */
        cmocka_unit_test_setup_teardown(quota_of_the_own_cgroup_and_its_ancestors, begin, end),
        cmocka_unit_test_setup_teardown(quota_of_version_1, begin, end),
        cmocka_unit_test_setup_teardown(a_quota_that_cannot_be_read_now_is_an_error, begin, end),
        cmocka_unit_test_setup_teardown(a_quota_without_a_free_descriptor_is_an_error, begin, end),
        cmocka_unit_test_setup_teardown(a_file_longer_than_a_page_is_read_whole, begin, end),
        cmocka_unit_test(cpu_count_is_the_smallest_and_never_0),
        cmocka_unit_test(what_lies_beside_memory_that_is_given_up_stays),
        cmocka_unit_test(stack_size_is_what_was_asked_for),
        cmocka_unit_test(who_names_or_joins_a_thread_can_be_cancelled_afterwards),
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
        cmocka_unit_test(a_stack_overflow_meets_the_guard_page),
#endif
        cmocka_unit_test(futex_wait_knows_its_deadline),
        cmocka_unit_test(the_fault_table_fails_what_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
