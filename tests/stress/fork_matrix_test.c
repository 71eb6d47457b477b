/* Forks from every place from which a program may fork, while other threads are in the middle of everything that they may be
   in the middle of; the child looks at what it has inherited, uses what the library offers, and leaves in each way.

   Each fork is drawn: the way, what the others do, what the child does.  SPOOL_TEST_SEED repeats a run.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fork_others.h"
#include "fork_ways.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

enum { CHILD_LIMIT = 30 /* seconds */, FORKS = 120 };

enum leave { EXIT, RETURN, EXIT_AT_ONCE, FORK_AGAIN, LEAVES };

static struct plan {
    enum leave leave;
    bool may_return;
    uint64_t does; /* a bit for each of `doings` */
    sp_future *probes[PROBES];
    sp_completion *set;
} plan;
static pid_t child;    /* atomic; of the fork that is being made; 0: not yet */
static unsigned depth; /* how many forks below the process of the test */

/* ---- when it may fork ---- */

/* The letter that the kernel has for the state of a thread; 0: it is gone. */
static char state_of(const char *thread)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    const char *end_of_name = length > 0 ? strrchr(line, ')') : NULL;
    return end_of_name != NULL && end_of_name[1] == ' ' ? end_of_name[2] : 0;
}

/* A thread whose future is done, or which has released one, may still be about to give memory back. */
static bool all_others_sleep(void)
{
    bool sleep = true;
    char self[24];
    snprintf(self, sizeof self, "%d", (int)gettid());
    DIR *threads = opendir("/proc/self/task");
    stress_expect(threads != NULL);
    for (const struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        char state = entry->d_name[0] != '.' && strcmp(entry->d_name, self) != 0 ? state_of(entry->d_name) : 0;
        sleep = sleep && (state == 0 || state == 'S');
    }
    if (threads != NULL)
        closedir(threads);
    return sleep;
}

/* The allocator of the address sanitizer is locked for ever in the child, if another thread is in it. */
static void let_all_sleep(void)
{
    if (ADDRESS_SANITIZER)
        test_await(all_others_sleep());
}

/* ---- what the child does ---- */

static void find_locks(void)
{
    for (int i = 0; i < LOCKS; i++) {
        bool held = sp_lock_locked(&contended[i]), rheld = sp_rlock_locked(&rcontended[i]);
        stress_expect(sp_lock_acquire_timeout(&contended[i], SP_NOWAIT) == !held);
        stress_expect(sp_rlock_acquire_timeout(&rcontended[i], SP_NOWAIT) == !rheld);
        if (held) {
            stress_expect(!sp_lock_acquire_timeout(&contended[i], 0.0003));
        } else {
            sp_lock_release(&contended[i]);
            sp_lock_acquire(&contended[i]);
            sp_lock_release(&contended[i]);
        }
        if (rheld)
            continue;
        sp_rlock_acquire(&rcontended[i]);
        sp_rlock_release(&rcontended[i]);
        sp_rlock_release(&rcontended[i]);
    }
}

static void find_values(void)
{
    stress_expect(sp_semaphore_release(&tokens, 1) == SP_OK);
    stress_expect(sp_semaphore_acquire_timeout(&tokens, SP_NOWAIT));
    sp_event_set(&flag);
    stress_expect(sp_event_wait(&flag, SP_FOREVER));
    sp_event_clear(&flag);
    stress_expect(!sp_event_wait(&flag, 0.0001));
    sp_barrier_reset(&meeting);
    stress_expect(!sp_barrier_broken(&meeting) && sp_barrier_n_waiting(&meeting) == 0);
    stress_expect(sp_barrier_wait(&meeting, NULL, 0.0001) == SP_TIMEOUT && sp_barrier_broken(&meeting));
    sp_barrier_reset(&meeting);
    if (!sp_lock_acquire_timeout(&of_condition, SP_NOWAIT))
        return; /* lost */
    sp_condition_notify_all(&condition);
    stress_expect(!sp_condition_wait(&condition, &of_condition, 0.0001));
    sp_lock_release(&of_condition);
}

static void find_queue(sp_queue *queue)
{
    uint64_t item = 1;
    stress_expect(sp_put(queue, &item, SP_FOREVER) == SP_SHUT_DOWN && sp_get(queue, &item, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_queue_task_done(queue) == SP_SHUT_DOWN && !sp_queue_join(queue, SP_FOREVER));
    stress_expect(sp_queue_size(queue) <= 1000 && sp_queue_maxsize(queue) <= 2);
    sp_queue_shutdown(queue, true);
}

static void find_queues(void)
{
    find_queue(ring);
    find_queue(chain);
    find_queue(pile);
}

static void find_threads(void)
{
    sp_thread *only = NULL;
    stress_expect(sp_thread_enumerate(&only, 1) == 1 && only == sp_thread_current() && only == sp_thread_main());
    stress_expect(sp_thread_native_id(only) == (uint64_t)syscall(SYS_gettid) && sp_thread_is_alive(only));
    stress_expect(sp_thread_set_name(only, "child") == SP_OK && !sp_thread_is_daemon(only));
    sp_thread_release(only);
    stress_expect(!sp_thread_is_alive(held_thread) && sp_join(held_thread, NULL, SP_FOREVER) == SP_SHUT_DOWN);
    (void)sp_thread_native_id(held_thread);
    stress_expect(!sp_timer_cancel(held_timer) && sp_timer_join(held_timer, SP_FOREVER) == SP_SHUT_DOWN);
    stress_expect(sp_join_all(SP_FOREVER));
}

static void find_pool(void)
{
    sp_executor_statistics stats;
    sp_future *refused = sp_submit(pool, pass, 1);
    stress_expect(sp_result(refused, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_post(pool, pass, 1) == SP_SHUT_DOWN);
    stress_expect(sp_executor_wait_idle(pool, SP_FOREVER) && sp_shutdown(pool, .cancel_futures = true) == SP_OK);
    sp_executor_stats(pool, &stats);
    stress_expect(stats.workers == 0 && stats.submitted == stats.completed);
    sp_future_release(refused);
}

/* What was done keeps its result, the rest is shut down, at once. */
static void find_futures(void)
{
    unsigned done = 0, given = 0;
    for (int i = 0; i < PROBES; i++) {
        int value = 0;
        sp_status status = sp_result(plan.probes[i], &value, SP_FOREVER);
        stress_expect(status == SP_SHUT_DOWN || (status == SP_OK && value == i + 1));
        done += status == SP_OK;
    }
    stress_expect(sp_wait(plan.probes, PROBES, SP_ALL_COMPLETED, SP_FOREVER) ==
                  (done == PROBES ? SP_OK : SP_SHUT_DOWN));
    while (sp_next(plan.set) != NULL)
        given++;
    stress_expect(given == done);
    for (int i = 0; i < RELAYS; i++) {
        sp_future *future = sp__load_acquire(&relay[i]);
        if (future == NULL)
            continue;
        sp_status set = sp_future_set_result(future, &(int){ 9 }, sizeof(int));
        sp_status got = sp_result(future, NULL, SP_FOREVER);
        stress_expect(set == SP_OK ? got == SP_OK : set == SP_INVALID_STATE && (got == SP_OK || got == SP_SHUT_DOWN));
    }
}

static sp_status fill(sp_queue *const *in, sp_none *out)
{
    (void)out;
    for (int i = 0; i < 50; i++)
        if (sp_put(*in, &i, SP_FOREVER) != SP_OK)
            return SP_RUNTIME_ERROR;
    return SP_OK;
}
typedef sp_queue *queue_pointer;
SP_TASK(fill, queue_pointer, sp_none);

static void use_threads_and_queues(void)
{
    sp_queue *queue = sp_queue_of(int, .maxsize = 3);
    sp_thread *filler = sp_start(fill, queue);
    int item = 0, sum = 0;
    for (int i = 0; i < 50; i++, sum += item)
        stress_expect(sp_get(queue, &item, SP_FOREVER) == SP_OK);
    stress_expect(sum == 49 * 50 / 2 && sp_join(filler, NULL, SP_FOREVER) == SP_OK);
    sp_thread_release(filler);
    sp_queue_release(queue);
}

/* The pool is left as it is: exit drains it, also when that is the return from the task that has forked. */
static void use_a_pool(void)
{
    int in[4] = { 1, 2, 3, 4 }, out[4] = { 0 }, value = 0;
    sp_executor *parents = pool;
    pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) nested = sp_submit(pool, nest, 4);
    stress_expect(sp_result(nested, &value, SP_FOREVER) == SP_OK && value == 5);
    stress_expect(sp_map(pool, pass, in, out, 4) == SP_OK && out[3] == 5);
    sp_executor_release(pool);
    pool = parents;
}

static void use_a_timer(void)
{
    sp_timer *soon = sp_timer_start(0, pass, 1), *later = sp_timer_start(3600, pass, 1);
    stress_expect(sp_timer_join(soon, SP_FOREVER) == SP_OK && sp_timer_cancel(later));
    sp_timer_release(soon);
    sp_timer_release(later);
}

/* One of its own is told, once; the parent's are not. */
static void use_unseen_errors(void)
{
    sp_future *own = sp_future_new(&fail_at_once_sp_task, "");
    sp__store_relaxed(&told, 0); /* relaxed: a count */
    stress_expect(sp_future_set_error(own, &(sp_error){ .status = SP_VALUE_ERROR, .message = "child" }) == SP_OK);
    sp_future_release(own);
    stress_expect(sp__load_relaxed(&told) == 1); /* relaxed: our own */
}

static void *hold_for_long(void *arg)
{
    sp_lock_acquire(arg);
    int64_t until = sp__os_now() + 1500000;
    while (sp__os_now() < until)
        stress_linger(20);
    sp_lock_release(arg);
    return NULL;
}

/* Contenders of its own become heirs as anywhere. */
static void use_contended_locks(void)
{
    enum { HOLDERS = 3 };
    pthread_t holders[HOLDERS];
    static sp_lock lock;
    for (int i = 0; i < HOLDERS; i++)
        if (pthread_create(&holders[i], NULL, hold_for_long, &lock) != 0)
            _exit(2);
    for (int i = 0; i < 3; i++) {
        sp_lock_acquire(&lock);
        sp_lock_release(&lock);
    }
    for (int i = 0; i < HOLDERS; i++)
        stress_expect(pthread_join(holders[i], NULL) == 0);
    stress_expect(sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    sp_lock_release(&lock);
}

static const struct {
    void (*run)(void);
    bool starts_threads; /* the thread sanitizer knows those of the parent by the places that they have in the child */
} doings[] = {
    { find_locks, false },   { find_values, false },       { find_queues, false },           { find_pool, false },
    { find_futures, false }, { use_unseen_errors, false }, { use_threads_and_queues, true }, { use_a_pool, true },
    { use_a_timer, true },   { use_contended_locks, true }
};
enum { DOINGS = sizeof doings / sizeof doings[0] };

/* A child of the child: all the same once more, but for what was given out. */
static void fork_again(void)
{
    int status = -1;
    let_all_sleep();
    pid_t grandchild = fork();
    if (grandchild == 0) {
        depth++;
        find_threads();
        find_locks();
        find_queues();
        find_pool();
        if (!THREAD_SANITIZER) {
            use_a_pool();
            use_threads_and_queues();
        }
        if (stress_wrong != NULL)
            fprintf(stderr, "grandchild: line %d: not true: %s\n", stress_wrong_line, stress_wrong);
        exit(stress_wrong != NULL);
    }
    stress_expect(waitpid(grandchild, &status, 0) == grandchild && status == 0);
}

static void say_whether_well(void)
{
    if (stress_wrong != NULL) {
        fprintf(stderr, "child %d: line %d: not true: %s\n", (int)getpid(), stress_wrong_line, stress_wrong);
        _exit(1);
    }
    if (write(well[1], "", 1) != 1)
        _exit(1);
}

static void be_child(void)
{
    is_child = true;
    depth++;
    find_threads(); /* first: what the child starts would be enumerated */
    for (int i = 0; i < DOINGS; i++)
        if ((plan.does >> i & 1) != 0 && !(THREAD_SANITIZER && doings[i].starts_threads))
            doings[i].run();
    if (plan.leave == FORK_AGAIN)
        fork_again();
    say_whether_well();
    if (plan.leave == EXIT_AT_ONCE)
        _exit(0);
    if (plan.leave == EXIT || !plan.may_return)
        exit(0);
}

static void fork_here(void)
{
    if (is_child)
        return;
    pid_t forked = fork();
    if (forked == 0)
        be_child();
    else
        sp__store_release(&child, forked);
}

/* ---- the parent ---- */

static void make_plan(const struct way *way, enum leave leave, uint64_t does)
{
    plan.leave = leave;
    plan.may_return = !THREAD_SANITIZER || way->is_main;
    plan.does = does;
    for (int i = 0; i < PROBES; i++)
        plan.probes[i] = sp_submit(pool, pass, i);
    plan.set = sp_as_completed(plan.probes, PROBES, SP_FOREVER);
    sp__store_relaxed(&child, 0); /* relaxed: nobody forks yet */
    if (ADDRESS_SANITIZER)
        stress_expect(sp_executor_wait_idle(pool, SP_FOREVER));
    let_all_sleep();
}

static void drop_plan(void)
{
    for (int i = 0; i < PROBES; i++)
        stress_expect(sp_next(plan.set) != NULL);
    sp_completion_release(plan.set);
    sp_release_all(plan.probes, PROBES);
}

/* Fork in this way, and wait for the child. */
static void fork_in(const struct way *way)
{
    char byte;
    way->fork();
    if (is_child)
        exit(0); /* it has returned into the main thread */
    test_await(sp__load_acquire(&child) != 0);
    let_others_rest();
    if (!child_is_well(child, CHILD_LIMIT))
        fail_msg("forked in %s, leaves by %d, does %" PRIx64, way->name, (int)plan.leave, plan.does);
    if (read(twice[0], &byte, 1) == 1)
        fail_msg("forked in %s, leaves by %d: a task of the parent's ran in the child", way->name, (int)plan.leave);
    sp_set_excepthook(be_silent, NULL);
    stress_assert_nothing_wrong();
}

/* The allocator of the address sanitizer may be locked for ever in the child of a process that allocates. */
static bool may_be_used(const struct way *way)
{
    return !ADDRESS_SANITIZER || way->is_main;
}

static void say_what_is_left_out(void)
{
    if (ADDRESS_SANITIZER)
        puts("not under the address sanitizer: forks while other threads allocate");
    if (THREAD_SANITIZER)
        puts("not under the thread sanitizer: threads of the child, and the end of one that has forked");
}

static void from_every_place_and_left_in_every_way(void **state)
{
    (void)state;
    begin_others();
    say_what_is_left_out();
    fflush(stdout);
    for (int i = 0; i < WAYS; i++)
        for (int leave = 0; leave < LEAVES && may_be_used(&ways[i]); leave++) {
            make_plan(&ways[i], (enum leave)leave, UINT64_MAX);
            fork_in(&ways[i]);
            drop_plan();
        }
    end_others();
}

static void while_others_are_in_the_middle_of_everything(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    begin_others();
    for (long i = test_count(FORKS); i > 0; i--) {
        const struct way *way = &ways[test_random(&random) % WAYS];
        if (!may_be_used(way))
            continue;
        make_plan(way, (enum leave)(test_random(&random) % LEAVES), test_random(&random));
        let_others_work(&random);
        fork_in(way);
        drop_plan();
    }
    end_others();
}

static int prepare(void **state)
{
    (void)state;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    first_parent = getpid();
    return pthread_sigmask(SIG_BLOCK, &one, NULL) | pipe2(well, O_CLOEXEC | O_NONBLOCK) |
           pipe2(twice, O_CLOEXEC | O_NONBLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_every_place_and_left_in_every_way),
        cmocka_unit_test(while_others_are_in_the_middle_of_everything),
    };
    int failed = cmocka_run_group_tests(tests, prepare, NULL);
    if (failed != 0)
        _exit(1); /* the others go on */
    return 0;
}
