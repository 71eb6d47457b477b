/* SPDX-License-Identifier: MIT */
#include "attempts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"

struct attempt_entry {
    struct attempt_entry *next;
    unsigned failed;
    char order_id[ORDER_ID_MAX + 1];
};

/* The link that points to the id's entry, or to the end of its chain.  FNV-1a. */
static struct attempt_entry **find(struct attempts *attempts, const char *order_id)
{
    uint32_t hash = 2166136261u;
    for (const char *c = order_id; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    struct attempt_entry **link = &attempts->chains[hash % ATTEMPT_CHAINS];
    while (*link != NULL && strcmp((*link)->order_id, order_id) != 0)
        link = &(*link)->next;
    return link;
}

unsigned attempts_of(const struct attempts *attempts, const char *order_id)
{
    const struct attempt_entry *entry = *find((struct attempts *)attempts, order_id);
    return entry != NULL ? entry->failed : 0;
}

void attempts_note(struct attempts *attempts, const char *order_id, unsigned failed)
{
    struct attempt_entry **link = find(attempts, order_id), *entry = *link;
    if (failed == 0) {
        if (entry != NULL)
            *link = entry->next;
        free(entry);
        return;
    }
    if (entry == NULL) {
        entry = *link = calloc(1, sizeof *entry);
        if (entry == NULL)
            return;
        snprintf(entry->order_id, sizeof entry->order_id, "%s", order_id);
    }
    entry->failed = failed;
}

void attempts_clear(struct attempts *attempts)
{
    for (size_t i = 0; i < ATTEMPT_CHAINS; i++) {
        while (attempts->chains[i] != NULL) {
            struct attempt_entry *entry = attempts->chains[i];
            attempts->chains[i] = entry->next;
            free(entry);
        }
    }
}
