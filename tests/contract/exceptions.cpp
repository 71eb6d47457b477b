/* C++ exceptions that leave a callback: each kind of callback has the end that docs/contracts.md says.

   SPDX-License-Identifier: MIT */
#include <spool.h>

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

static int failures;

#define CHECK(holds) check(holds, #holds, __LINE__)

static void check(bool holds, const char *what, int line)
{
    if (!holds) {
        std::fprintf(stderr, "%d: FAILED: %s\n", line, what);
        failures++;
    }
}

static void ignore(sp_status)
{
}

static bool throws(const std::function<void()> &call)
{
    try {
        call();
    } catch (const std::runtime_error &) {
        return true;
    }
    return false;
}

static sp_status run_throw(const void *, void *)
{
    throw std::runtime_error("boo");
}

static sp_status run_throw_int(const void *, void *)
{
    throw 42;
}

static sp_status run_fine(const void *, void *)
{
    return SP_OK;
}

static void drop_throw(void *)
{
    throw std::runtime_error("boo");
}

static sp_task make(sp_status (*run)(const void *, void *))
{
    sp_task task = {};
    task.struct_size = sizeof task;
    task.name = "task";
    task.file = __FILE__;
    task.arg_size = task.result_size = 1;
    task.run = run;
    return task;
}

static sp_task thrower = make(run_throw), int_thrower = make(run_throw_int), fine = make(run_fine);
static char a;

/* A child process that must end by abort, having said the words. */
static void aborts(const char *words, const std::function<void()> &call)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        call();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[512];
    for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;)
        said.append(part, static_cast<size_t>(got));
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    bool as_said = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && said.find(words) != std::string::npos;
    check(as_said, words, __LINE__);
    if (!as_said)
        std::fprintf(stderr, "status %x, said: %s\n", static_cast<unsigned>(status), said.c_str());
}

static void failed_as(sp_future *future, sp_status status, const char *words)
{
    CHECK(sp_future_result(future, nullptr, 1, SP_FOREVER) == status);
    const sp_error *error = sp_future_error(future);
    CHECK(error != nullptr && std::strstr(error->message, words) != nullptr);
    sp_future_release(future);
}

static void pool_goes_on(sp_executor *pool)
{
    failed_as(sp_executor_submit(pool, &thrower, &a), SP_RUNTIME_ERROR, "std::runtime_error: boo");
    failed_as(sp_executor_submit(pool, &int_thrower, &a), SP_RUNTIME_ERROR, "int");
    sp_future *after = sp_executor_submit(pool, &fine, &a);
    CHECK(sp_future_result(after, nullptr, 1, SP_FOREVER) == SP_OK);
    sp_future_release(after);
    CHECK(sp_executor_shutdown(pool, nullptr) == SP_OK);
    sp_executor_release(pool);
}

static sp_status waits_for_thrower(const void *arg, void *)
{
    failed_as(sp_executor_submit(*static_cast<sp_executor *const *>(arg), &thrower, &a), SP_RUNTIME_ERROR, "boo");
    return SP_OK;
}

static void tasks()
{
    pool_goes_on(sp_inline_pool_new(nullptr));
    pool_goes_on(sp_thread_pool_new(nullptr));

    sp_thread_pool_options one = {};
    one.struct_size = sizeof one;
    one.max_workers = 1;
    sp_executor *pool = sp_thread_pool_new(&one); /* its worker runs the thrower on its own stack, or another one does */
    sp_task waiter = make(waits_for_thrower);
    waiter.arg_size = sizeof pool;
    sp_future *future = sp_executor_submit(pool, &waiter, &pool);
    CHECK(sp_future_result(future, nullptr, 1, SP_FOREVER) == SP_OK);
    sp_future_release(future);
    pool_goes_on(pool);

    sp_thread *thread = sp_thread_start(nullptr, &thrower, &a);
    CHECK(sp_thread_join(thread, nullptr, 1, SP_FOREVER) == SP_RUNTIME_ERROR);
    sp_thread_release(thread);

    one.initializer = [](void *) -> sp_status { throw std::runtime_error("not today"); };
    pool = sp_thread_pool_new(&one);
    failed_as(sp_executor_submit(pool, &fine, &a), SP_BROKEN_POOL, "not today");
    sp_executor_release(pool);
}

/* ---- what an exception leaves behind ---- */

static sp_status run_throw_stored(const void *, void *)
{
    std::rethrow_exception(std::make_exception_ptr(std::runtime_error("kept elsewhere")));
}

static int cleaned;

static void clean_up(_Unwind_Reason_Code, struct _Unwind_Exception *)
{
    cleaned++;
}

/* As other languages do. */
static sp_status run_raise_foreign(const void *, void *)
{
    static struct _Unwind_Exception exception;
    exception.exception_class = 0x464f524549474e00;
    exception.exception_cleanup = clean_up;
    return _Unwind_RaiseException(&exception) == _URC_END_OF_STACK ? SP_OK : SP_STOP;
}

static sp_task stored_thrower = make(run_throw_stored), foreign_thrower = make(run_raise_foreign);

static void unusual_ones(sp_executor *pool)
{
    failed_as(sp_executor_submit(pool, &stored_thrower, &a), SP_RUNTIME_ERROR, "std::runtime_error");
    failed_as(sp_executor_submit(pool, &foreign_thrower, &a), SP_RUNTIME_ERROR, "an exception of another language");
    CHECK(cleaned == 1);
    sp_future *future = sp_executor_submit(pool, &thrower, &a);
    const sp_error *error = sp_future_error(future);
    CHECK(error != nullptr && std::strcmp(error->file, __FILE__) == 0);
    sp_future_release(future);
}

static size_t bytes_in_use()
{
#if defined __GLIBC__ && __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void init_large(void *)
{
    throw std::runtime_error("boo");
}

struct large {
    char bytes[1024];
};

static void throw_often(sp_executor *pool)
{
    enum { OFTEN = 1000 };
    static sp_local local = SP_LOCAL(struct large, init_large, nullptr);
    for (int i = 0; i < OFTEN; i++) {
        sp_future_release(sp_executor_submit(pool, &thrower, &a));
        CHECK(throws([] { (void)sp_local_get(&local); }));
    }
}

static void leftovers()
{
    enum { LITTLE = 16384 }; /* bytes, fewer than an allocation for each would take */
    sp_set_unseen_error_hook([](const sp_error *, void *) {}, nullptr);
    sp_executor *pool = sp_inline_pool_new(nullptr);
    unusual_ones(pool);
    throw_often(pool);
    size_t before = bytes_in_use();
    throw_often(pool);
    CHECK(bytes_in_use() < before + LITTLE);
    sp_executor_release(pool);
    sp_set_unseen_error_hook(nullptr, nullptr);
}

static void *thread_throws(void *context)
{
    CHECK(throws([context] { sp_once_call(static_cast<sp_once *>(context), drop_throw, nullptr); }));
    return nullptr;
}

static void once()
{
    static sp_once word;
    static int calls;
    CHECK(throws([] { sp_once_call(&word, drop_throw, nullptr); }));
    pthread_t thread; /* waiters of one that throws take their turns */
    CHECK(pthread_create(&thread, nullptr, thread_throws, &word) == 0);
    CHECK(throws([] { sp_once_call(&word, drop_throw, nullptr); }));
    pthread_join(thread, nullptr);
    for (int i = 0; i < 2; i++)
        sp_once_call(&word, [](void *) { calls++; }, nullptr);
    CHECK(calls == 1);
}

static void condition()
{
    static sp_lock lock;
    static sp_condition condition;
    sp_lock_acquire(&lock);
    CHECK(throws([] {
        (void)sp_condition_wait_for(&condition, &lock, [](void *) -> bool { throw std::runtime_error("boo"); }, nullptr,
                                    1);
    }));
    sp_lock_release(&lock); /* it is held */
}

static void barrier()
{
    static sp_barrier barrier = SP_BARRIER_ACTION(1, [](void *) -> bool { throw std::runtime_error("boo"); }, nullptr);
    CHECK(throws([] { ignore(sp_barrier_wait(&barrier, nullptr, SP_FOREVER)); }));
    CHECK(sp_barrier_wait(&barrier, nullptr, SP_FOREVER) == SP_BROKEN_BARRIER);
}

static bool again;

static void init_local(void *value)
{
    if (!again)
        throw std::runtime_error("boo");
    *static_cast<int *>(value) = 7;
}

static void local()
{
    static sp_local local = SP_LOCAL(int, init_local, nullptr);
    CHECK(throws([] { (void)sp_local_get(&local); }));
    again = true;
    CHECK(*static_cast<int *>(sp_local_get(&local)) == 7);
}

static void mapping()
{
    sp_executor *pool = sp_inline_pool_new(nullptr);
    sp_mapping *map = sp_executor_map_lazy(pool, &fine, [](void *, void *) -> bool { throw std::runtime_error("boo"); },
                                           nullptr, nullptr);
    CHECK(throws([map] { ignore(sp_mapping_next(map, nullptr, 1, SP_FOREVER)); }));
    CHECK(sp_mapping_next(map, nullptr, 1, SP_FOREVER) == SP_STOP);
    sp_mapping_release(map);
    sp_executor_release(pool);
}

static sp_mapping *released;

static bool release_and_throw(void *, void *)
{
    sp_mapping_release(released);
    throw std::runtime_error("boo");
}

/* The mapping has the last handle of a pool that runs what is queued when that goes. */
static void released_mapping()
{
    sp_inline_pool_options options = {};
    options.struct_size = sizeof options;
    options.seed = 1;
    sp_executor *pool = sp_inline_pool_new(&options);
    sp_future *queued = sp_executor_submit(pool, &fine, &a);
    released = sp_executor_map_lazy(pool, &fine, release_and_throw, nullptr, nullptr);
    sp_executor_release(pool);
    CHECK(!sp_future_done(queued));
    CHECK(throws([] { ignore(sp_mapping_next(released, nullptr, 1, SP_FOREVER)); }));
    CHECK(sp_future_done(queued));
    sp_future_release(queued);
}

static void misuse()
{
    aborts("a drop function must not throw: C++ exception std::runtime_error: boo", [] {
        sp_task task = fine;
        task.drop_arg = drop_throw;
        sp_executor *pool = sp_inline_pool_new(nullptr);
        sp_future_release(sp_executor_submit(pool, &task, &a));
    });
    aborts("a done callback must not throw", [] {
        sp_executor *pool = sp_inline_pool_new(nullptr);
        sp_future *future = sp_executor_submit(pool, &fine, &a);
        (void)sp_future_add_done_callback(future, [](sp_future *, void *) { throw 1; }, nullptr);
    });
    aborts("the order of a queue must not throw", [] {
        sp_queue_options options = {};
        options.struct_size = sizeof options;
        options.order = SP_PRIORITY;
        options.compare = [](const void *, const void *) -> int { throw 1; };
        sp_queue *queue = sp_queue_new(1, &options);
        ignore(sp_queue_put(queue, &a, 1, SP_NOWAIT));
        ignore(sp_queue_put(queue, &a, 1, SP_NOWAIT));
    });
    aborts("a drop function must not throw", [] {
        sp_queue_options options = {};
        options.struct_size = sizeof options;
        options.drop = drop_throw;
        sp_queue *queue = sp_queue_new(1, &options);
        ignore(sp_queue_put(queue, &a, 1, SP_NOWAIT));
        sp_queue_release(queue);
    });
    aborts("a finalizer of a pool must not throw", [] {
        sp_thread_pool_options options = {};
        options.struct_size = sizeof options;
        options.finalizer = drop_throw;
        sp_executor *pool = sp_thread_pool_new(&options);
        sp_future_release(sp_executor_submit(pool, &fine, &a));
        ignore(sp_executor_shutdown(pool, nullptr));
    });
    aborts("the excepthook must not throw", [] {
        sp_set_excepthook([](sp_thread *, const sp_error *, void *) { throw 1; }, nullptr);
        sp_thread_release(sp_thread_start(nullptr, &thrower, &a));
        (void)sp_join_all(SP_FOREVER);
    });
    aborts("a hook for sentences threw a C++ exception int", [] {
        sp_set_panic_hook([](const char *, void *) { throw 1; }, nullptr);
        static sp_lock lock;
        sp_lock_release(&lock);
    });
}

int main()
{
    misuse(); /* first: it forks */
    tasks();
    leftovers();
    once();
    condition();
    barrier();
    local();
    mapping();
    released_mapping();
    return failures != 0;
}
