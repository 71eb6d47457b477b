/* An intrusive doubly linked list.

   The head is a node linked in a circle with the members; all-zero bytes are NOT an empty list, call sp__list_init.
   A node that is in no list has next == NULL, so "is it queued?" needs no extra bit.  The list is guarded by whatever
   lock its owner names.

   SPDX-License-Identifier: MIT */
#ifndef SP_BASE_LIST_H
#define SP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sp__list {
    struct sp__list *next, *prev;
};

/* The object of type `type` whose member `member` is *node. */
#define sp__container_of(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void sp__list_init(struct sp__list *head)
{
    head->next = head->prev = head;
}

static inline bool sp__list_empty(const struct sp__list *head)
{
    return head->next == head;
}

static inline bool sp__list_linked(const struct sp__list *node)
{
    return node->next != NULL;
}

static inline void sp__list_insert_before(struct sp__list *place, struct sp__list *node)
{
    node->prev = place->prev;
    node->next = place;
    place->prev->next = node;
    place->prev = node;
}

static inline void sp__list_append(struct sp__list *head, struct sp__list *node)
{
    sp__list_insert_before(head, node);
}

static inline void sp__list_prepend(struct sp__list *head, struct sp__list *node)
{
    sp__list_insert_before(head->next, node);
}

static inline void sp__list_remove(struct sp__list *node)
{
    if (node->next == NULL)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

static inline struct sp__list *sp__list_pop_front(struct sp__list *head)
{
    if (sp__list_empty(head))
        return NULL;
    struct sp__list *first = head->next;
    sp__list_remove(first);
    return first;
}

/* Append all members of `from` to `to`; `from` is empty afterwards. */
static inline void sp__list_move_all(struct sp__list *to, struct sp__list *from)
{
    if (sp__list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    sp__list_init(from);
}

#endif
