/* Steps with queues.

   SPDX-License-Identifier: MIT */
#include "lean/items.h"
#include "lean/lean.h"

void item_drop(void *item)
{
    give_back_memory(((struct item *)item)->owned);
    count_down(&world.items);
    if (((struct item *)item)->key % 8 == 0)
        hook_run(program.hook_script);
}

static struct item make_item(const struct step *step)
{
    count_up(&world.items);
    return (struct item){ step->b, own_memory() };
}

static void take_item(sp_queue *queue, struct item *item)
{
    give_back_memory(item->owned);
    count_down(&world.items);
    sp_status status = sp_queue_task_done(queue);
    check(status == SP_OK || (status == SP_SHUT_DOWN && world.in_child) ||
          (status == SP_VALUE_ERROR && fact(&world.closed))); /* a shutdown at once has counted it as done */
}

/* The queue has not taken it. */
static void keep_item(struct item *item)
{
    give_back_memory(item->owned);
    count_down(&world.items);
}

static bool is_possible(sp_status status, sp_status when_late)
{
    return status == SP_OK || status == when_late ||
           (status == SP_SHUT_DOWN && (world.in_child || fact(&world.closed))) ||
           (status == SP_MEMORY_ERROR && fact(&world.refuses));
}

/* Put one, take one, at once: whoever waits for room is let in by one who takes, and each has put what it may take. */
void step_exchange(struct actor *actor, const struct step *step)
{
    struct item item = make_item(step);
    (void)actor;
    sp_status status = sp_put(world.exchange, &item, SP_FOREVER);
    check(is_possible(status, SP_OK));
    if (status != SP_OK) {
        keep_item(&item);
        return;
    }
    status = sp_get(world.exchange, &item, SP_FOREVER);
    check(is_possible(status, SP_OK));
    if (status == SP_OK)
        take_item(world.exchange, &item);
}

static void put_many(sp_queue *queue, const struct step *step)
{
    struct item items[3] = { make_item(step), make_item(step), make_item(step) };
    size_t done = 99;
    sp_status status = sp_queue_put_many(queue, items, 3, &done, short_limit(step));
    check(is_possible(status, SP_FULL) && done <= 3 && (status == SP_OK) == (done == 3));
    for (size_t i = done; i < 3; i++)
        keep_item(&items[i]);
}

void step_put(struct actor *actor, const struct step *step)
{
    sp_queue *queue = world.queues[step->a % QUEUES];
    double begin = now(), limit = short_limit(step);
    (void)actor;
    if (step->c % 3 == 0) {
        put_many(queue, step);
        return;
    }
    struct item item = make_item(step);
    sp_status status = sp_put(queue, &item, limit);
    check(is_possible(status, SP_FULL));
    if (status == SP_FULL)
        check_waited(begin, limit);
    if (status != SP_OK)
        keep_item(&item);
}

static void get_many(sp_queue *queue, const struct step *step)
{
    struct item items[3];
    size_t done = 99;
    sp_status status = sp_queue_get_many(queue, items, 3, &done, short_limit(step));
    check(is_possible(status, SP_EMPTY) && done <= 3 && (status == SP_OK) == (done > 0));
    for (size_t i = 0; i < done; i++)
        take_item(queue, &items[i]);
}

void step_get(struct actor *actor, const struct step *step)
{
    sp_queue *queue = world.queues[step->a % QUEUES];
    double begin = now(), limit = short_limit(step);
    struct item item;
    (void)actor;
    if (step->c % 3 == 0) {
        get_many(queue, step);
        return;
    }
    sp_status status = sp_get(queue, &item, limit);
    check(is_possible(status, SP_EMPTY));
    if (status == SP_EMPTY)
        check_waited(begin, limit);
    if (status == SP_OK)
        take_item(queue, &item);
}

void step_queue_end(struct actor *actor, const struct step *step)
{
    (void)actor;
    note_fact(&world.closed);
    sp_queue_shutdown(step->b % 4 == 0 ? world.exchange : world.queues[step->a % QUEUES], step->c % 2 == 0);
}

void step_queue_join(struct actor *actor, const struct step *step)
{
    sp_queue *queue = world.queues[step->a % QUEUES];
    double begin = now(), limit = short_limit(step);
    (void)actor;
    if (!sp_queue_join(queue, limit) && !world.in_child)
        check_waited(begin, limit);
    size_t most = sp_queue_maxsize(queue);
    check(most == 0 || sp_queue_size(queue) <= most);
    (void)sp_queue_empty(queue); /* either is right */
    check(most > 0 || !sp_queue_full(queue));
}
