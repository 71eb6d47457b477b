/* Every name of the API, as a user would write it.  Compiled, never run: tests/contract/run.sh.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

struct args {
    const char *url;
    double seconds;
};
struct plain {
    int a;
    long b;
};

static sp_status fn(const struct args *in, size_t *out) { *out = in->url ? 1 : 0; return SP_OK; }
SP_TASK(fn, struct args, size_t);
static sp_status none(const sp_none *in, sp_none *out) { (void)in; (void)out; return SP_OK; }
SP_TASK(none, sp_none, sp_none);
static int square(int x) { return x * x; }
SP_FUNCTION(square, int, int);
static sp_status self(const int *in, int *out);
SP_TASK(self, int, int);
static sp_status self(const int *in, int *out) { *out = *in; return sp_raise(SP_USER_ERROR, "plain text"); }
static sp_status never(const int *in, int *out) { *out = *in; return sp_raise_errno("open %s", "x"); }
SP_TASK(never, int, int); /* never submitted: must stay silent */
static void free_url(void *arg) { ((struct args *)arg)->url = NULL; }
static sp_status owner(const struct args *in, size_t *out) { *out = in->url ? 1 : 0; return SP_OK; }
SP_TASK_OWNING(owner, struct args, size_t, free_url, NULL);
static sp_status bytes(const sp_bytes *in, sp_bytes *out) { *out = *in; return SP_OK; }
SP_TASK(bytes, sp_bytes, sp_bytes);
SP_TASK_EXTERN(elsewhere, struct args, const char *);

static int cmp(const void *a, const void *b) { (void)a; (void)b; return 0; }
static void act(void *c) { (void)c; }
static bool pred(void *c) { return c != NULL; }
static bool next_input(void *c, void *ret) { (void)c; *(int *)ret = 1; return false; }
static sp_status init(void *c) { (void)c; return SP_OK; }
static void said(const char *text, void *c) { (void)text; (void)c; }
static void unseen(const sp_error *e, void *c) { (void)e; (void)c; }
static void hook(sp_thread *t, const sp_error *e, void *c) { (void)t; (void)e; (void)c; }
static void called(sp_future *f, void *c) { (void)f; (void)c; }

static sp_lock lock;
static sp_rlock rlock;
static sp_event event;
static sp_condition cond;
static sp_once once;
static sp_semaphore s3 = SP_SEMAPHORE(3), b3 = SP_BOUNDED_SEMAPHORE(3);
static bool action(void *c) { return c != NULL; }
static sp_barrier r4 = SP_BARRIER(4), a4 = SP_BARRIER_ACTION(4, action, &lock);
static sp_barrier two[2] = { SP_BARRIER(1), SP_BARRIER_ACTION(2, action, NULL) };
static struct {
    int x;
    sp_semaphore s;
    sp_barrier b;
} member = { .s = SP_SEMAPHORE(1), .b = SP_BARRIER(2) };
static sp_local user = SP_LOCAL(struct plain, NULL, act), user2 = SP_LOCAL(int, act, NULL);
static _Thread_local sp_barrier tls = SP_BARRIER(2);

static int values(int n)
{
    sp_semaphore s = SP_SEMAPHORE(n), b = SP_BOUNDED_SEMAPHORE(n + 1);
    s = (sp_semaphore)SP_SEMAPHORE(0);
    sp_sleep(0.1);
    (void)sp_monotonic();
    (void)sp_cpu_count();
    (void)SP_FOREVER;
    puts(sp_version());
    puts(SPOOL_VERSION);
    sp_set_panic_hook(said, NULL);
    sp_set_unseen_error_hook(unseen, NULL);
    sp_set_deadlock_hook(said, NULL);
    puts(sp_status_name(SP_OK));
    puts(sp_status_text(SP_TIMEOUT));
    sp_lock_acquire(&lock);
    (void)sp_lock_acquire_timeout(&lock, 1.0);
    sp_lock_release(&lock);
    (void)sp_lock_locked(&lock);
    sp_rlock_acquire(&rlock);
    (void)sp_rlock_acquire_timeout(&rlock, 1.0);
    sp_rlock_release(&rlock);
    (void)sp_rlock_locked(&rlock);
    (void)sp_rlock_is_owned(&rlock);
    sp_semaphore_acquire(&s3);
    (void)sp_semaphore_acquire_timeout(&b3, 1);
    if (sp_semaphore_release(&b, 2) || sp_semaphore_release(&s, 1) || sp_semaphore_release(&member.s, 1))
        return 1;
    sp_event_set(&event);
    sp_event_clear(&event);
    (void)sp_event_is_set(&event);
    sp_event_wait(&event, 1);
    sp_condition_wait(&cond, &lock, 1);
    sp_condition_wait_rlock(&cond, &rlock, 1);
    sp_condition_wait_for(&cond, &lock, pred, &n, SP_FOREVER);
    sp_condition_notify(&cond, 2);
    sp_condition_notify_all(&cond);
    sp_barrier r = SP_BARRIER(n), a = SP_BARRIER_ACTION(n, action, &s);
    unsigned index;
    r = (sp_barrier)SP_BARRIER(2);
    if (sp_barrier_wait(&r4, &index, 1) || sp_barrier_wait(&a4, NULL, 1) || sp_barrier_wait(&a, NULL, 1))
        return 1;
    sp_barrier_reset(&r);
    sp_barrier_abort(&two[0]);
    (void)sp_barrier_n_waiting(&member.b);
    (void)sp_barrier_broken(&tls);
    sp_once_call(&once, act, NULL);
    return 0;
}

static int threads(void)
{
    size_t v;
    sp_thread *t = sp_start(fn, .url = "u", .seconds = 0.5), *t1 = sp_start(none, SP_NONE), *t2 = sp_start(none);
    sp_thread *d = sp_start_with(SP_THREAD(.daemon = true, .name = "poll", .stack_size = 65536), fn, .url = "u", .seconds = 1);
    sp_thread *e = sp_start_with(SP_THREAD(), none), *g = sp_start_with(NULL, square, 3);
    sp_thread_options o = { .struct_size = sizeof o, .name = "kept" };
    sp_thread *h = sp_start_with(&o, none, SP_NONE);
    if (sp_join(t, &v, 1.0) || sp_join(t1, NULL, 1.0) || sp_thread_wait(t2, 1.0))
        return 1;
    (void)sp_thread_is_alive(d);
    puts(sp_thread_name(e));
    if (sp_thread_set_name(g, "x"))
        return 1;
    (void)sp_thread_ident(h);
    (void)sp_thread_native_id(h);
    (void)sp_thread_is_daemon(h);
    (void)sp_thread_error(h);
    sp_thread_release(sp_thread_retain(h));
    (void)sp_thread_current();
    (void)sp_thread_main();
    (void)sp_thread_active_count();
    sp_thread *all[8];
    (void)sp_thread_enumerate(all, 8);
    sp_set_excepthook(hook, NULL);
    sp_set_excepthook(NULL, NULL);
    (void)sp_join_all(1);
    return 0;
}

static int timers(int n)
{
    sp_timer *m = sp_timer_start(0.5, fn, .url = "u", .seconds = 2), *m1 = sp_timer_start(n * 0.5, square, 3);
    sp_timer *m2 = sp_timer_start(1, none);
    sp_timer_cancel(m);
    if (sp_timer_join(m1, 1))
        return 1;
    sp_timer_release(m2);
    sp_auto(sp_timer) ati = sp_timer_start(1, none);
    (void)ati;
    struct plain *p = sp_local_get(&user);
    int *p2 = sp_local_get(&user2);
    (void)p;
    (void)p2;
    return 0;
}

static int queues(void)
{
    int y = 0;
    sp_queue *q = sp_queue_of(int, .maxsize = 100, .order = SP_PRIORITY, .compare = cmp, .drop = act);
    sp_queue *q1 = sp_queue_of(struct plain), *q2 = sp_queue_of(const char *);
    if (sp_put(q, &y, 1) || sp_get(q, &y, SP_NOWAIT) || sp_put(q, &(int){ 5 }, 1) || sp_put(q1, (&(struct plain){ 1, 2 }), 1))
        return 1;
    int items[4] = { 0 };
    size_t done;
    if (sp_queue_put_many(q, items, 4, &done, 1) || sp_queue_get_many(q, items, 4, &done, 1) ||
        sp_queue_put_many(q, &items[1], 2, NULL, 1))
        return 1;
    if (sp_queue_task_done(q))
        return 1;
    sp_queue_join(q, 1);
    sp_queue_shutdown(q, false);
    (void)(sp_queue_size(q) + sp_queue_maxsize(q));
    (void)(sp_queue_empty(q) && sp_queue_full(q));
    sp_queue_release(q2);
    sp_queue_release(sp_queue_retain(q));
    return 0;
}

static int futures(int n)
{
    int y = 0, items[4] = { 0 }, outs[4];
    size_t v;
    const int cin[4] = { 1 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 8, .thread_name_prefix = "p", .initializer = init,
        .initializer_arg = &y, .finalizer = act, .idle_seconds = 1, .max_pending = 9, .stack_size = 65536, .gil = NULL);
    sp_auto(sp_executor) plain = sp_thread_pool();
    sp_future *f[] = { sp_submit(pool, fn, .url = "a", .seconds = 0.5), sp_submit(plain, none, SP_NONE), sp_submit(plain, none),
        sp_submit(pool, square, n ? 1 : 2), sp_submit(pool, bytes, .data = &y, .size = sizeof y),
        sp_submit(sp_thread_pool(.max_workers = 2, .max_pending = 3), self, 3), sp_submit_from(pool, square, cin) };
    if (sp_post(pool, fn, .url = "a", .seconds = 1) || sp_post(pool, none) || sp_post(pool, none, SP_NONE) || sp_post(pool, square, 2))
        return 1;
    sp_release_all((sp_future *[]){ sp_submit(pool, owner, .url = "o"), sp_submit(pool, elsewhere, "e", 1) }, 2);
    (void)sp_future_wait(f[0], 1);
    sp_auto(sp_thread) at = sp_start(none);
    sp_auto(sp_queue) aq = sp_queue_of(int);
    sp_auto(sp_future) af = sp_submit(pool, none);
    (void)at;
    (void)aq;
    (void)af;
    struct args whole = { "u", 1 };
    sp_future *w = sp_executor_submit(pool, &fn_sp_task, &whole);
    if (sp_result(f[0], &v, 1) || sp_result(f[1], NULL, 1) || sp_result(f[3], items, 1) || sp_result_of(square, f[3], &y, 1) ||
        sp_result_of(none, f[1], NULL, 1))
        return 1;
    const sp_error *err = sp_future_error(w);
    const struct args *arg = sp_future_arg(w);
    (void)err;
    (void)arg;
    (void)sp_future_cancel(w);
    (void)(sp_future_cancelled(w) || sp_future_running(w) || sp_future_done(w));
    puts(sp_future_task_name(w));
    sp_future_release(sp_future_retain(w));
    (void)sp_cancel_requested();
    sp_future_add_done_callback(w, called, NULL);
    if (sp_wait(f, 7, SP_FIRST_ERROR, 1) || sp_wait(&w, 1, SP_ALL_COMPLETED, 1) || sp_wait(f, 7, SP_FIRST_COMPLETED, 1))
        return 1;
    sp_auto(sp_completion) c = sp_as_completed(f, 7, 30.0);
    for (sp_future *x; (x = sp_next(c)) != NULL;)
        (void)x;
    if (sp_completion_status(c))
        return 1;
    sp_release_all(f, 7);
    sp_future *own = sp_future_new(&square_sp_task, &(int){ 2 });
    sp_future_set_running(own);
    if (sp_future_set_result(own, &y, sizeof y) || sp_future_set_error(own, &(sp_error){ .status = SP_OS_ERROR, .message = "no" }))
        return 1;
    sp_future *failed;
    if (sp_map(pool, square, items, outs, 4) || sp_map(pool, square, cin, outs, 4, .chunksize = 4) ||
        sp_map(pool, square, cin, outs, (size_t)n, .chunksize = 8, .ret_failed = &failed))
        return 1;
    sp_auto(sp_executor) inl = sp_inline_pool(.seed = 7);
    sp_auto(sp_executor) inl0 = sp_inline_pool();
    sp_auto(sp_mapping) lazy = sp_map_lazy(pool, square, next_input, &y, .buffersize = 4);
    sp_auto(sp_mapping) lazy0 = sp_map_lazy(inl, square, next_input, NULL);
    while (sp_map_next(lazy, &y, 1.0) != SP_STOP) {}
    if (sp_map_next(lazy0, &y, 1.0) || sp_map_next(lazy0, NULL, SP_NOWAIT))
        return 1;
    const sp_error *why = sp_mapping_error(lazy);
    (void)why;
    sp_mapping_release(NULL);
    (void)inl0;
    if (sp_shutdown(pool) || sp_shutdown(pool, .no_wait = true) || sp_shutdown(pool, .no_wait = true, .cancel_futures = true))
        return 1;
    sp_executor_release(sp_executor_retain(pool));
    sp_executor_statistics xs;
    sp_executor_stats(pool, &xs);
    (void)sp_executor_wait_idle(pool, 1);
    return 0;
}

int every(int n);
int every(int n)
{
    int y = 0;
    {
        SP_HOLD(&lock);
        SP_HOLD(&rlock);
        SP_HOLD(&s3);
        y++;
    }
    SP_WITH(&lock) { SP_WITH(&rlock) { SP_WITH(&s3) { y++; if (y) break; } } }
    if (y) SP_WITH(&lock) { y++; }
    if (y) { SP_WITH(&lock) y++; } else SP_WITH(&lock) y--;
    return y + values(n) + threads() + timers(n) + queues() + futures(n);
}
