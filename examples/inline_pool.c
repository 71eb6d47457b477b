/* Code that uses an executor, and its test, which runs it without threads: an order that fails can be had again.

   The bookings are right in any order, one would think: the end of the day is the same.  But in some orders the account is
   overdrawn meanwhile.  With threads that would happen now and then; with a seed it happens always or never.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

enum { BOOKINGS = 4 };

struct account {
    sp_lock lock; /* guards the rest */
    int balance, lowest;
    int journal[BOOKINGS], booked; /* the amounts in their order */
};

struct booking {
    struct account *account;
    int amount;
};

static sp_status book(const struct booking *in, sp_none *out)
{
    struct account *account = in->account;
    (void)out;
    SP_HOLD(&account->lock);
    account->balance += in->amount;
    if (account->balance < account->lowest)
        account->lowest = account->balance;
    account->journal[account->booked++] = in->amount;
    return SP_OK;
}
SP_TASK(book, struct booking, sp_none);

/* The code under test: it takes the executor that it is given, and knows nothing of tests. */
static sp_status book_day(sp_executor *executor, struct account *account)
{
    static const int amounts[BOOKINGS] = { 50, 30, -20, -60 };
    sp_future *bookings[BOOKINGS];
    for (int i = 0; i < BOOKINGS; i++)
        bookings[i] = sp_submit(executor, book, .account = account, .amount = amounts[i]);
    sp_status status = SP_OK;
    for (int i = 0; i < BOOKINGS; i++) { /* wait for all: they use the account */
        sp_status one = sp_result(bookings[i], NULL, SP_FOREVER);
        if (status == SP_OK)
            status = one;
    }
    sp_release_all(bookings, BOOKINGS);
    return status;
}

/* The test.  The same seed gives the same order, and the same answer, each time. */
static void test_day(unsigned seed)
{
    sp_auto(sp_executor) pool = sp_inline_pool(.seed = seed);
    struct account account = { .balance = 0 };
    sp_status status = book_day(pool, &account);
    printf("seed %u:", seed);
    for (int i = 0; i < account.booked; i++)
        printf(" %+d", account.journal[i]);
    if (status != SP_OK)
        printf("; %s\n", sp_status_text(status));
    else
        printf(" = %d; %s\n", account.balance, account.lowest < 0 ? "overdrawn" : "fine");
}

/* Without a seed a task has run when its submit returns; with one it waits until somebody waits for it. */
static void look_after_submit(unsigned seed)
{
    sp_auto(sp_executor) pool = sp_inline_pool(.seed = seed);
    struct account account = { .balance = 0 };
    sp_auto(sp_future) booking = sp_submit(pool, book, .account = &account, .amount = 1);
    printf("seed %u: after the submit it is %s, ", seed, sp_future_done(booking) ? "done" : "queued");
    sp_status status = sp_result(booking, NULL, SP_FOREVER);
    printf("after the wait %s\n", status == SP_OK ? "done" : sp_status_text(status));
}

int main(void)
{
    look_after_submit(0);
    look_after_submit(1);
    for (unsigned seed = 0; seed < 5; seed++)
        test_day(seed);
    test_day(1);
    return 0;
}
