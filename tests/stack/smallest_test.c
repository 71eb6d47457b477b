/* Every public call and every report on the smallest stack that .stack_size accepts: in a thread and in a pool's worker.

   Each room of calls runs in a process of its own: a stack that is too small ends it at the guard page.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <unistd.h>

#include <spool.h>

#include "os/os.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SMALLEST = 262144, SPARE = 0 }; /* the frames of a sanitizer's build are no measure of ours */
#else
enum { SMALLEST = 1, SPARE = 1024 }; /* bytes; what must be left of the stack when all calls were made */
#endif
enum { PAINT = 0xA5 };

/* Thread-local variables of the program are not at the expense of the stack. */
static _Thread_local char program_local[20000];

/* What a call answers does not matter here, but the compiler wants it looked at. */
static sp_status ignored;
#define CALL(call) (ignored = (call))

/* ---- what the calls are given ---- */

static int same(int x)
{
    return x;
}
SP_FUNCTION(same, int, int);

static sp_status fails(const int *x, int *ret)
{
    *ret = *x;
    return sp_raise(SP_VALUE_ERROR, "%d %f %s %p", *x, 1.5e300, "text", (const void *)x);
}
SP_TASK(fails, int, int);

struct large {
    char bytes[5000];
};

static sp_status fails_to_open(const struct large *x, struct large *ret)
{
    memcpy(ret, x, sizeof *ret);
    errno = ENOENT;
    return sp_raise_errno("open %s", "a file");
}
SP_TASK(fails_to_open, struct large, struct large);

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void ignore(void *context)
{
    (void)context;
}

static sp_status succeed(void *context)
{
    (void)context;
    return SP_OK;
}

static bool yes(void *context)
{
    (void)context;
    return true;
}

static void be_told(sp_future *future, void *context)
{
    (void)future;
    (void)context;
}

static bool next_number(void *context, void *ret_arg)
{
    int *left = context;
    *(int *)ret_arg = *left;
    return (*left)-- > 0;
}

/* ---- the rooms ---- */

static sp_lock lock;
static sp_rlock rlock;
static sp_event event;
static sp_condition condition;
static sp_once once;
static sp_semaphore semaphore = SP_SEMAPHORE(1);
static sp_barrier barrier = SP_BARRIER_ACTION(1, yes, NULL), two = SP_BARRIER(2);
static sp_local local = SP_LOCAL(int, ignore, ignore);

static void locks(void)
{
    sp_lock_acquire(&lock);
    (void)sp_lock_acquire_timeout(&lock, 0.001);
    (void)sp_lock_locked(&lock);
    (void)sp_condition_wait(&condition, &lock, 0.001);
    (void)sp_condition_wait_for(&condition, &lock, yes, NULL, 0.001);
    sp_condition_notify(&condition, 1);
    sp_condition_notify_all(&condition);
    sp_lock_release(&lock);
    sp_rlock_acquire(&rlock);
    (void)sp_rlock_acquire_timeout(&rlock, 0.001);
    (void)sp_condition_wait_rlock(&condition, &rlock, 0.001);
    sp_rlock_release(&rlock);
    (void)(sp_rlock_locked(&rlock) && sp_rlock_is_owned(&rlock));
    sp_rlock_release(&rlock);
    sp_semaphore_acquire(&semaphore);
    (void)sp_semaphore_acquire_timeout(&semaphore, 0.001);
    CALL(sp_semaphore_release(&semaphore, 1));
    sp_event_set(&event);
    sp_event_clear(&event);
    (void)(sp_event_wait(&event, 0.001) || sp_event_is_set(&event));
    CALL(sp_barrier_wait(&barrier, NULL, 0.001));
    CALL(sp_barrier_wait(&two, NULL, 0.001));
    sp_barrier_reset(&two);
    sp_barrier_abort(&two);
    (void)(sp_barrier_n_waiting(&two) != 0 || sp_barrier_broken(&two));
    sp_once_call(&once, ignore, NULL);
}

static void threads(void)
{
    int result;
    sp_thread *all[8];
    sp_thread *thread = sp_start_with(SP_THREAD(.name = "small", .stack_size = SMALLEST), same, 1);
    assert_non_null(thread);
    CALL(sp_join(thread, &result, SP_FOREVER));
    CALL(sp_thread_wait(thread, SP_FOREVER));
    CALL(sp_thread_set_name(thread, "another name, too long for the system"));
    (void)(sp_thread_is_alive(thread) || sp_thread_is_daemon(thread) || sp_thread_error(thread) != NULL);
    (void)(sp_thread_name(thread) != NULL && sp_thread_ident(thread) != 0 && sp_thread_native_id(thread) != 0);
    sp_thread_release(sp_thread_retain(thread));
    sp_thread_release(thread);
    CALL(sp_thread_set_name(sp_thread_current(), "me"));
    (void)(sp_thread_main() != NULL && sp_thread_active_count() != 0);
    size_t n = sp_thread_enumerate(all, 8);
    for (size_t i = 0; i < n && i < 8; i++)
        sp_thread_release(all[i]);
    sp_timer *timer = sp_timer_start(0.001, same, 1);
    CALL(sp_timer_join(timer, SP_FOREVER));
    sp_timer_release(timer);
    timer = sp_timer_start(1000, same, 1);
    (void)sp_timer_cancel(timer);
    sp_timer_release(timer);
    *(int *)sp_local_get(&local) = 1;
    (void)sp_join_all(0.001);
}

static void queue_calls(sp_queue *queue)
{
    int items[4] = { 4, 3, 2, 1 };
    size_t done;
    CALL(sp_put(queue, &items[0], 0.001));
    CALL(sp_queue_put_many(queue, items, 4, &done, 0.001));
    CALL(sp_get(queue, &items[0], 0.001));
    CALL(sp_queue_get_many(queue, items, 2, &done, 0.001));
    CALL(sp_queue_task_done(queue));
    (void)sp_queue_join(queue, 0.001);
    (void)(sp_queue_size(queue) + sp_queue_maxsize(queue) + sp_queue_empty(queue) + sp_queue_full(queue));
    sp_queue_shutdown(queue, true);
    sp_queue_release(sp_queue_retain(queue));
    sp_queue_release(queue);
}

static void queues(void)
{
    queue_calls(sp_queue_of(int, .drop = ignore));
    queue_calls(sp_queue_of(int, .maxsize = 3, .drop = ignore));
    queue_calls(sp_queue_of(int, .order = SP_LIFO, .drop = ignore));
    queue_calls(sp_queue_of(int, .order = SP_PRIORITY, .compare = compare, .drop = ignore));
}

static void future_calls(sp_executor *pool)
{
    int result, numbers[4] = { 1, 2, 3, 4 };
    static const struct large large; /* not on the stack */
    sp_future *futures[] = { sp_submit(pool, same, 1), sp_submit(pool, fails, 2),
                             sp_submit_from(pool, fails_to_open, &large), sp_submit(pool, same, 4) };
    CALL(sp_wait(futures, 4, SP_FIRST_COMPLETED, SP_FOREVER));
    CALL(sp_wait(futures, 4, SP_FIRST_ERROR, SP_FOREVER));
    CALL(sp_wait(futures, 4, SP_ALL_COMPLETED, 100));
    CALL(sp_wait(futures, 4, SP_ALL_COMPLETED, SP_FOREVER));
    sp_completion *completion = sp_as_completed(futures, 4, SP_FOREVER);
    while (sp_next(completion) != NULL)
        continue;
    CALL(sp_completion_status(completion));
    sp_completion_release(completion);
    for (int i = 0; i < 4; i++) {
        (void)(sp_future_error(futures[i]) != NULL && sp_future_arg(futures[i]) != NULL);
        (void)(sp_future_cancelled(futures[i]) || sp_future_running(futures[i]) || sp_future_done(futures[i]));
        sp_future_add_done_callback(futures[i], be_told, NULL);
        (void)sp_future_task_name(futures[i]);
    }
    CALL(sp_result_of(same, futures[0], &result, SP_FOREVER));
    sp_release_all(futures, 4);
    sp_future *future = sp_submit(pool, same, 5);
    (void)(sp_future_wait(future, SP_FOREVER) || sp_future_cancel(future));
    CALL(sp_result(future, &result, SP_FOREVER));
    sp_future_release(sp_future_retain(future));
    sp_future_release(future);
    CALL(sp_post(pool, same, 6));
    CALL(sp_map(pool, same, numbers, numbers, 4));
    CALL(sp_map(pool, fails, numbers, numbers, 4, .chunksize = 2));
    int left = 3;
    sp_mapping *mapping = sp_map_lazy(pool, same, next_number, &left);
    while (sp_map_next(mapping, &result, SP_FOREVER) == SP_OK)
        (void)sp_mapping_error(mapping);
    sp_mapping_release(mapping);
}

static void futures(void)
{
    sp_future *future = sp_future_new(&same_sp_task, &(int){ 1 });
    (void)sp_future_set_running(future);
    sp_future_add_done_callback(future, be_told, NULL);
    CALL(sp_future_set_result(future, &(int){ 1 }, sizeof(int)));
    sp_future_release(future);
    future = sp_future_new(&same_sp_task, &(int){ 1 });
    CALL(sp_future_set_error(future, &(sp_error){ .status = SP_VALUE_ERROR, .message = "no" }));
    sp_future_release(future);
    (void)sp_cancel_requested();
}

static void pool_calls(sp_executor *pool)
{
    sp_executor_statistics statistics;
    future_calls(pool);
    sp_executor_stats(pool, &statistics);
    (void)sp_executor_wait_idle(pool, SP_FOREVER);
    CALL(sp_shutdown(pool, .cancel_futures = true));
    sp_future_release(sp_submit(pool, same, 1)); /* refused */
    sp_executor_release(sp_executor_retain(pool));
    sp_executor_release(pool);
}

static void pools(void)
{
    (void)sp_cpu_count();
    pool_calls(sp_thread_pool());
    pool_calls(sp_thread_pool(.max_workers = 1, .stack_size = SMALLEST, .initializer = succeed, .finalizer = ignore,
                              .thread_name_prefix = "small"));
    pool_calls(sp_inline_pool());
    pool_calls(sp_inline_pool(.seed = 7));
}

static void statuses(void)
{
    (void)(sp_version() != NULL && sp_status_name(SP_OK) != NULL && sp_status_text(SP_OK) != NULL);
    sp_sleep(0.001);
    (void)sp_monotonic();
    sp_set_panic_hook(NULL, NULL);
    sp_set_deadlock_hook(NULL, NULL);
    sp_set_starvation_hook(NULL, NULL);
    sp_set_unseen_error_hook(NULL, NULL);
    sp_set_excepthook(NULL, NULL);
}

/* A pool whose own worker calls it. */
static sp_executor *own;

static void own_pool(void)
{
    if (own != NULL)
        future_calls(own);
}

/* ---- reports ---- */

static void unseen_errors(void)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .stack_size = SMALLEST);
    sp_future *future = sp_submit(pool, fails, 1);
    (void)sp_future_wait(future, SP_FOREVER);
    sp_future_release(future);
    sp_thread *thread = sp_start_with(SP_THREAD(.stack_size = SMALLEST), fails, 2);
    CALL(sp_thread_wait(thread, SP_FOREVER));
    sp_thread_release(thread);
    CALL(sp_shutdown(pool));
    sp_executor_release(pool);
}

static void panics(void)
{
    sp_lock_release(&lock);
}

static void deadlocks(void)
{
    sp_lock_acquire(&lock);
    sp_lock_acquire(&lock);
}

static sp_lock second;
static sp_event has_second;

static int hold_second(int x)
{
    sp_lock_acquire(&second);
    sp_event_set(&has_second);
    sp_lock_acquire(&lock);
    return x;
}
SP_FUNCTION(hold_second, int, int);

static void deadlocks_with_another(void)
{
    sp_lock_acquire(&lock);
    sp_thread *other = sp_start_with(SP_THREAD(.stack_size = SMALLEST), hold_second, 1);
    assert_non_null(other);
    sp_event_wait(&has_second, SP_FOREVER);
    sp_lock_acquire(&second);
}

static void fails_here(void)
{
    CALL(sp_raise(SP_VALUE_ERROR, "%f", 1.5e300));
}

static void hook_ends(const char *text, void *context)
{
    (void)context;
    (void)!write(STDERR_FILENO, text, strlen(text));
    _exit(7);
}

static void panics_with_a_hook(void)
{
    sp_set_panic_hook(hook_ends, NULL);
    panics();
}

/* A task waits for ever for what only a queued task would do. */
static sp_event never;
static int wait_for_ever(int x)
{
    sp_event_wait(&never, SP_FOREVER);
    return x;
}
SP_FUNCTION(wait_for_ever, int, int);

static void starves(void)
{
    sp_set_starvation_hook(hook_ends, NULL);
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .stack_size = SMALLEST, .thread_name_prefix = "starving");
    sp_future_release(sp_submit(pool, wait_for_ever, 1));
    for (;;) {
        sp_future_release(sp_submit(pool, same, 1));
        sp_sleep(0.1);
    }
}

/* ---- running them ---- */

struct room {
    const char *name;
    void (*calls)(void);
    const char *says; /* NULL: it ends well, and says nothing that matters */
    bool aborts;
};

static const struct room rooms[] = {
    { "locks", locks, NULL, false },
    { "threads", threads, NULL, false },
    { "queues", queues, NULL, false },
    { "futures", futures, NULL, false },
    { "pools", pools, NULL, false },
    { "own_pool", own_pool, NULL, false },
    { "statuses", statuses, NULL, false },
    { "fails_here", fails_here, NULL, false },
    { "unseen_errors", unseen_errors, "error never looked at: task fails", false },
    { "panics", panics, "spool: ", true },
    { "panics_with_a_hook", panics_with_a_hook, "lock", false },
    { "deadlocks", deadlocks, "spool: deadlock: ", true },
    { "deadlocks_with_another", deadlocks_with_another, "a cycle of 2", true },
    { "starves", starves, "makes no progress", false },
};
enum { ROOMS = sizeof rooms / sizeof rooms[0] };

/* Fill what is left of the stack, but for the caller's frame. */
static unsigned char *__attribute__((noinline)) paint(void)
{
    size_t size;
    unsigned char *bottom = (unsigned char *)sp__os_stack_bottom(&size), *here = __builtin_frame_address(0);
    for (unsigned char *at = bottom; SPARE > 0 && at < here - 256; at++)
        *(volatile unsigned char *)at = PAINT;
    return bottom;
}

static sp_status run_room(const int *index, int *ret_left)
{
    const struct room *room = &rooms[*index];
    unsigned char *bottom = paint();
    program_local[*index] = 1;
    room->calls();
    *ret_left = SPARE;
    if (SPARE > 0)
        for (*ret_left = 0; bottom[*ret_left] == PAINT;)
            ++*ret_left;
    return SP_OK;
}
SP_TASK(run_room, int, int);

static int in_thread(int index)
{
    int left = 0;
    sp_thread *thread = sp_start_with(SP_THREAD(.stack_size = SMALLEST), run_room, index);
    assert_non_null(thread);
    assert_int_equal(sp_join(thread, &left, SP_FOREVER), SP_OK);
    sp_thread_release(thread);
    return left;
}

static int in_worker(int index)
{
    int left = 0;
    own = sp_thread_pool(.max_workers = 2, .stack_size = SMALLEST);
    sp_future *future = sp_submit(own, run_room, index);
    (void)sp_future_wait(future, SP_FOREVER);
    assert_int_equal(sp_result(future, &left, SP_FOREVER), SP_OK);
    sp_future_release(future);
    assert_int_equal(sp_shutdown(own), SP_OK);
    sp_executor_release(own);
    return left;
}

static int child(const char *where, const char *index_text)
{
    int index = atoi(index_text);
    int left = strcmp(where, "thread") == 0 ? in_thread(index) : in_worker(index);
    printf("%s in a %s: %d bytes are left\n", rooms[index].name, where, left);
    fflush(stdout);
    return left >= SPARE ? 0 : 6;
}

static const char *program;

static void all_rooms(const char *where)
{
    for (int i = 0; i < ROOMS; i++) {
        char index_text[24];
        snprintf(index_text, sizeof index_text, "%d", i);
        struct child_end end = child_run(program, where, index_text);
        const struct room *room = &rooms[i];
        if (room->aborts)
            child_aborted(&end, room->says);
        else if (room->calls == panics_with_a_hook || room->calls == starves)
            assert_true(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 7 && strstr(end.said, room->says) != NULL);
        else if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
            fail_msg("%s in a %s: hung %d, status %x, said '%s'", room->name, where, end.hung, (unsigned)end.status,
                     end.said);
        if (room->says != NULL)
            assert_non_null(strstr(end.said, room->says));
    }
}

static void every_call_fits_into_the_smallest_thread(void **state)
{
    (void)state;
    all_rooms("thread");
}

static void every_call_fits_into_the_smallest_worker(void **state)
{
    (void)state;
    all_rooms("worker");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3)
        return child(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fits_into_the_smallest_thread),
        cmocka_unit_test(every_call_fits_into_the_smallest_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
