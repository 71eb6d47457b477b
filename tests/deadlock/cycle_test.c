/* Every cycle of waits is reported when it closes: random ones, each in a process of its own, which is this program again.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

/* ---- the plan of a cycle: member k waits for what member k + 1 has ---- */

enum { MOST = 5 };
typedef enum { THREAD, TASK, HELPED } member_kind;
typedef enum { LOCK, RLOCK, ONCE, END, RESULT } member_thing;

static const char *const waits[] = { "waits for the lock", "waits for the reentrant lock", "waits for the once",
                                     "waits for the end of the thread", "waits for the future" };

struct plan {
    int n;
    struct {
        member_kind kind;
        member_thing has;
        char name[32];
        uint64_t spins; /* before it waits */
    } member[MOST];
};

static struct plan plan_of(uint64_t seed)
{
    static const char *const names[] = { "thread-%d", "task-%d-0", "helped-%d" };
    struct plan plan = { .n = 2 + (int)(test_random(&seed) % (MOST - 1)) };
    bool futures_only = true;
    for (int k = 0; k < plan.n; k++) {
        plan.member[k].kind = (member_kind)(test_random(&seed) % 3);
        bool of_kind = test_random(&seed) % 2; /* what only a member of its kind has */
        plan.member[k].has = !of_kind                        ? (member_thing)(test_random(&seed) % 3)
                             : plan.member[k].kind == THREAD ? END
                                                             : RESULT;
        plan.member[k].spins = test_random(&seed) % 3 == 0 ? test_random(&seed) % 100000 : 0;
        snprintf(plan.member[k].name, sizeof plan.member[k].name, names[plan.member[k].kind], k);
        futures_only = futures_only && plan.member[k].has == RESULT;
    }
    if (futures_only)
        plan.member[0].has = LOCK; /* that one would be told and not reported */
    return plan;
}

/* ---- the child ---- */

static struct plan plan;
static sp_lock locks[MOST];
static sp_rlock rlocks[MOST];
static sp_once onces[MOST];
static sp_thread *threads[MOST];
static sp_future *futures[MOST];
static sp_executor *pools[MOST];
static sp_semaphore ready; /* a permit for each member that has its thing */
static sp_event go, never;
static uint64_t last_ready; /* atomic; nanoseconds: when the last member began to wait */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static const void *thing_of(int k)
{
    const void *const things[] = { &locks[k], &rlocks[k], &onces[k], threads[k], futures[k] };
    return things[plan.member[k].has];
}

/* The hook.  The process ends when it returns. */
static void tell(const char *report, void *context)
{
    uint64_t since = now() - sp__load_acquire(&last_ready);
    char text[4096];
    int length = snprintf(text, sizeof text, "late %" PRIu64 "\n", since);
    (void)context;
    for (int k = 0; k < plan.n; k++)
        length += snprintf(text + length, sizeof text - (size_t)length, "thing %p\n", thing_of(k));
    length += snprintf(text + length, sizeof text - (size_t)length, "%s\n", report);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(98);
}

static void nothing(void *context)
{
    (void)context;
}

static void wait_for_next(int k)
{
    int next = (k + 1) % plan.n;
    if (sp_semaphore_release(&ready, 1) != SP_OK)
        _exit(97);
    sp_event_wait(&go, SP_FOREVER);
    for (uint64_t i = plan.member[k].spins; i > 0; i--)
        sp__cpu_relax();
    uint64_t mine = now(), last = sp__load_relaxed(&last_ready);
    while (mine > last && !sp__cas_acq_rel(&last_ready, &last, mine))
        continue;
    sp_status status = SP_OK;
    switch (plan.member[next].has) {
    case LOCK:
        sp_lock_acquire(&locks[next]);
        break;
    case RLOCK:
        sp_rlock_acquire(&rlocks[next]);
        break;
    case ONCE:
        sp_once_call(&onces[next], nothing, NULL);
        break;
    case END:
        status = sp_join(threads[next], NULL, SP_FOREVER);
        break;
    case RESULT:
        status = sp_result(futures[next], NULL, SP_FOREVER);
        break;
    }
    fprintf(stderr, "member %d went on: %s\n", k, sp_status_name(status));
    _exit(96);
}

static void wait_inside_once(void *context)
{
    wait_for_next(*(const int *)context);
}

static void member(int k)
{
    if (plan.member[k].has == ONCE)
        sp_once_call(&onces[k], wait_inside_once, &k);
    if (plan.member[k].has == LOCK)
        sp_lock_acquire(&locks[k]);
    if (plan.member[k].has == RLOCK) {
        sp_rlock_acquire(&rlocks[k]);
        sp_rlock_acquire(&rlocks[k]);
    }
    wait_for_next(k);
}

static sp_status be_member(const int *in, sp_none *out)
{
    (void)out;
    member(*in);
    return SP_OK;
}
SP_TASK(be_member, int, sp_none);

/* Runs the member on its own stack, under the name of the task. */
static sp_status help(const int *in, sp_none *out)
{
    (void)out;
    sp_task task = be_member_sp_task;
    task.name = plan.member[*in].name;
    futures[*in] = sp_executor_submit(pools[*in], &task, in);
    return sp_result(futures[*in], NULL, SP_FOREVER);
}
SP_TASK(help, int, sp_none);

static void start(int k)
{
    char prefix[32];
    if (plan.member[k].kind == THREAD) {
        threads[k] = sp_start_with(SP_THREAD(.name = plan.member[k].name), be_member, k);
        return;
    }
    snprintf(prefix, sizeof prefix, "task-%d", k);
    pools[k] = sp_thread_pool(.max_workers = 1, .thread_name_prefix = prefix);
    if (plan.member[k].kind == TASK)
        futures[k] = sp_submit(pools[k], be_member, k);
    else
        sp_future_release(sp_submit(pools[k], help, k));
}

static int close_cycle(uint64_t seed)
{
    plan = plan_of(seed);
    sp__fault_spurious(seed, 50);
    sp_set_deadlock_hook(tell, NULL);
    for (int k = 0; k < plan.n; k++)
        start(k);
    for (int k = 0; k < plan.n; k++)
        sp_semaphore_acquire(&ready);
    sp_event_set(&go);
    sp_event_wait(&never, SP_FOREVER);
    return 0;
}

/* ---- the parent ---- */

static const char *program;
enum { LIMIT = 100000000 }; /* nanoseconds from the wait that closes the cycle to its report */

/* Does the report say that member k waits for the thing of the next one?  `thing` is its address as the child wrote it. */
static bool names(const char *report, const struct plan *wanted, int k, const char *thing)
{
    int next = (k + 1) % wanted->n;
    char who[64], what[160];
    snprintf(who, sizeof who, "%s (id ", wanted->member[k].name);
    snprintf(what, sizeof what, ") %s at %s, held by %s (id ", waits[wanted->member[next].has], thing,
             wanted->member[next].name);
    for (const char *at = report; (at = strstr(at, who)) != NULL;) {
        at += strlen(who);
        if (strncmp(at + strspn(at, "0123456789"), what, strlen(what)) == 0)
            return true;
    }
    return false;
}

/* Returns after how many nanoseconds the report came. */
static uint64_t check(uint64_t seed)
{
    const struct plan wanted = plan_of(seed);
    char text[32], things[MOST][32], count[32];
    snprintf(text, sizeof text, "%" PRIu64, seed);
    snprintf(count, sizeof count, "a cycle of %d: ", wanted.n);
    struct child_end end = child_run(program, "cycle", text);
    child_aborted(&end, count);
    char *rest;
    if (strncmp(end.said, "late ", 5) != 0)
        fail_msg("seed %s: said '%s'", text, end.said);
    uint64_t late = strtoull(end.said + 5, &rest, 10);
    for (int k = 0; k < wanted.n; k++) {
        int used = 0;
        if (sscanf(rest, " thing %31s%n", things[k], &used) != 1)
            fail_msg("seed %s: said '%s'", text, end.said);
        rest += used;
    }
    for (int k = 0; k < wanted.n; k++)
        if (!names(rest, &wanted, k, things[(k + 1) % wanted.n]))
            fail_msg("seed %s: %s is not named as it should be in: %s", text, wanted.member[k].name, rest);
    return late;
}

static void every_cycle_is_reported_when_it_closes(void **state)
{
    (void)state;
    uint64_t random = test_seed(), worst = 0;
    long cycles = test_count(100), late = 0;
    for (long i = 0; i < cycles; i++) {
        uint64_t after = check(test_random(&random));
        worst = after > worst ? after : worst;
        late += after > LIMIT;
    }
    printf("%ld cycles reported, the slowest after %.3f ms, %ld late\n", cycles, (double)worst * 1e-6, late);
    assert_true(late <=
                1 + cycles / 50); /* a thread may be preempted for so long on a busy machine, not again and again */
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 2)
        return close_cycle(strtoull(argv[2], NULL, 10));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cycle_is_reported_when_it_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
