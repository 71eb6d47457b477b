/* Ends in unusual ways.  Each way to end {return, raise, pthread_exit, pthread_cancel, exit} of each kind of thread {one of
   sp_start, a pool's, a timer's, a foreign one, main} in each state {nothing, it holds a lock, its key's destructor or that of
   a C++ thread_local uses the library, a finaliser does everything} has its answer; docs/contracts.md has the table.  Each
   cell is a process of its own, which is this program again.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <limits.h>

#include <spool.h>

#include "base/atomic.h"

enum way { RETURN, RAISE, PTHREAD_EXIT, CANCEL, EXIT, WAYS };
enum kind { THREAD, POOL, TIMER, FOREIGN, MAIN, KINDS };
enum state { NOTHING, LOCK, KEY, THREAD_LOCAL, LOCAL, STATES };
enum { EXIT_STATUS = 7, BROKEN = 90, CELLS = WAYS * KINDS * STATES };

static const char *const ways[] = { "return", "raise", "pthread_exit", "cancel", "exit" };
static const char *const kinds[] = { "thread", "pool", "timer", "foreign", "main" };
static const char *const states[] = { "nothing", "lock", "key", "thread_local", "local" };

static const char *program;
static enum way way;
static enum kind kind;
static enum state state_of_cell;

static sp_lock held,
    passed;                /* the first is what the thread ends with; the second is used by whatever runs at its end */
static sp_executor *pool;  /* of POOL */
static uint32_t ran;       /* atomic; how often what runs at the end of the thread has come to its own end */
static sp_event submitted; /* of POOL: all tasks are in the pool, which the first one may close at its end */

static void broken(int what)
{
    fprintf(stderr, "broken: %d\n", what);
    _exit(BROKEN + what);
}

static sp_status succeed(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(succeed, int, int);

/* ---- what runs at the end of the thread ---- */

static void use_the_library(void)
{
    int value = 0;
    sp_lock_acquire(&passed);
    sp_lock_release(&passed);
    sp_auto(sp_thread) thread = sp_start(succeed, 3);
    if (sp_join(thread, &value, SP_FOREVER) != SP_OK || value != 3)
        broken(1);
    sp_thread_release(sp_start(succeed, 4));
    sp_auto(sp_executor) other = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(other, succeed, 5);
    if (sp_result(future, &value, SP_FOREVER) != SP_OK || value != 5 || sp_shutdown(other) != SP_OK)
        broken(2);
    if (sp_thread_current() == NULL || sp_thread_ident(sp_thread_current()) == 0)
        broken(3);
    if (kind == POOL && sp_shutdown(pool) != SP_DEADLOCK)
        broken(4);
    sp__add_seq_cst(&ran, 1);
}

static pthread_key_t key;
static _Thread_local int rounds;

enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };

/* What a C++ compiler calls for a thread_local; musl has none. */
extern int __cxa_thread_atexit_impl(void (*end)(void *), void *value, void *object) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

/* The thread sanitizer forgets a thread while its destructors run, and has a thread of its own, which goes on when main has
   ended by itself. */
static bool is_left_out(int number)
{
#ifdef __SANITIZE_THREAD__
    int its_way = number / KINDS / STATES;
    bool main_ends = number / STATES % KINDS == MAIN && (its_way == PTHREAD_EXIT || its_way == CANCEL);
    if (number % STATES == KEY || main_ends)
        return true;
#endif
    return number % STATES == THREAD_LOCAL && __cxa_thread_atexit_impl == NULL;
}

static void end_of_key(void *value)
{
    use_the_library();
    if (++rounds < ROUNDS && pthread_setspecific(key, value) != 0)
        broken(5);
}

static void end_of_thread_local(void *value)
{
    (void)value;
    use_the_library();
}

static void end_of_local(void *value)
{
    (void)value;
    use_the_library();
}
static sp_local local = SP_LOCAL(int, NULL, end_of_local);

static void prepare_state(void)
{
    switch (state_of_cell) {
    case LOCK:
        sp_lock_acquire(&held);
        break;
    case KEY:
        if (pthread_setspecific(key, &held) != 0)
            broken(6);
        break;
    case THREAD_LOCAL:
        if (__cxa_thread_atexit_impl == NULL ||
            __cxa_thread_atexit_impl(end_of_thread_local, &held, &__dso_handle) != 0)
            broken(7);
        break;
    case LOCAL:
        if (sp_local_get(&local) == NULL)
            broken(8);
        break;
    default:
        break;
    }
}

/* ---- the end ---- */

static sp_status end_it(void)
{
    prepare_state();
    switch (way) {
    case RAISE:
        return sp_raise(SP_VALUE_ERROR, "on purpose");
    case PTHREAD_EXIT:
        pthread_exit(NULL);
    case CANCEL:
        pthread_cancel(pthread_self());
        sp_sleep(0.0001); /* no call of the library is a cancellation point */
        pthread_testcancel();
        broken(9);
        return SP_OK;
    case EXIT:
        exit(EXIT_STATUS);
    default:
        return SP_OK;
    }
}

static sp_status end_task(const int *in, int *out)
{
    *out = *in;
    if (kind == POOL)
        sp_event_wait(&submitted, SP_FOREVER);
    return end_it();
}
SP_TASK(end_task, int, int);

static void *end_foreign(void *arg)
{
    (void)end_it();
    return arg;
}

static void check(sp_status status, int value, const sp_error *error)
{
    static const sp_status expected[] = { SP_OK, SP_VALUE_ERROR, SP_RUNTIME_ERROR, SP_RUNTIME_ERROR, SP_RUNTIME_ERROR };
    if (status != expected[way] || value != (way == RETURN ? 6 : 0))
        broken(10);
    if (way == RETURN ? error != NULL : error == NULL || error->status != status)
        broken(11);
    if (status == SP_RUNTIME_ERROR && strstr(error->message, "ended by ") == NULL)
        broken(12);
}

static void end_a_thread(void)
{
    int value = 0;
    sp_auto(sp_thread) thread = sp_start(end_task, 6);
    sp_status status = sp_join(thread, &value, SP_FOREVER);
    check(status, value, sp_thread_error(thread));
}

static void end_a_task(void)
{
    int value = 0, next = 0;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, end_task, 6);
    sp_auto(sp_future) following = sp_submit(pool, succeed, 8);
    sp_event_set(&submitted);
    sp_status status = sp_result(future, &value, SP_FOREVER);
    check(status, value, sp_future_error(future));
    if (sp_result(following, &next, SP_FOREVER) != SP_OK || next != 8)
        broken(13); /* another worker took the place of the one that ended */
    if (sp_shutdown(pool) != SP_OK)
        broken(14);
    sp_executor_release(pool);
}

static void end_a_timer(void)
{
    sp_status status;
    sp_auto(sp_timer) timer = sp_timer_start(0, end_task, 6);
    status = sp_timer_join(timer, SP_FOREVER);
    static const sp_status expected[] = { SP_OK, SP_VALUE_ERROR, SP_RUNTIME_ERROR, SP_RUNTIME_ERROR, SP_RUNTIME_ERROR };
    if (status != expected[way])
        broken(15);
}

static void end_a_foreign_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_foreign, NULL) != 0 || pthread_join(thread, NULL) != 0)
        broken(16);
}

static void everything_still_works(void)
{
    bool lost = state_of_cell == LOCK; /* its owner has ended, or is about to */
    if (sp_lock_acquire_timeout(&held, 0.001) == lost)
        broken(17);
    if (kind == POOL)
        kind = THREAD; /* there is no pool any more */
    use_the_library();
}

static uint32_t expected_runs(void)
{
    return state_of_cell == KEY ? ROUNDS : state_of_cell == THREAD_LOCAL || state_of_cell == LOCAL ? 1 : 0;
}

/* Of main, which has no values that are finished, and no destructor but for a C++ thread_local's at exit: somebody else sees
   it go, and is waited for. */
static sp_status see_main_go(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    if (sp_thread_wait(sp_thread_main(), SP_FOREVER) != SP_OK)
        broken(18);
    everything_still_works();
    fputs("seen ", stderr);
    return SP_OK;
}
SP_TASK(see_main_go, sp_none, sp_none);

static void say_exit(void)
{
    fputs("exit ", stderr);
}

static int run_cell(void)
{
    if (pthread_key_create(&key, end_of_key) != 0 || atexit(say_exit) != 0)
        return 1;
    if (kind == MAIN) {
        sp_thread_release(sp_start(see_main_go));
        (void)end_it();
        return 0;
    }
    void (*const ends[])(void) = { end_a_thread, end_a_task, end_a_timer, end_a_foreign_thread };
    ends[kind]();
    if (way == EXIT) /* others are told that the thread is gone; the process ends with its status */
        sp_sleep(SP_FOREVER);
    if (sp__load_seq_cst(&ran) != expected_runs())
        broken(19);
    everything_still_works();
    return 0;
}

/* ---- the test ---- */

static void cell_is_as_the_table_says(void **cell)
{
    int number = (int)(intptr_t)*cell;
    char name[8];
    snprintf(name, sizeof name, "%d", number);
    struct child_end end = child_run(program, name, NULL);
    int wanted = number / KINDS / STATES == EXIT ? EXIT_STATUS : 0;
    if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != wanted || strstr(end.said, "exit ") == NULL)
        fail_msg("hung %d, status %x, said '%s'", end.hung, (unsigned)end.status, end.said);
    if (number / STATES % KINDS == MAIN && strstr(end.said, "seen ") == NULL)
        fail_msg("not waited for: '%s'", end.said);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[CELLS];
    static char names[CELLS][64];
    program = argv[0];
    if (argc > 1) {
        int number = atoi(argv[1]);
        way = (enum way)(number / KINDS / STATES);
        kind = (enum kind)(number / STATES % KINDS);
        state_of_cell = (enum state)(number % STATES);
        return run_cell();
    }
    size_t count = 0;
    for (int number = 0; number < CELLS; number++) {
        if (is_left_out(number))
            continue;
        snprintf(names[number], sizeof names[number], "%s of %s with %s", ways[number / KINDS / STATES],
                 kinds[number / STATES % KINDS], states[number % STATES]);
        tests[count++] = (struct CMUnitTest){ names[number], cell_is_as_the_table_says, NULL, NULL,
                                              (void *)(intptr_t)number };
    }
    if (count < CELLS)
        printf("left out here: %d cells\n", CELLS - (int)count);
    return _cmocka_run_group_tests("unusual ends", tests, count, NULL, NULL);
}
