/* A lazy map over numbers without end: each is made when it is needed, and the first error is the end.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { BUFFER = 4 };

static sp_status square(const int *n, int16_t *ret)
{
    int64_t product = (int64_t)*n * *n;
    if (product > INT16_MAX)
        return sp_raise(SP_VALUE_ERROR, "the square of %d does not fit into 16 bits", *n);
    *ret = (int16_t)product;
    return SP_OK;
}
SP_TASK(square, int, int16_t);

/* All numbers from `next` on.  No lock: only sp_map_next asks for them, in the thread that calls it. */
struct numbers {
    int next;
    int pulled, taken; /* so many so far; the difference is on its way */
    int most;          /* that were on their way at a time */
};

static bool next_number(void *context, void *ret_arg)
{
    struct numbers *numbers = context;
    int *number = ret_arg;
    *number = numbers->next++;
    int on_their_way = ++numbers->pulled - numbers->taken;
    if (on_their_way > numbers->most)
        numbers->most = on_their_way;
    return true; /* there is always another one */
}

/* Print squares of numbers until there are enough of them, or one fails. */
static void print_squares(sp_executor *pool, int first, int enough)
{
    struct numbers numbers = { .next = first };
    sp_auto(sp_mapping) squares = sp_map_lazy(pool, square, next_number, &numbers, .buffersize = BUFFER);
    int16_t result;
    sp_status status = SP_OK;
    printf("from %d:", first);
    while (numbers.taken < enough && (status = sp_map_next(squares, &result, SP_FOREVER)) == SP_OK) {
        numbers.taken++;
        printf(" %d", result);
    }
    printf("; at most %d on their way\n", numbers.most);
    if (status == SP_OK)
        return; /* enough: the end of the scope cancels what is on its way */

    const sp_error *error = sp_mapping_error(
        squares); /* lives until the next call; NULL: it is no number that failed */
    printf("  failed: %s\n", error != NULL ? error->message : sp_status_text(status));
    int pulled = numbers.pulled;
    status = sp_map_next(squares, &result, SP_FOREVER);
    printf("  then %s, and %d more were pulled\n", sp_status_name(status), numbers.pulled - pulled);
}

int main(void)
{
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    print_squares(pool, 1, 10);
    print_squares(pool, 179, 10);
    return 0;
}
