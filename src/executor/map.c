/* Ordered map: the inputs in chunks, each chunk one future, the results in input order.

   Results go to a block of the call's own and are copied to the caller's array when all is well: outputs are untouched on
   failure.  The call returns when no chunk can touch that block or the inputs any more, but for one case: in a task a wait for
   a chunk may be refused (it would close a cycle of waiting tasks; nobody can be had to run the chunk).  Then the call returns
   while a chunk may still run.  So the block belongs to the call and to the chunks together, and a task's inputs are copied.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include <spool/time.h>

#include "base/refcount.h"
#include "executor/executor.h"
#include "os/os.h"

_Static_assert(sizeof(sp_map_options) == 24 || sizeof(void *) != 8, "programs are compiled against it");

/* One call of sp_map. */
struct map {
    uint32_t refs;   /* atomic: the call's, and one for each chunk's future */
    uint64_t caller; /* set once: the id of its runner */
    const sp_task *task;
    const unsigned char *inputs; /* the caller's, or `copied` */
    unsigned char *copied;       /* NULL: not copied */
    unsigned char *results;      /* zeroed; a place for each input or, when nobody wants them, one for each chunk */
    bool wants_results;          /* set once */
    size_t n, chunksize, chunks;
    size_t first_failed; /* atomic; the lowest index of a chunk that has failed, at first `chunks` */
    sp_future **futures; /* of the chunks; the call's */
    sp_future **failed;  /* of the chunks: NULL, or the future of the input that failed; the chunk's until it is done */
    size_t *produced;    /* of the chunks: how many inputs were run; the chunk's until it is done */
    bool settled;        /* by the call, when all chunks are done: nothing is left to be dropped */
};

struct chunk {
    struct map *map;
    size_t index;
};

static const unsigned char *input_of(const struct map *map, size_t index)
{
    return map->inputs + index * map->task->arg_size;
}

static unsigned char *result_of(const struct map *map, size_t index)
{
    size_t place = map->wants_results ? index : index / map->chunksize;
    return map->results + place * map->task->result_size;
}

static size_t chunk_begin(const struct map *map, size_t chunk)
{
    return chunk * map->chunksize;
}

static size_t chunk_end(const struct map *map, size_t chunk)
{
    size_t begin = chunk_begin(map, chunk);
    return map->n - begin < map->chunksize ? map->n : begin + map->chunksize;
}

/* ---- the end of the block ---- */

/* Whatever was not given to a future or to the caller is dropped. */
static void drop_leftovers(const struct map *map)
{
    const sp_task *task = map->task;
    for (size_t i = 0; i < map->chunks; i++) {
        size_t begin = chunk_begin(map, i), end = chunk_end(map, i), run = begin + map->produced[i];
        for (size_t k = run; k < end; k++)
            sp__task_drop_foreign_arg(task, input_of(map, k));
        for (size_t k = begin; k < run && map->wants_results && task->drop_result != NULL; k++)
            sp__task_drop(task->drop_result, result_of(map, k));
        sp_future_release(map->failed[i]);
    }
}

static void deallocate(struct map *map)
{
    sp__os_free(map->produced);
    sp__os_free(map->failed);
    sp__os_free(map->futures);
    sp__os_free(map->results);
    sp__os_free(map->copied);
    sp__os_free(map);
}

static void let_go(struct map *map)
{
    if (!sp__ref_down(&map->refs))
        return;
    if (!map->settled)
        drop_leftovers(map);
    deallocate(map);
}

/* ---- a chunk ---- */

/* A future of the user's task that stands for the one input that failed: it has the argument and the error. */
static sp_future *failed_future(const sp_task *task, const void *input, sp_status status, sp_error *error)
{
    sp_future *future = sp__future_create(task, input, NULL, 1);
    if (future == NULL) {
        sp__task_drop_foreign_arg(task, input);
        sp__error_free(error);
        return &sp__future_no_memory;
    }
    (void)sp__future_fail(future, status, error);
    sp__future_mark_seen(future); /* sp_map returns its status */
    return future;
}

/* The chunk has failed: what comes after it in input order need not run. */
static void tell_later_chunks(struct map *map, size_t chunk)
{
    size_t first = sp__load_relaxed(&map->first_failed); /* relaxed: a hint that publishes nothing, here and below */
    while (chunk < first && !sp__cas_relaxed(&map->first_failed, &first, chunk))
        continue;
}

/* The call has cancelled this chunk, or one before it has failed. */
static bool is_needless(const struct map *map, size_t chunk)
{
    return sp__load_relaxed(&map->first_failed) < chunk || sp_cancel_requested(); /* relaxed: as above */
}

/* Nobody wants this result: make room for that of the next input. */
static void discard_result(const sp_task *task, void *result)
{
    if (task->drop_result != NULL)
        sp__task_drop(task->drop_result, result);
    memset(result, 0, task->result_size);
}

/* Run the task on `input`, a copy: that of the caller may lie on its stack, which is gone in the child of a task that forks. */
static sp_status run_copy(struct map *map, size_t chunk, size_t index, void *input)
{
    const sp_task *task = map->task;
    const struct sp__runner *self = sp__self();
    sp_error *error = NULL;
    sp_status status = sp__task_run(task, self->task, self->cancel_word, input, result_of(map, index), &error);
    map->produced[chunk]++;
    if (!map->wants_results)
        discard_result(task, result_of(map, index));
    if (status == SP_OK)
        sp__task_drop(task->drop_arg, input);
    else
        map->failed[chunk] = failed_future(task, input, status, error);
    return status;
}

static sp_status run_one(struct map *map, size_t chunk, size_t index)
{
    enum { ON_STACK = 768 };
    _Alignas(max_align_t) unsigned char on_stack[ON_STACK];
    size_t size = map->task->arg_size;
    void *input = size <= ON_STACK ? on_stack : sp__os_alloc(size);
    if (input == NULL)
        return SP_MEMORY_ERROR; /* it is left, as those behind it */
    memcpy(input, input_of(map, index), size);
    sp_status status = run_copy(map, chunk, index, input);
    if (input != on_stack)
        sp__os_free(input);
    return status;
}

static sp_status run_chunk(const void *arg, void *result)
{
    const struct chunk *chunk = arg;
    struct map *map = chunk->map;
    size_t end = chunk_end(map, chunk->index);
    const uint32_t process = sp__process_number;
    (void)result;
    for (size_t i = chunk_begin(map, chunk->index); i < end; i++) {
        if (process != sp__process_number) /* a task has forked: the rest is the parent's, perhaps the caller too */
            return sp__runner_on_stack(map->caller) ? SP_SHUT_DOWN : SP_CANCELLED;
        if (is_needless(map, chunk->index))
            return SP_CANCELLED;
        sp_status status = run_one(map, chunk->index, i);
        if (status != SP_OK) {
            tell_later_chunks(map, chunk->index);
            return status;
        }
    }
    return SP_OK;
}

static void drop_chunk(void *arg)
{
    const struct chunk *chunk = arg;
    let_go(chunk->map);
}

static const sp_task chunk_task = { .struct_size = sizeof chunk_task,
                                    .name = "chunk of sp_map",
                                    .file = __FILE__,
                                    .arg_size = sizeof(struct chunk),
                                    .run = run_chunk,
                                    .drop_arg = drop_chunk };

/* ---- the call ---- */

/* Only a task can be refused a wait. */
static bool copies_inputs(void)
{
    return sp__self()->pool != NULL;
}

static bool fill(struct map *map)
{
    size_t arg_size = map->task->arg_size, result_size = map->task->result_size;
    if ((result_size != 0 && map->n > SIZE_MAX / result_size) || (arg_size != 0 && map->n > SIZE_MAX / arg_size) ||
        map->chunks > SIZE_MAX / sizeof *map->futures)
        return false;
    map->results = sp__os_zalloc((map->wants_results ? map->n : map->chunks) * result_size);
    map->futures = sp__os_zalloc(map->chunks * sizeof *map->futures);
    map->failed = sp__os_zalloc(map->chunks * sizeof *map->failed);
    map->produced = sp__os_zalloc(map->chunks * sizeof *map->produced);
    if (map->results == NULL || map->futures == NULL || map->failed == NULL || map->produced == NULL)
        return false;
    if (!copies_inputs())
        return true;
    map->copied = sp__os_alloc(map->n * arg_size);
    if (map->copied == NULL)
        return false;
    memcpy(map->copied, map->inputs, map->n * arg_size);
    map->inputs = map->copied;
    return true;
}

/* NULL: no memory. */
static struct map *new_map(const sp_task *task, const void *inputs, size_t n, size_t chunksize, bool wants_results)
{
    struct map *map = sp__os_zalloc(sizeof *map);
    if (map == NULL)
        return NULL;
    map->refs = 1;
    map->caller = sp__self_id();
    map->task = task;
    map->inputs = inputs;
    map->n = n;
    map->chunksize = chunksize;
    map->wants_results = wants_results;
    map->chunks = map->first_failed = n / chunksize + (n % chunksize != 0);
    if (fill(map))
        return map;
    deallocate(map);
    return NULL;
}

static void submit_all(struct map *map, sp_executor *executor)
{
    for (size_t i = 0; i < map->chunks; i++) {
        sp__ref_up(&map->refs); /* without memory for the future the submit drops its argument at once */
        map->futures[i] = sp_executor_submit(executor, &chunk_task, &(struct chunk){ map, i });
    }
}

/* How the map went. */
struct outcome {
    sp_status status;
    size_t chunk; /* the first one, in input order, that failed or could not be waited for; or the number of chunks */
    bool refused; /* that chunk could not be waited for, or one behind it: they may still run */
};

/* Wait for the chunks in input order; after the first failure cancel the rest and wait until none runs any more. */
static struct outcome await_all(const struct map *map)
{
    struct outcome outcome = { SP_OK, map->chunks, false };
    for (size_t i = 0; i < map->chunks; i++) {
        sp_future *future = map->futures[i];
        if (outcome.status != SP_OK)
            (void)sp_future_cancel(future);
        sp_status status = sp__await(future, SP__NEVER);
        if (status != SP_OK)
            outcome.refused = true;
        else
            status = sp__future_status(future);
        if (status != SP_OK)
            sp__future_mark_seen(future); /* by what the call returns, also if it runs on and fails later */
        if (status != SP_OK && outcome.status == SP_OK) {
            outcome.status = status;
            outcome.chunk = i;
        }
    }
    return outcome;
}

/* The future of the first failure: made by the chunk, or here, when the chunk itself was refused, or cancelled before it had
   run all its inputs. */
static sp_future *first_failure(struct map *map, size_t index)
{
    sp_future *future = map->failed[index];
    map->failed[index] = NULL;
    if (future != NULL)
        return future;
    sp_error *error = sp__future_error_of(map->futures[index]);
    sp_error named = *error;
    named.task = map->task->name;
    size_t first_left = chunk_begin(map, index) + map->produced[index]++; /* its argument goes with the future */
    return failed_future(map->task, input_of(map, first_left), error->status, sp__error_copy(&named));
}

/* A wait was refused.  The inputs are with chunks that may run, so this future has none. */
static sp_future *refused_wait(const struct map *map, sp_status status)
{
    static const sp_task no_task = { .struct_size = sizeof no_task, .name = "sp_map", .file = __FILE__ };
    sp_error *error = sp__error_new(status, map->task->name, __FILE__, 0, sp_status_text(status));
    return failed_future(&no_task, &no_task, status, error);
}

/* Something failed.  Returns the future that tells of it. */
static sp_future *settle_failure(struct map *map, const struct outcome *outcome)
{
    if (outcome->refused)
        return refused_wait(map, outcome->status); /* the last chunk drops what is left */
    sp_future *future = first_failure(map, outcome->chunk);
    drop_leftovers(map);
    map->settled = true;
    return future;
}

static sp_status run_map(struct map *map, sp_executor *executor, void *ret_outputs, sp_future **ret_failed)
{
    submit_all(map, executor);
    struct outcome outcome = await_all(map);
    if (outcome.status == SP_OK) {
        if (ret_outputs != NULL)
            memcpy(ret_outputs, map->results, map->n * map->task->result_size);
        map->settled = true;
    } else {
        sp_future *future = settle_failure(map, &outcome);
        if (future == &sp__future_no_memory && ret_failed != NULL)
            outcome.status = SP_MEMORY_ERROR; /* what the future says that the caller is given */
        if (ret_failed != NULL)
            *ret_failed = future;
        else
            sp_future_release(future);
    }
    sp_release_all(map->futures, map->chunks);
    return outcome.status;
}

/* There is no memory to begin with. */
static void refuse(const sp_task *task, const void *inputs, size_t n, sp_future **ret_failed)
{
    for (size_t i = 0; i < n && task->drop_arg != NULL; i++) /* else n may be anything */
        sp__task_drop_foreign_arg(task, (const unsigned char *)inputs + i * task->arg_size);
    if (ret_failed != NULL)
        *ret_failed = &sp__future_no_memory;
}

sp_status sp_executor_map(sp_executor *executor, const sp_task *task, const void *inputs, void *ret_outputs, size_t n,
                          const sp_map_options *options)
{
    if (n == 0)
        return SP_OK;
    size_t chunksize = options != NULL && options->chunksize != 0 ? options->chunksize : 1;
    sp_future **ret_failed = options != NULL ? options->ret_failed : NULL;
    struct map *map = new_map(task, inputs, n, chunksize, ret_outputs != NULL);
    if (map == NULL) {
        refuse(task, inputs, n, ret_failed);
        return SP_MEMORY_ERROR;
    }
    (void)sp_executor_retain(executor); /* a task may release the handle by which we were called */
    sp_status status = run_map(map, executor, ret_outputs, ret_failed);
    let_go(map);
    sp_executor_release(executor);
    return status;
}
