/* The workers of a pool: executor/crew_protocol.h and executor/deque_protocol.h as they are, over the checker's atomics.  See
   README.md.

   SPDX-License-Identifier: MIT */
#include "model.h"

enum crew_weakness {
    NONE,
    CREW_LOOK,        /* the order of sp__crew_look */
    FOUND_ORDER,      /* of the change of the word, before one looks at the queues */
    LIE_DOWN_ORDER,   /* as above */
    STEP_ASIDE_ORDER, /* as above */
    PARKED_ORDER,     /* of the count of those who sleep and keep their permit, before one looks whether all do */
    PARKED_LOOK,      /* the order of that look */
    INBOX_PUT,        /* the order of the change of a queue, before one looks at the word */
    DEQUE_PUT,        /* as above */
    LIST_PUT,         /* as above, of the list of deques */
    INBOX_LOOK,       /* the order of the look at a queue after the change of the word */
    DEQUE_LOOK,       /* as above */
    LIST_LOOK,        /* as above */
    CALL_NEXT,        /* a step: by who has found a task */
    LAST_LOOK,        /* at the queues, under the lock, before one sleeps */
    CALL_SUBSTITUTE,  /* by who steps aside */
    RELY_ON_SLOW,     /* not: on an initializer that was begun before the task came */
    LOOK_LATER,       /* by who is the last to sleep and keep its permit */
    LOOK_AT_SUBMIT,   /* whether all who hold a permit sleep */
    GIVE_UP,          /* also when all who are alive wait in their tasks */
    LOOK_AGAIN        /* under the lock, before one calls */
};

enum { MOST_WORKERS = 3, MOST_THREADS = 4, MOST_TASKS = 8, SLOTS = 2 };

/* ---- what deque_protocol.h and crew_protocol.h want ---- */

/* What may happen in a suite. */
enum {
    LIMITS = 1,  /* a sleeper ends after a while */
    SUBMITS = 2, /* tasks submit a child */
    BLOCKS = 4,  /* the first task waits for another and keeps its permit */
    LENDS = 8,   /* the first task waits for another, and steps aside */
    FAILS = 16,  /* a worker cannot be started */
    CLOSES = 32, /* the pool is shut down */
    BOTH = 64,   /* the second task waits for the same child as the first */
    SLOW = 128,  /* the second worker's initializer ends when all else has; the last task but one waits for the last */
    KEEPS = 256 /* the first task waits for the last and keeps its permit; the others wait for the first, as they may */
};

enum deed { RUNS, BLOCKS_FOR, STEPS_ASIDE_FOR };

struct task {
    rl::var<unsigned> content; /* 1, put in by who submits it; 0, by who runs it */
    rl::semaphore<struct done_tag> done;
    enum deed deed;
    struct task *awaited; /* by this one, as `deed` says */
    struct task *child;   /* NULL: it has none */
    bool taken, claimed, ended;
    unsigned waiters; /* so many tasks wait for it at most */
};

typedef struct task sp__deque_item;
typedef model_word sp__crew_word;

struct sp__deque {
    model_word top, bottom;
    rl::atomic<struct task *> slots[SLOTS];
    bool owned; /* guarded by the pool's lock */
};

struct worker {
    rl::semaphore<struct start_tag> start;
    rl::semaphore<struct wake_tag> wake;
    bool used;               /* guarded by the pool's lock: started, and not decided to end */
    bool dismissed;          /* as above */
    bool awake, searching;   /* its own: counted so */
    bool called;             /* its own: it searches because somebody called it */
    bool keeps;              /* guarded by the pool's lock: it keeps its permit in a wait */
    struct sp__deque *deque; /* its own: NULL until its first task submits something */
};

struct pool {
    sp__crew_word crew;
    model_word parked;
    model_word deques; /* so many of all_deques are there */
    struct sp__deque all_deques[MOST_WORKERS];
    struct {
        rl::mutex lock;
        model_word put, taken;          /* change under lock */
        struct task *tasks[MOST_TASKS]; /* guarded by lock */
        bool closed;                    /* as above */
    } inbox;
    rl::mutex lock;
    struct worker workers[MOST_WORKERS];
    struct worker *sleepers[MOST_WORKERS]; /* guarded by lock: the last one last */
    unsigned asleep;                       /* as above: so many are in there */
    unsigned alive;                        /* as above: so many are started, and not decided to end */
    unsigned starting;                     /* as above: so many of them have not begun to search */
    unsigned submitted_at_start;           /* as above: tasks, when one was started last */
    unsigned lent;                         /* as above: permits */
    bool is_due;                           /* as above: nothing has moved for long enough */
    bool closed;                           /* as above; read without it as a hint */
    bool over;                             /* as above: nothing will be started any more */
    rl::semaphore<struct slow_tag> slow_ends;
};

/* The schedule's. */
static struct pool *pool;
static unsigned max_workers;
static int most_alive;             /* workers */
static unsigned longest_pause;     /* between submits, in moments */
static int may;                    /* LIMITS and so on */
static bool looking[MOST_THREADS]; /* in has_tasks */

static struct {
    unsigned planned, submitted, ended; /* tasks */
    unsigned begun;                     /* workers */
    unsigned called;                    /* workers that were called and have not stopped searching yet */
    unsigned back;                      /* how often one came back for its permit */
} so_far;

static uint64_t load_seq_cst(const model_word *word, rl::debug_info_param where)
{
    int which = NONE;
    if (word == &pool->crew)
        which = CREW_LOOK;
    else if (word == &pool->parked)
        which = PARKED_LOOK;
    else if (looking[rl::thread_index()])
        which = word == &pool->inbox.put     ? INBOX_LOOK
                : word == &pool->deques      ? LIST_LOOK
                : word != &pool->inbox.taken ? DEQUE_LOOK
                                             : NONE;
    if (which == NONE)
        return word->load(rl::mo_seq_cst, where);
    return word->load(model_order(which, rl::mo_seq_cst, rl::mo_acquire), where);
}

static uint64_t sub_seq_cst(model_word *word, uint64_t value, rl::debug_info_param where);

#define sp__load_relaxed(p) (p)->load(rl::mo_relaxed, RL_INFO)
#define sp__load_acquire(p) (p)->load(rl::mo_acquire, RL_INFO)
#define sp__load_seq_cst(p) load_seq_cst((p), RL_INFO)
#define sp__store_relaxed(p, value) (p)->store((value), rl::mo_relaxed, RL_INFO)
#define sp__store_seq_cst(p, value) (p)->store((value), model_order(DEQUE_PUT, rl::mo_seq_cst, rl::mo_release), RL_INFO)
#define sp__cas_seq_cst(p, expected, value) model_cas((p), (expected), (value), rl::mo_seq_cst, rl::mo_acquire, RL_INFO)
#define sp__add_relaxed(p, value) (void)(p)->fetch_add((value), rl::mo_relaxed, RL_INFO)
#define sp__sub_relaxed(p, value) (void)(p)->fetch_sub((value), rl::mo_relaxed, RL_INFO)
#define sp__add_seq_cst(p, value)                                                                                      \
    (p)->fetch_add((value), model_order(LIE_DOWN_ORDER, rl::mo_seq_cst, rl::mo_acq_rel), RL_INFO)
#define add_parked() (void)pool->parked.fetch_add(1, model_order(PARKED_ORDER, rl::mo_seq_cst, rl::mo_acq_rel), RL_INFO)
#define sp__sub_seq_cst(p, value) sub_seq_cst((p), (value), RL_INFO)

#define SP__DEQUE_SLOTS SLOTS
#include "executor/crew_protocol.h"
#include "executor/deque_protocol.h"

static uint64_t sub_seq_cst(model_word *word, uint64_t value, rl::debug_info_param where)
{
    int which = value == SP__SEARCHING ? FOUND_ORDER : STEP_ASIDE_ORDER;
    return word->fetch_sub(value, model_order(which, rl::mo_seq_cst, rl::mo_acq_rel), where);
}

static struct {
    unsigned long sleepers_called, started, not_started, called_next, called_substitute, stayed_up, timed_out,
        called_late, surplus, lent, taken_back, stolen, adopted, full, gave_up, refused, no_permit, slow, beside_slow,
        kept, relieved, relieved_by_submit;
} happened;

/* ---- inbox.c ---- */

static uint64_t inbox_size(void)
{
    uint64_t taken = sp__load_seq_cst(&pool->inbox.taken);
    return sp__load_seq_cst(&pool->inbox.put) - taken;
}

static bool inbox_put(struct task *task)
{
    pool->inbox.lock.lock(RL_INFO);
    bool open = !pool->inbox.closed;
    if (open) {
        pool->inbox.tasks[pool->inbox.put.debug_value()] = task;
        (void)pool->inbox.put.fetch_add(1, model_order(INBOX_PUT, rl::mo_seq_cst, rl::mo_acq_rel), RL_INFO);
    }
    pool->inbox.lock.unlock(RL_INFO);
    return open;
}

static struct task *inbox_take(void)
{
    struct task *task = NULL;
    if (inbox_size() == 0)
        return NULL;
    pool->inbox.lock.lock(RL_INFO);
    uint64_t taken = pool->inbox.taken.debug_value();
    if (taken < pool->inbox.put.debug_value()) {
        task = pool->inbox.tasks[taken];
        (void)pool->inbox.taken.fetch_add(1, rl::mo_seq_cst, RL_INFO);
    }
    pool->inbox.lock.unlock(RL_INFO);
    return task;
}

/* ---- find.c ---- */

static struct sp__deque *get_deque(void)
{
    struct sp__deque *deque = NULL;
    pool->lock.lock(RL_INFO);
    uint64_t count = sp__load_relaxed(&pool->deques);
    for (uint64_t i = 0; i < count && deque == NULL; i++)
        if (!pool->all_deques[i].owned)
            deque = &pool->all_deques[i];
    happened.adopted += deque != NULL;
    if (deque == NULL) {
        deque = &pool->all_deques[count];
        pool->deques.store(count + 1, model_order(LIST_PUT, rl::mo_seq_cst, rl::mo_release), RL_INFO);
    }
    deque->owned = true;
    pool->lock.unlock(RL_INFO);
    return deque;
}

static struct task *steal(const struct sp__deque *own)
{
    uint64_t count = sp__load_seq_cst(&pool->deques);
    struct task *task = NULL;
    for (uint64_t i = 0; i < count && task == NULL; i++)
        if (&pool->all_deques[i] != own)
            task = sp__deque_take(&pool->all_deques[i]);
    happened.stolen += task != NULL;
    return task;
}

static struct task *find_task(struct worker *self)
{
    struct task *task = NULL;
    if (rl::rand(4) == 0 && (task = inbox_take()) != NULL)
        return task;
    if (self->deque != NULL && (task = sp__deque_take(self->deque)) != NULL)
        return task;
    if ((task = inbox_take()) != NULL)
        return task;
    return steal(self->deque);
}

static bool has_tasks(void)
{
    bool *looks = &looking[rl::thread_index()];
    *looks = true;
    bool has = inbox_size() > 0;
    uint64_t count = has ? 0 : sp__load_seq_cst(&pool->deques);
    for (uint64_t i = 0; i < count && !has; i++)
        has = sp__deque_size(&pool->all_deques[i]) > 0;
    *looks = false;
    return has;
}

/* ---- crew.c ---- */

static bool needs_one(void)
{
    return sp__crew_needs_one(sp__crew_look(&pool->crew), max_workers);
}

static struct worker *pop_sleeper(void)
{
    return pool->asleep > 0 ? pool->sleepers[--pool->asleep] : NULL;
}

/* Under the lock. */
static struct worker *call_sleeper(void)
{
    struct worker *sleeper = pop_sleeper();
    if (sleeper != NULL) {
        sp__crew_call(&pool->crew);
        so_far.called++;
    }
    return sleeper;
}

/* Under the lock. */
static bool may_start(void)
{
    uint64_t queued = inbox_size(), count = sp__load_seq_cst(&pool->deques);
    if (sp__crew_awake(sp__crew_look(&pool->crew)) + pool->starting >= max_workers)
        return false;
    for (uint64_t i = 0; i < count; i++)
        queued += sp__deque_size(&pool->all_deques[i]);
    if (queued > pool->starting)
        return true;
    bool is_new = queued > 0 && so_far.submitted != pool->submitted_at_start && model_weakened != RELY_ON_SLOW;
    happened.beside_slow += is_new;
    return is_new;
}

/* False: it cannot be started, and is counted in `alive` no more. */
static bool start_worker(void)
{
    struct worker *worker = NULL;
    pool->lock.lock(RL_INFO);
    bool fails = pool->over || ((may & FAILS) && rl::rand(2) == 0);
    for (int i = 0; i < most_alive && !fails && worker == NULL; i++)
        if (!pool->workers[i].used)
            worker = &pool->workers[i];
    if (worker != NULL)
        worker->used = true;
    else
        pool->alive--, pool->starting--;
    pool->lock.unlock(RL_INFO);
    *(worker != NULL ? &happened.started : &happened.not_started) += 1;
    if (worker != NULL)
        worker->start.signal(RL_INFO);
    return worker != NULL;
}

/* False: one had to be started, and could not. */
static bool call_one(bool *ret_starts)
{
    struct worker *sleeper = NULL;
    bool starts = false;
    if (needs_one()) {
        pool->lock.lock(RL_INFO);
        if (model_weakened == LOOK_AGAIN || needs_one()) {
            RL_ASSERT(so_far.called == 0); /* of those who were called none is still to look */
            sleeper = call_sleeper();
            starts = sleeper == NULL && may_start();
        }
        if (starts) {
            pool->submitted_at_start = so_far.submitted;
            pool->starting++;
            pool->alive++;
        }
        pool->lock.unlock(RL_INFO);
    }
    *ret_starts = starts;
    if (sleeper != NULL) {
        happened.sleepers_called++;
        sleeper->wake.signal(RL_INFO);
    }
    return !starts || start_worker();
}

static bool call_worker(void)
{
    bool starts, ok;
    do
        ok = call_one(&starts);
    while (ok && starts && (may & SLOW));
    return ok;
}

/* Under the lock. */
static void dismiss_sleepers(void)
{
    for (struct worker *worker; (worker = pop_sleeper()) != NULL;) {
        sp__crew_get_up(&pool->crew, false);
        worker->dismissed = true;
        worker->wake.signal(RL_INFO);
    }
}

enum does { STAYS_UP, LIES, ENDS };

/* Under the lock. */
static void count_out(struct worker *self)
{
    pool->alive--;
    self->used = false;
    if (self->deque != NULL)
        self->deque->owned = false;
}

/* Under the lock. */
static enum does try_to_lie(struct worker *self)
{
    uint64_t seen = sp__crew_lie_down(&pool->crew, self->awake, self->searching);
    so_far.called -= self->called;
    self->awake = self->searching = self->called = false;
    if (model_weakened != LAST_LOOK && sp__crew_needs_one(seen, max_workers) && has_tasks()) {
        sp__crew_get_up(&pool->crew, true);
        self->awake = self->searching = self->called = true;
        so_far.called++;
        happened.stayed_up++;
        return STAYS_UP;
    }
    if (pool->closed) {
        sp__crew_get_up(&pool->crew, false);
        return ENDS;
    }
    pool->sleepers[pool->asleep++] = self;
    return LIES;
}

/* Under the lock: take it out of the list.  False: somebody has. */
static bool unlink_sleeper(const struct worker *self)
{
    unsigned at = 0;
    while (at < pool->asleep && pool->sleepers[at] != self)
        at++;
    if (at == pool->asleep)
        return false;
    pool->asleep--;
    for (; at < pool->asleep; at++)
        pool->sleepers[at] = pool->sleepers[at + 1];
    return true;
}

static bool rise(struct worker *self, bool woken)
{
    pool->lock.lock(RL_INFO);
    bool out_of_time = unlink_sleeper(self);
    if (out_of_time)
        sp__crew_get_up(&pool->crew, false);
    bool ends = out_of_time || self->dismissed;
    if (ends)
        count_out(self);
    pool->lock.unlock(RL_INFO);
    happened.timed_out += out_of_time;
    happened.called_late += !out_of_time && !woken;
    if (!out_of_time && !woken)
        (void)self->wake.wait(false, false, RL_INFO);
    self->awake = self->searching = self->called = !ends;
    return !ends;
}

static bool lie_down(struct worker *self)
{
    pool->lock.lock(RL_INFO);
    enum does does = try_to_lie(self);
    if (does == ENDS)
        count_out(self);
    pool->lock.unlock(RL_INFO);
    if (does != LIES)
        return does == STAYS_UP;
    bool timed = (may & LIMITS) && rl::rand(2) == 0;
    return rise(self, self->wake.wait(false, timed, RL_INFO) != rl::sema_wakeup_reason_timeout);
}

/* ---- pool.c, shutdown.c ---- */

/* All tasks have their end: whoever sleeps, or was never started, ends. */
static void end_pool(void)
{
    pool->lock.lock(RL_INFO);
    pool->closed = pool->over = true;
    dismiss_sleepers();
    for (int i = 0; i < most_alive; i++)
        if (!pool->workers[i].used)
            pool->workers[i].start.signal(RL_INFO);
    pool->lock.unlock(RL_INFO);
    pool->slow_ends.signal(RL_INFO);
}

static void count_end(struct task *task, bool ran)
{
    RL_ASSERT(!task->ended);
    task->ended = true;
    so_far.ended++;
    if (!ran && task->child != NULL)
        so_far.ended++; /* it will not be submitted */
    for (unsigned i = 0; i < task->waiters; i++)
        task->done.signal(RL_INFO);
    if (so_far.ended == so_far.planned)
        end_pool();
}

/* Of whoever takes it out of a queue. */
static void leaves_queue(struct task *task)
{
    RL_ASSERT(!task->taken);
    task->taken = true;
}

static void give_up_queue(void)
{
    pool->lock.lock(RL_INFO);
    bool alone = model_weakened == GIVE_UP
                     ? pool->alive == 0
                     : pool->asleep == 0 && pool->starting == 0 && sp__crew_awake(sp__crew_look(&pool->crew)) == 0;
    pool->lock.unlock(RL_INFO);
    for (struct task *task; alone && ((task = inbox_take()) != NULL || (task = steal(NULL)) != NULL);) {
        leaves_queue(task);
        if (!task->claimed) {
            task->claimed = true;
            happened.gave_up++;
            count_end(task, false);
        }
    }
}

/* `self` is NULL for a thread of somebody else's. */
static bool put(struct worker *self, struct task *task)
{
    if (self != NULL) {
        if (pool->closed)
            return false;
        if (self->deque == NULL)
            self->deque = get_deque();
        if (sp__deque_put(self->deque, task))
            return true;
        happened.full++;
    }
    return inbox_put(task);
}

static void shut_down(void)
{
    pool->lock.lock(RL_INFO);
    pool->closed = true;
    pool->inbox.lock.lock(RL_INFO);
    pool->inbox.closed = true;
    pool->inbox.lock.unlock(RL_INFO);
    dismiss_sleepers();
    pool->lock.unlock(RL_INFO);
}

/* ---- loan.c, starvation.c ---- */

static bool all_sleep(void)
{
    return sp__load_seq_cst(&pool->parked) >= sp__crew_awake(sp__crew_look(&pool->crew));
}

/* Under the lock. */
static void keep_no_longer(struct worker *worker)
{
    worker->keeps = false;
    sp__sub_relaxed(&pool->parked, 1);
}

/* Under the lock. */
static bool have_one_lend(void)
{
    for (int i = 0; i < most_alive; i++)
        if (pool->workers[i].keeps) {
            keep_no_longer(&pool->workers[i]);
            pool->lent++;
            return true;
        }
    return false;
}

/* Under the lock. */
static bool any_keeps(void)
{
    for (int i = 0; i < most_alive; i++)
        if (pool->workers[i].keeps)
            return true;
    return false;
}

/* Something is queued, and all who hold a permit sleep.  True: it is too early, look again. */
static bool relieve(bool submits)
{
    pool->lock.lock(RL_INFO);
    bool relieves = any_keeps() && all_sleep();
    if (!pool->is_due)
        pool->is_due = rl::rand(2) == 0;
    bool too_early = relieves && !pool->is_due;
    relieves = relieves && !too_early && has_tasks() && have_one_lend();
    if (relieves) {
        pool->is_due = false;
        (void)sp__crew_step_aside(&pool->crew);
    }
    pool->lock.unlock(RL_INFO);
    happened.relieved += relieves;
    happened.relieved_by_submit += relieves && submits;
    if (relieves)
        (void)call_worker();
    return too_early;
}

/* Sleep in a wait of a task.  If all who hold a permit do, this one looks for the others, sooner or later. */
static void sleep_for(struct worker *self, struct task *task, bool timed)
{
    bool counts = self != NULL && !self->keeps;
    if (counts)
        add_parked();
    bool looks = model_weakened != LOOK_LATER && (may & KEEPS) && all_sleep();
    while (task->done.wait(false, timed || looks, RL_INFO) == rl::sema_wakeup_reason_timeout && !timed)
        looks = relieve(false);
    if (counts)
        sp__sub_relaxed(&pool->parked, 1);
}

/* Under the lock. */
static bool may_keep(const struct task *task)
{
    return (may & KEEPS) && task->claimed && sp__crew_awake(sp__crew_look(&pool->crew)) <= max_workers;
}

static void give_back(struct worker *self)
{
    pool->lock.lock(RL_INFO);
    pool->is_due = false;
    if (self->keeps) {
        keep_no_longer(self);
    } else {
        pool->lent--;
        if (!have_one_lend()) {
            so_far.back++;
            sp__crew_step_back(&pool->crew);
        }
    }
    pool->lock.unlock(RL_INFO);
}

static bool lend(struct worker *self, const struct task *task)
{
    bool calls = false;
    pool->lock.lock(RL_INFO);
    self->keeps = may_keep(task);
    if (self->keeps) {
        pool->is_due = false;
        add_parked();
        happened.kept++;
    } else {
        pool->lent++;
        calls = sp__crew_needs_one(sp__crew_step_aside(&pool->crew), max_workers);
        happened.lent++;
    }
    pool->lock.unlock(RL_INFO);
    if (model_weakened == CALL_SUBSTITUTE || !calls || !has_tasks())
        return true;
    happened.called_substitute++;
    if (call_worker())
        return true;
    give_back(self);
    return false;
}

static void submit(struct worker *self, struct task *task)
{
    task->content(RL_INFO).store(1);
    so_far.submitted++;
    if (!put(self, task)) {
        happened.refused++;
        count_end(task, false);
        return;
    }
    uint64_t awake = sp__crew_awake(sp__crew_look(&pool->crew));
    if (awake < max_workers) {
        if (!call_worker())
            give_up_queue();
    } else if (model_weakened != LOOK_AT_SUBMIT && sp__load_seq_cst(&pool->parked) >= awake) {
        (void)relieve(true);
    }
}

/* ---- worker.c, await.c ---- */

static void run(struct worker *self, struct task *task);
static bool lie_down(struct worker *self);

/* Run it ourselves, if nobody has it. */
static bool help(struct worker *self, struct task *task)
{
    if (self->deque != NULL && sp__deque_take_back(self->deque, task)) {
        leaves_queue(task);
        happened.taken_back++;
    }
    if (task->claimed || task->ended)
        return false;
    task->claimed = true;
    run(self, task);
    return true;
}

static void await(struct worker *self, struct task *task, bool is_child)
{
    bool timed = rl::rand(4) == 0;
    if (is_child && !timed && rl::rand(2) == 0 && help(self, task))
        return;
    bool lent = lend(self, task);
    RL_ASSERT(lent || (may & FAILS));
    if (!lent && !timed && help(self, task))
        return;
    if (lent && !self->keeps)
        (void)task->done.wait(false, timed, RL_INFO);
    else
        sleep_for(self, task, timed);
    if (lent)
        give_back(self);
}

static void run(struct worker *self, struct task *task)
{
    RL_ASSERT(task->content(RL_INFO).load() == 1);
    task->content(RL_INFO).store(0);
    if (task->child != NULL)
        submit(self, task->child);
    if (task->deed == BLOCKS_FOR)
        sleep_for(self, task->awaited, false);
    if (task->deed == STEPS_ASIDE_FOR)
        await(self, task->awaited, task->awaited == task->child);
    count_end(task, true);
}

static void stop_searching(struct worker *self)
{
    uint64_t seen = sp__crew_found(&pool->crew);
    so_far.called -= self->called;
    self->searching = self->called = false;
    if (model_weakened != CALL_NEXT && sp__crew_awake(seen) < max_workers && has_tasks()) {
        happened.called_next++;
        (void)call_worker();
    }
}

static struct task *search(struct worker *self)
{
    for (;;) {
        struct task *task = find_task(self);
        if (task != NULL)
            return task;
        uint64_t seen = sp__crew_look(&pool->crew);
        if (sp__crew_searching(seen) * 2 > sp__crew_awake(seen) + 1 || rl::rand(2) == 0)
            return NULL;
        rl::yield(1, RL_INFO);
    }
}

static struct task *next_task(struct worker *self)
{
    struct task *task;
    if (!self->searching) {
        bool surplus = sp__crew_awake(sp__crew_look(&pool->crew)) > max_workers;
        happened.surplus += surplus;
        if (!surplus && (task = find_task(self)) != NULL)
            return task;
        if (surplus && !lie_down(self))
            return NULL;
        if (!surplus) {
            self->searching = true;
            sp__crew_search(&pool->crew);
        }
    }
    while ((task = search(self)) == NULL)
        if (!lie_down(self))
            return NULL;
    stop_searching(self);
    return task;
}

static void initialize(void)
{
    /* whom the last task has called it may wait for, but for no other */
    if ((may & SLOW) && ++so_far.begun == 2 && so_far.submitted < so_far.planned) {
        happened.slow++;
        (void)pool->slow_ends.wait(false, false, RL_INFO);
    }
}

static bool take_up_work(struct worker *self)
{
    pool->lock.lock(RL_INFO);
    pool->starting--;
    bool has_permit = sp__crew_awake(sp__crew_look(&pool->crew)) < max_workers;
    self->awake = self->searching = self->called = has_permit;
    if (has_permit) {
        so_far.called++;
        sp__crew_enter(&pool->crew);
    }
    pool->lock.unlock(RL_INFO);
    happened.no_permit += !has_permit;
    return has_permit || lie_down(self);
}

static void live(struct worker *self)
{
    self->awake = self->searching = self->called = self->dismissed = self->keeps = false;
    self->deque = NULL;
    initialize();
    struct task *task;
    for (bool goes_on = take_up_work(self); goes_on && (task = next_task(self)) != NULL;) {
        leaves_queue(task);
        if (task->claimed) /* run by who waited for it */
            continue;
        task->claimed = true;
        run(self, task);
    }
}

/* ---- the suites ---- */

/* Some threads submit tasks, so many each; the others are workers when they are started.  When all tasks have their end the
   workers end.  If one has not, somebody sleeps for ever. */
template <int submitters, int tasks, int most_workers, int most_awake, int allowed>
struct crew_suite
    : rl::test_suite<crew_suite<submitters, tasks, most_workers, most_awake, allowed>, submitters + most_workers> {
    struct pool object;
    struct task all[2 * submitters * tasks]; /* children in the second half */

    void before_deque(struct sp__deque *deque)
    {
        deque->top.store(0, rl::mo_relaxed, RL_INFO);
        deque->bottom.store(0, rl::mo_relaxed, RL_INFO);
        for (int i = 0; i < SLOTS; i++)
            deque->slots[i].store(NULL, rl::mo_relaxed, RL_INFO);
        deque->owned = false;
    }

    void before()
    {
        pool = &object;
        max_workers = most_awake;
        most_alive = most_workers;
        may = allowed;
        longest_pause = rl::rand(2) == 0 ? 0 : 50;
        object.crew.store(0, rl::mo_relaxed, RL_INFO);
        object.parked.store(0, rl::mo_relaxed, RL_INFO);
        object.slow_ends.init(false, 0, 1, RL_INFO);
        object.starting = object.submitted_at_start = object.lent = 0;
        object.is_due = false;
        object.deques.store(0, rl::mo_relaxed, RL_INFO);
        object.inbox.put.store(0, rl::mo_relaxed, RL_INFO);
        object.inbox.taken.store(0, rl::mo_relaxed, RL_INFO);
        object.inbox.closed = object.closed = object.over = false;
        object.asleep = object.alive = 0;
        for (int i = 0; i < MOST_WORKERS; i++) {
            before_deque(&object.all_deques[i]);
            object.workers[i].used = object.workers[i].keeps = false;
            object.workers[i].start.init(false, 0, 2, RL_INFO);
            object.workers[i].wake.init(false, 0, 1, RL_INFO);
        }
        memset(looking, 0, sizeof looking);
        memset(&so_far, 0, sizeof so_far);
        draw_tasks();
    }

    void draw_tasks()
    {
        for (int i = 0; i < 2 * submitters * tasks; i++) {
            all[i].deed = RUNS;
            all[i].child = NULL;
            all[i].taken = all[i].claimed = all[i].ended = false;
            all[i].waiters = 2;
            all[i].done.init(false, 0, 2, RL_INFO);
        }
        if (allowed & BLOCKS)
            all[0].deed = BLOCKS_FOR;
        if ((allowed & LENDS) && rl::rand(4) != 0)
            all[0].deed = STEPS_ASIDE_FOR;
        struct task *first_child = &all[submitters * tasks];
        all[0].awaited = (allowed & (BOTH | FAILS)) || rl::rand(2) == 0 ? first_child : &all[1];
        if (allowed & BOTH) {
            all[1].deed = BLOCKS_FOR;
            all[1].awaited = first_child;
        }
        if (allowed & SLOW) {
            all[submitters * tasks - 2].deed = BLOCKS_FOR;
            all[submitters * tasks - 2].awaited = &all[submitters * tasks - 1];
        }
        if (allowed & KEEPS) {
            all[0].deed = BLOCKS_FOR;
            all[0].awaited = &all[submitters * tasks - 1];
            for (int i = 1; i < submitters * tasks - 1; i++) {
                all[i].deed = STEPS_ASIDE_FOR;
                all[i].awaited = &all[0];
            }
        }
        so_far.planned = submitters * tasks;
        for (int i = 0; i < submitters * tasks; i++) {
            bool needs_child = all[i].deed != RUNS && all[i].awaited == &first_child[i];
            if (needs_child || ((allowed & SUBMITS) && rl::rand(2) == 0)) {
                all[i].child = &first_child[i];
                so_far.planned++;
            }
        }
    }

    /* At every step. */
    void invariant()
    {
        uint64_t crew = object.crew.debug_value();
        RL_ASSERT(sp__crew_awake(crew) <= max_workers + so_far.back);
        RL_ASSERT(sp__crew_searching(crew) <= sp__crew_awake(crew));
        RL_ASSERT(sp__crew_asleep(crew) <= most_workers);
    }

    void pause()
    {
        for (unsigned moments = rl::rand(longest_pause + 1); moments > 0; moments--)
            rl::yield(1, RL_INFO);
    }

    void submit_all(unsigned index)
    {
        for (int i = 0; i < tasks; i++) {
            if ((allowed & CLOSES) && index == 0 && rl::rand(4) == 0)
                shut_down();
            pause();
            submit(NULL, &all[(int)index * tasks + i]);
        }
        if ((allowed & CLOSES) && index == 0)
            shut_down();
    }

    void thread(unsigned index)
    {
        if (index < submitters) {
            submit_all(index);
            return;
        }
        struct worker *self = &object.workers[index - submitters];
        bool goes_on = true;
        while (goes_on) {
            (void)self->start.wait(false, false, RL_INFO);
            if (!self->used)
                return;
            live(self);
            object.lock.lock(RL_INFO);
            goes_on = self->used || !object.over;
            object.lock.unlock(RL_INFO);
        }
    }

    void after()
    {
        RL_ASSERT(so_far.ended == so_far.planned);
        RL_ASSERT(object.crew.debug_value() == 0 && object.starting == 0);
        RL_ASSERT(object.parked.debug_value() == 0 && object.lent == 0);
        RL_ASSERT(object.alive == 0 && object.asleep == 0 && so_far.called == 0);
        for (int i = 0; i < MOST_WORKERS; i++) {
            object.workers[i].start.deinit(RL_INFO);
            object.workers[i].wake.deinit(RL_INFO);
        }
        object.slow_ends.deinit(RL_INFO);
        for (int i = 0; i < 2 * submitters * tasks; i++)
            all[i].done.deinit(RL_INFO);
    }
};

static bool as_it_is(const char *program)
{
    bool ok = model_holds<crew_suite<2, 2, 1, 1, LIMITS> >(program, "1 worker, limits");
    ok = model_holds<crew_suite<1, 2, 3, 3, BLOCKS | BOTH> >(program, "3 workers, 2 block") && ok;
    ok = model_holds<crew_suite<1, 3, 2, 2, BLOCKS> >(program, "2 workers, 1 blocks") && ok;
    ok = model_holds<crew_suite<2, 2, 2, 2, BLOCKS | LIMITS> >(program, "2 workers, 1 blocks, limits") && ok;
    ok = model_holds<crew_suite<1, 3, 3, 3, SUBMITS | LIMITS> >(program, "3 workers, limits") && ok;
    ok = model_holds<crew_suite<1, 3, 3, 2, SUBMITS | LENDS | LIMITS> >(program, "3 workers, 1 lends, limits") && ok;
    ok = model_holds<crew_suite<2, 2, 2, 1, SUBMITS | LENDS> >(program, "2 workers, 1 lends") && ok;
    ok = model_holds<crew_suite<2, 2, 2, 1, LENDS | FAILS> >(program, "2 workers, 1 lends, starts fail") && ok;
    ok = model_holds<crew_suite<2, 2, 2, 2, SUBMITS | LENDS | FAILS | LIMITS> >(program, "2 workers, starts fail") &&
         ok;
    ok = model_holds<crew_suite<2, 2, 2, 2, SUBMITS | CLOSES | LIMITS> >(program, "2 workers, shut down") && ok;
    ok = model_holds<crew_suite<2, 2, 2, 1, SUBMITS | LENDS | CLOSES | LIMITS> >(program, "1 lends, shut down") && ok;
    ok = model_holds<crew_suite<1, 4, 3, 3, SLOW> >(program, "1 blocks, 1 starts slowly") && ok;
    ok = model_holds<crew_suite<1, 3, 3, 2, KEEPS> >(program, "2 workers, 1 blocks, 1 keeps") && ok;
    ok = model_holds<crew_suite<1, 3, 3, 2, KEEPS | LIMITS> >(program, "2 workers, 1 keeps, limits") && ok;
    ok = model_happened(program, "called a sleeper", happened.sleepers_called) && ok;
    ok = model_happened(program, "started", happened.started) && ok;
    ok = model_happened(program, "could not be started", happened.not_started) && ok;
    ok = model_happened(program, "found one task and called for more", happened.called_next) && ok;
    ok = model_happened(program, "stepped aside", happened.lent) && ok;
    ok = model_happened(program, "called a substitute", happened.called_substitute) && ok;
    ok = model_happened(program, "came back and was one too many", happened.surplus) && ok;
    ok = model_happened(program, "did not lie down, there was a task", happened.stayed_up) && ok;
    ok = model_happened(program, "slept too long", happened.timed_out) && ok;
    ok = model_happened(program, "were called just then", happened.called_late) && ok;
    ok = model_happened(program, "took a child back", happened.taken_back) && ok;
    ok = model_happened(program, "stolen", happened.stolen) && ok;
    ok = model_happened(program, "found the deque full", happened.full) && ok;
    ok = model_happened(program, "took over a deque", happened.adopted) && ok;
    ok = model_happened(program, "failed for want of workers", happened.gave_up) && ok;
    ok = model_happened(program, "began, and found no permit", happened.no_permit) && ok;
    ok = model_happened(program, "began slowly", happened.slow) && ok;
    ok = model_happened(program, "was started beside a slow one", happened.beside_slow) && ok;
    ok = model_happened(program, "kept its permit", happened.kept) && ok;
    ok = model_happened(program, "had to give it up", happened.relieved) && ok;
    ok = model_happened(program, "had to give it up for a submit", happened.relieved_by_submit) && ok;
    return model_happened(program, "refused", happened.refused) && ok;
}

template <int submitters, int tasks, int most_workers, int most_awake, int allowed>
static bool breaks(const char *program, const char *name, enum crew_weakness which, const char *what)
{
    return model_breaks<crew_suite<submitters, tasks, most_workers, most_awake, allowed> >(program, name, which, what);
}

static bool weakened(const char *program)
{
    struct weak {
        enum crew_weakness which;
        const char *name;
    };
    static const struct weak one_blocks[] = { { CREW_LOOK, "seq_cst of the look at the crew" },
                                              { LIE_DOWN_ORDER, "seq_cst of sp__crew_lie_down" },
                                              { INBOX_PUT, "seq_cst of the inbox's count" },
                                              { INBOX_LOOK, "seq_cst of the look at the inbox" },
                                              { CALL_NEXT, "calling the next" },
                                              { LAST_LOOK, "the last look before one sleeps" },
                                              { LOOK_AGAIN, "the second look before one calls" } };
    static const struct weak two_block[] = { { FOUND_ORDER, "seq_cst of sp__crew_found" },
                                             { DEQUE_PUT, "seq_cst of the deque's bottom" },
                                             { DEQUE_LOOK, "seq_cst of the look at the deque" },
                                             { LIST_PUT, "seq_cst of the list of deques" },
                                             { LIST_LOOK, "seq_cst of the look at the list" } };
    static const struct weak one_lends[] = { { STEP_ASIDE_ORDER, "seq_cst of sp__crew_step_aside" },
                                             { CALL_SUBSTITUTE, "calling a substitute" } };
    static const struct weak one_keeps[] = { { PARKED_ORDER, "seq_cst of the count of those who sleep" },
                                             { PARKED_LOOK, "seq_cst of the look at that" },
                                             { LOOK_LATER, "the look by the last to sleep" },
                                             { LOOK_AT_SUBMIT, "the look by who submits" } };
    bool ok = breaks<2, 2, 2, 1, LENDS | FAILS>(program, "1 lends, starts fail", GIVE_UP, "giving up when all wait");
    for (size_t i = 0; i < sizeof one_blocks / sizeof *one_blocks; i++)
        ok = breaks<2, 2, 2, 2, BLOCKS>(program, "1 blocks", one_blocks[i].which, one_blocks[i].name) && ok;
    for (size_t i = 0; i < sizeof two_block / sizeof *two_block; i++)
        ok = breaks<1, 2, 3, 3, BLOCKS | BOTH>(program, "2 block", two_block[i].which, two_block[i].name) && ok;
    for (size_t i = 0; i < sizeof one_lends / sizeof *one_lends; i++)
        ok = breaks<2, 2, 2, 1, LENDS>(program, "1 lends", one_lends[i].which, one_lends[i].name) && ok;
    for (size_t i = 0; i < sizeof one_keeps / sizeof *one_keeps; i++)
        ok = breaks<1, 3, 3, 2, KEEPS>(program, "1 keeps", one_keeps[i].which, one_keeps[i].name) && ok;
    return breaks<1, 4, 3, 3, SLOW>(program, "1 blocks, 1 starts slowly", RELY_ON_SLOW,
                                    "starting one more beside a slow one") &&
           ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
