/* The word of a future: future/state_word.h as it is, over the checker's atomics and a bucket in miniature.  See README.md.

   SPDX-License-Identifier: MIT */
#include "lot.h"

enum future_weakness {
    NONE,
    MOVE_ACQUIRE, /* in sp__word_move */
    MOVE_RELEASE,
    FINISH_ACQUIRE, /* in sp__word_finish */
    FINISH_RELEASE,
    MARK_ACQUIRE, /* in sp__word_mark, of the first look */
    MARK_FAILURE, /* as above, of the compare-and-swap when it fails */
    SUB_ACQUIRE,  /* in sp__word_release, of the subtraction */
    SUB_RELEASE,
    LAST_ACQUIRE,   /* as above, of the look for others */
    MARK_PARKED,    /* before one sleeps */
    LAST_LOOK,      /* at the word, under the bucket lock, before one sleeps */
    MARK_WATCHED,   /* before one relies on being told */
    WHOLE_HOLD,     /* of the watch lock: first link, then mark */
    TOLD,           /* the look whether a set has been told already */
    KEPT_REFERENCE, /* until everybody is told */
    LENT_REFERENCE, /* by which a future is lent to its callbacks, when the one that ends it has none to keep */
    LATE_REFERENCE, /* by which it is lent to a callback that is added when it is done */
    LAST_RELEASE    /* by who finds that it was the last when it finished */
};

typedef model_word sp__state_word;

/* What a thread does just now, to tell the orders of one function from those of another. */
static enum { MOVE, FINISH, MARK, RELEASE } does[LOT_THREADS];

static bool cas_acq_rel(sp__state_word *word, uint64_t *expected, uint64_t value, rl::debug_info_param where)
{
    static const int no_acquire[] = { MOVE_ACQUIRE, FINISH_ACQUIRE, -1 };
    static const int no_release[] = { MOVE_RELEASE, FINISH_RELEASE, -1 };
    int call = does[rl::thread_index()];
    rl::memory_order failure = call == MARK ? model_order(MARK_FAILURE, rl::mo_acquire, rl::mo_relaxed)
                                            : rl::mo_acquire;
    if (model_weakened == no_acquire[call])
        return model_cas(word, expected, value, rl::mo_release, rl::mo_relaxed, where);
    rl::memory_order order = model_order(no_release[call], rl::mo_acq_rel, rl::mo_acquire);
    return model_cas(word, expected, value, order, failure, where);
}

static uint64_t sub_acq_rel(sp__state_word *word, uint64_t value, rl::debug_info_param where)
{
    rl::memory_order order = model_order(SUB_ACQUIRE, rl::mo_acq_rel, rl::mo_release);
    return word->fetch_sub(value, model_order(SUB_RELEASE, order, rl::mo_acquire), where);
}

static uint64_t load_acquire(const sp__state_word *word, rl::debug_info_param where)
{
    int which = does[rl::thread_index()] == MARK ? MARK_ACQUIRE : LAST_ACQUIRE;
    return word->load(model_order(which, rl::mo_acquire, rl::mo_relaxed), where);
}

#define sp__load_relaxed(p) (p)->load(rl::mo_relaxed, RL_INFO)
#define sp__load_acquire(p) load_acquire((p), RL_INFO)
#define sp__add_relaxed(p, value) (void)(p)->fetch_add((value), rl::mo_relaxed, RL_INFO)
#define sp__sub_acq_rel(p, value) sub_acq_rel((p), (value), RL_INFO)
#define sp__or_relaxed(p, value) (p)->fetch_or((value), rl::mo_relaxed, RL_INFO)
#define sp__cas_acq_rel(p, expected, value) cas_acq_rel((p), (expected), (value), RL_INFO)

#include "future/state_word.h"

static struct {
    unsigned long run, helped, settled, cancelled, refused, too_late, parked, watched, told_by_itself, told_twice,
        called, kept, lent, given_up, last_by_finish, last_by_look, last_by_subtraction;
} happened;

/* ---- future.h ---- */

enum { RESULT = 17 };

struct watch {
    rl::var<struct watch *> next; /* guarded by the watch lock */
    rl::var<bool> told;           /* as above */
    bool callback;                /* or the watch of a set */
    bool releases;                /* a callback that gives up a reference */
    unsigned thread;              /* whose it is */
};

struct future {
    sp__state_word word;
    rl::var<unsigned> prepared; /* before it was claimed */
    rl::var<unsigned> result;
    rl::var<unsigned> uses[LOT_THREADS]; /* written by each holder, read at the end */
    rl::var<struct watch *> watches;     /* guarded by the watch lock */
};

static struct future *future;                    /* of this schedule */
static struct lot *lot;                          /* as above */
static rl::mutex *watch_lock;                    /* as above */
static rl::semaphore<struct notify_tag> *notify; /* as above; one for each thread's sets */

/* What an observer knows. */
static struct {
    unsigned ends, destroyed;
    unsigned claims;
    unsigned wanted[LOT_THREADS], called[LOT_THREADS]; /* callbacks of a thread */
    unsigned told[LOT_THREADS];                        /* how often the set that it has now was told */
} seen_so_far;

static bool move(enum sp__phase from, enum sp__phase to)
{
    does[rl::thread_index()] = MOVE;
    bool moved = sp__word_move(&future->word, from, to);
    if (moved && from == SP__PENDING)
        RL_ASSERT(seen_so_far.claims++ == 0);
    return moved;
}

static bool mark(uint64_t which)
{
    does[rl::thread_index()] = MARK;
    return sp__word_mark(&future->word, which);
}

static enum sp__phase phase(void)
{
    return sp__phase_of(future->word.load(rl::mo_acquire, RL_INFO));
}

static void use(void)
{
    future->uses[rl::thread_index()](RL_INFO).store(1);
}

/* After a terminal phase was seen, or told. */
static void look_at_result(void)
{
    enum sp__phase now = sp__phase_of(sp__load_relaxed(&future->word));
    RL_ASSERT(now >= SP__FINISHED);
    if (now != SP__CANCELLED)
        RL_ASSERT(future->result(RL_INFO).load() == RESULT);
}

/* ---- watch.c ---- */

static void link_watch(struct watch *watch)
{
    watch->next(RL_INFO).store(future->watches(RL_INFO).load());
    future->watches(RL_INFO).store(watch);
}

/* Under the watch lock. */
static void tell_once(struct watch *watch)
{
    bool told = watch->told(RL_INFO).load();
    happened.told_twice += told;
    if (told && model_weakened != TOLD)
        return;
    watch->told(RL_INFO).store(true);
    RL_ASSERT(seen_so_far.told[watch->thread]++ == 0);
    notify[watch->thread].signal(RL_INFO);
}

static void add_watch(struct watch *watch)
{
    watch_lock->lock(RL_INFO);
    link_watch(watch);
    if (model_weakened == WHOLE_HOLD) {
        watch_lock->unlock(RL_INFO);
        watch_lock->lock(RL_INFO);
    }
    if (model_weakened != MARK_WATCHED && !mark(SP__FUTURE_WATCHED)) {
        happened.told_by_itself++;
        tell_once(watch);
    }
    watch_lock->unlock(RL_INFO);
}

static void remove_watch(const struct watch *watch)
{
    watch_lock->lock(RL_INFO);
    struct watch *at = future->watches(RL_INFO).load();
    if (at == watch)
        future->watches(RL_INFO).store(watch->next(RL_INFO).load());
    else {
        while (at->next(RL_INFO).load() != watch)
            at = at->next(RL_INFO).load();
        at->next(RL_INFO).store(watch->next(RL_INFO).load());
    }
    watch_lock->unlock(RL_INFO);
}

static void release(void);

/* The future is lent for the call, also when the callback gives up a reference. */
static void call(unsigned thread, bool releases)
{
    happened.given_up += releases;
    if (releases)
        release();
    look_at_result();
    seen_so_far.called[thread]++;
}

/* Sets under the lock, then callbacks, which are taken out, without it. */
static void tell_watches(void)
{
    struct watch *callbacks = NULL, *stay = NULL, *next;
    watch_lock->lock(RL_INFO);
    for (struct watch *at = future->watches(RL_INFO).load(); at != NULL; at = next) {
        struct watch **list = at->callback ? &callbacks : &stay;
        next = at->next(RL_INFO).load();
        if (!at->callback)
            tell_once(at);
        at->next(RL_INFO).store(*list);
        *list = at;
    }
    future->watches(RL_INFO).store(stay);
    watch_lock->unlock(RL_INFO);
    for (; callbacks != NULL; callbacks = next) {
        next = callbacks->next(RL_INFO).load();
        call(callbacks->thread, callbacks->releases);
        delete callbacks;
    }
}

/* A callback that releases gets a reference of the caller's for it. */
static void add_callback(bool releases)
{
    unsigned self = rl::thread_index();
    seen_so_far.wanted[self]++;
    if (phase() < SP__FINISHED) {
        struct watch *watch = new struct watch;
        watch->callback = true;
        watch->releases = releases;
        watch->thread = self;
        watch_lock->lock(RL_INFO);
        bool waits = model_weakened == MARK_WATCHED || mark(SP__FUTURE_WATCHED);
        if (model_weakened == WHOLE_HOLD) {
            watch_lock->unlock(RL_INFO);
            watch_lock->lock(RL_INFO);
        }
        if (waits)
            link_watch(watch);
        watch_lock->unlock(RL_INFO);
        if (waits)
            return;
        delete watch;
    }
    if (model_weakened != LATE_REFERENCE)
        sp__word_retain(&future->word);
    call(self, releases);
    if (model_weakened != LATE_REFERENCE)
        release();
}

/* ---- state.c ---- */

static void destroy(void)
{
    RL_ASSERT(seen_so_far.destroyed++ == 0);
    for (int i = 0; i < LOT_THREADS; i++)
        (void)future->uses[i](RL_INFO).load();
    future->result(RL_INFO).store(0);
    RL_ASSERT(future->watches(RL_INFO).load() == NULL);
    delete future;
}

static void release(void)
{
    does[rl::thread_index()] = RELEASE;
    bool alone = sp__refs_of(future->word.debug_value()) == 1;
    if (!sp__word_release(&future->word))
        return;
    *(alone ? &happened.last_by_look : &happened.last_by_subtraction) += 1;
    destroy();
}

static void tell(uint64_t seen)
{
    if (seen & SP__FUTURE_PARKED) {
        lot->lock.lock(RL_INFO);
        struct lot_woken woken = lot_unlink(lot, 0, LOT_THREADS);
        lot->lock.unlock(RL_INFO);
        lot_wake(&woken);
        happened.parked += woken.count;
    }
    if (seen & SP__FUTURE_WATCHED) {
        happened.watched++;
        tell_watches();
    }
}

static bool complete(enum sp__phase from, enum sp__phase terminal, bool drop)
{
    uint64_t seen;
    does[rl::thread_index()] = FINISH;
    if (!sp__word_finish(&future->word, from, terminal, drop, &seen))
        return false;
    RL_ASSERT(seen_so_far.ends++ == 0);
    if (seen & (SP__FUTURE_PARKED | SP__FUTURE_WATCHED)) {
        bool lent = !drop && (seen & SP__FUTURE_WATCHED);
        bool at_once = model_weakened == (drop ? KEPT_REFERENCE : LENT_REFERENCE);
        happened.kept += drop;
        happened.lent += lent;
        if ((drop || lent) && at_once)
            release();
        tell(seen);
        if ((drop || lent) && !at_once)
            release();
    } else if (drop && sp__refs_of(seen) == 1 && model_weakened != LAST_RELEASE) {
        happened.last_by_finish++;
        destroy();
    }
    return true;
}

/* Claimed: the result is ours to write. */
static void run(enum sp__phase from, bool drop)
{
    use();
    future->result(RL_INFO).store(RESULT);
    bool completed = complete(from, rl::rand(2) == 0 ? SP__FINISHED : SP__FAILED, drop);
    RL_ASSERT(completed);
}

static void cancel(void)
{
    if (complete(SP__PENDING, SP__CANCELLED, false)) {
        happened.cancelled++;
        return;
    }
    if (phase() < SP__FINISHED)
        (void)sp__or_relaxed(&future->word, SP__FUTURE_CANCEL_REQUESTED);
    happened.too_late++;
}

/* ---- await.c, park.c ---- */

static bool link_if_not_done(void)
{
    lot->lock.lock(RL_INFO);
    bool stays = model_weakened == LAST_LOOK || !sp__is_terminal(sp__load_relaxed(&future->word));
    if (stays)
        lot_link(lot, 0);
    lot->lock.unlock(RL_INFO);
    lot_happened.changed += !stays;
    return stays;
}

static bool withdraw(void)
{
    lot->lock.lock(RL_INFO);
    bool withdrawn = lot_withdraw(lot);
    lot->lock.unlock(RL_INFO);
    return withdrawn;
}

/* False: out of time. */
static bool sleep_until_changed(bool timed)
{
    if (!link_if_not_done() || lot_sleep(lot, timed))
        return true;
    if (withdraw())
        return false;
    (void)lot_sleep(lot, false);
    return true;
}

/* False: out of time. */
static bool wait_until_done(bool timed)
{
    bool in_time = true;
    while (model_weakened == MARK_PARKED ? phase() < SP__FINISHED : mark(SP__FUTURE_PARKED)) {
        if (!in_time)
            return false;
        in_time = sleep_until_changed(timed);
    }
    return true;
}

/* ---- what threads do ---- */

/* The one that took it out of its queue, with the queue's reference. */
static void work(void)
{
    if (!move(SP__PENDING, SP__RUNNING)) {
        happened.refused++;
        release();
        return;
    }
    happened.run++;
    run(SP__RUNNING, true);
}

/* A waiter runs it itself; perhaps it has taken the queue's reference as well. */
static void help(void)
{
    bool drop = rl::rand(2) == 0;
    if (drop)
        sp__word_retain(&future->word);
    if (move(SP__PENDING, SP__RUNNING)) {
        happened.helped++;
        run(SP__RUNNING, drop);
    } else if (drop)
        release();
}

/* It belongs to no pool: one thread begins it, another sets the result. */
static void begin(void)
{
    future->prepared(RL_INFO).store(1);
    (void)move(SP__PENDING, SP__RUNNING);
}

/* True: the thread has given its reference to a callback. */
static bool settle(void)
{
    while (phase() < SP__FINISHED) {
        if (move(SP__RUNNING, SP__SETTLING)) {
            RL_ASSERT(future->prepared(RL_INFO).load() == 1);
            happened.settled++;
            bool gives = rl::rand(2) == 0;
            if (gives)
                add_callback(true);
            run(SP__SETTLING, false);
            return gives;
        }
        rl::yield(1, RL_INFO);
    }
    return false;
}

static void wait(bool timed)
{
    if (wait_until_done(timed))
        look_at_result();
}

/* A set with this one future, which waits until it is told. */
static void be_told(bool timed)
{
    unsigned self = rl::thread_index();
    struct watch *watch = new struct watch;
    watch->callback = false;
    watch->told(RL_INFO).store(false);
    watch->thread = self;
    seen_so_far.told[self] = 0;
    add_watch(watch);
    bool told = notify[self].wait(false, timed, RL_INFO) != rl::sema_wakeup_reason_timeout;
    if (told)
        look_at_result();
    remove_watch(watch);
    if (!told && seen_so_far.told[self] == 1)
        (void)notify[self].wait(false, false, RL_INFO);
    delete watch;
}

static void ask(void)
{
    if (phase() >= SP__FINISHED)
        look_at_result();
}

/* Which of these may a thread do? */
enum { WAITS = 1, WATCHES = 2, CANCELS = 4, HELPS = 8, LIMITS = 16 };

static void do_something(int may)
{
    bool timed = (may & LIMITS) && rl::rand(2) == 0;
    unsigned choice = rl::rand(8);
    if (choice == 0 && (may & CANCELS))
        cancel();
    else if (choice == 1 && (may & HELPS))
        help();
    else if (choice <= 3 && (may & WAITS))
        wait(timed);
    else if (choice == 4 && (may & WATCHES))
        be_told(timed);
    else if (choice == 5 && (may & WATCHES))
        add_callback(false);
    else if (choice == 6)
        ask();
    else {
        sp__word_retain(&future->word);
        use();
        release();
    }
}

/* ---- the suites ---- */

/* Each thread has a reference.  Thread 0 runs the future, or in a suite that settles begins it, and thread 1 sets its
   result; the others do this and that. */
template <int threads, int most_deeds, int may, bool settles>
struct future_suite : rl::test_suite<future_suite<threads, most_deeds, may, settles>, threads> {
    struct lot parking;
    rl::mutex watching;
    rl::semaphore<struct notify_tag> notifications[threads];

    void before()
    {
        lot = &parking;
        lot_init(&parking);
        watch_lock = &watching;
        notify = notifications;
        for (int i = 0; i < threads; i++)
            notifications[i].init(false, 0, 2, RL_INFO);
        future = new struct future;
        future->word.store(threads * SP__FUTURE_REF, rl::mo_relaxed, RL_INFO);
        future->result(RL_INFO).store(0);
        future->watches(RL_INFO).store(NULL);
        for (int i = 0; i < LOT_THREADS; i++)
            future->uses[i](RL_INFO).store(0);
        memset(&seen_so_far, 0, sizeof seen_so_far);
        memset(does, 0, sizeof does);
    }

    /* At every step: what has ended stays so. */
    void invariant()
    {
        if (seen_so_far.ends > 0 && seen_so_far.destroyed == 0)
            RL_ASSERT(sp__is_terminal(future->word.debug_value()));
    }

    void thread(unsigned index)
    {
        if (index == 0 && !settles) {
            work();
            return;
        }
        if (index == 0)
            begin();
        else if (index == 1 && settles && settle())
            return;
        for (unsigned deeds = rl::rand(most_deeds + 1); deeds > 0; deeds--)
            do_something(may);
        use();
        if ((may & WATCHES) && rl::rand(2) == 0)
            add_callback(true);
        else
            release();
    }

    void after()
    {
        RL_ASSERT(seen_so_far.ends == 1 && seen_so_far.destroyed == 1);
        for (int i = 0; i < threads; i++) {
            RL_ASSERT(seen_so_far.called[i] == seen_so_far.wanted[i]);
            notifications[i].deinit(RL_INFO);
        }
        lot_end(&parking);
    }
};

static bool as_it_is(const char *program)
{
    const int all = WAITS | WATCHES | CANCELS | HELPS;
    bool ok = model_holds<future_suite<2, 3, WAITS | LIMITS, false> >(program, "2 threads, waits");
    ok = model_holds<future_suite<3, 3, WAITS | CANCELS | LIMITS, false> >(program, "3 threads, waits") && ok;
    ok = model_holds<future_suite<3, 3, WATCHES | LIMITS, false> >(program, "3 threads, watches") && ok;
    ok = model_holds<future_suite<3, 4, all, false> >(program, "3 threads") && ok;
    ok = model_holds<future_suite<4, 3, all | LIMITS, false> >(program, "4 threads, limits") && ok;
    ok = model_holds<future_suite<4, 2, (all & ~HELPS) | LIMITS, true> >(program, "4 threads, settled") && ok;
    ok = lot_was_used(program) && ok;
    ok = model_happened(program, "run", happened.run) && ok;
    ok = model_happened(program, "run by who waits", happened.helped) && ok;
    ok = model_happened(program, "settled", happened.settled) && ok;
    ok = model_happened(program, "cancelled", happened.cancelled) && ok;
    ok = model_happened(program, "cancelled too late", happened.too_late) && ok;
    ok = model_happened(program, "taken from the queue in vain", happened.refused) && ok;
    ok = model_happened(program, "woken", happened.parked) && ok;
    ok = model_happened(program, "told the watches", happened.watched) && ok;
    ok = model_happened(program, "told its own watch", happened.told_by_itself) && ok;
    ok = model_happened(program, "found a watch told already", happened.told_twice) && ok;
    ok = model_happened(program, "kept the reference to tell", happened.kept) && ok;
    ok = model_happened(program, "lent to its callbacks", happened.lent) && ok;
    ok = model_happened(program, "released by a callback", happened.given_up) && ok;
    ok = model_happened(program, "destroyed by the completion", happened.last_by_finish) && ok;
    ok = model_happened(program, "destroyed by the only holder", happened.last_by_look) && ok;
    return model_happened(program, "destroyed by the last of several", happened.last_by_subtraction) && ok;
}

static bool weakened(const char *program)
{
    static const struct {
        enum future_weakness which;
        const char *name;
    } all[] = { { FINISH_ACQUIRE, "acquire in sp__word_finish" },
                { FINISH_RELEASE, "release in sp__word_finish" },
                { MARK_ACQUIRE, "acquire of the look in sp__word_mark" },
                { MARK_FAILURE, "acquire of the failure in sp__word_mark" },
                { SUB_ACQUIRE, "acquire of the subtraction in sp__word_release" },
                { SUB_RELEASE, "release of the subtraction in sp__word_release" },
                { LAST_ACQUIRE, "acquire of the look in sp__word_release" },
                { MARK_PARKED, "the mark of who sleeps" },
                { LAST_LOOK, "the last look before one sleeps" },
                { MARK_WATCHED, "the mark of who watches" },
                { WHOLE_HOLD, "linking and marking in one hold" },
                { TOLD, "the look whether it was told" },
                { KEPT_REFERENCE, "the reference of who tells" },
                { LATE_REFERENCE, "the reference for a late callback" },
                { LAST_RELEASE, "the end by the completion" } };
    const int may = WAITS | WATCHES | CANCELS | HELPS;
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok = model_breaks<future_suite<3, 4, may, false> >(program, "3 threads", all[i].which, all[i].name) && ok;
    ok = model_breaks<future_suite<4, 2, WAITS, true> >(program, "settled", MOVE_ACQUIRE, "acquire in sp__word_move") &&
         ok;
    ok = model_breaks<future_suite<4, 2, WAITS, true> >(program, "settled", MOVE_RELEASE, "release in sp__word_move") &&
         ok;
    return model_breaks<future_suite<2, 2, WATCHES, true> >(program, "settled", LENT_REFERENCE,
                                                            "the reference that callbacks are lent") &&
           ok;
}

int main(int argc, char **argv)
{
    return (argc > 1 ? weakened(argv[0]) : as_it_is(argv[0])) ? 0 : 1;
}
