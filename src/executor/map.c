/* Ordered map: the inputs in chunks, each chunk one future, the results in input order.

   Results go to a block of the call's own and are copied to the caller's array when all is well: outputs are untouched on
   failure.  The call returns only after no chunk can touch that block or the inputs any more.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include <spool/time.h>

#include "executor/executor.h"
#include "os/os.h"
#include "park/runner.h"

_Static_assert(sizeof(sp_map_options) == 24 || sizeof(void *) != 8, "programs are compiled against it");

struct chunk {
    const sp_task *task;
    const unsigned char *inputs;
    unsigned char *results; /* zeroed */
    size_t n;
    sp_future **failed; /* of this chunk: where the future of the first failure goes */
    size_t *produced;   /* of this chunk: results that drop_result must be called for */
};

static void drop_input(const sp_task *task, const void *input)
{
    sp__task_drop_foreign_arg(task, input);
}

/* A future of the user's task that stands for the one input that failed: it has the argument and the error. */
static sp_future *failed_future(const sp_task *task, const void *input, sp_status status, sp_error *error)
{
    sp_future *future = sp__future_create(task, input, NULL, 1);
    if (future == NULL) {
        drop_input(task, input);
        sp__error_free(error);
        return &sp__future_no_memory;
    }
    (void)sp__future_fail(future, status, error);
    sp__future_mark_seen(future); /* sp_map returns its status */
    return future;
}

static sp_status run_chunk(const void *arg, void *result)
{
    const struct chunk *chunk = arg;
    const sp_task *task = chunk->task;
    struct sp__runner *self = sp__self();
    (void)result;
    for (size_t i = 0; i < chunk->n; i++) {
        const unsigned char *input = chunk->inputs + i * task->arg_size;
        sp_error *error = NULL;
        sp_status status = sp__task_run(task, self->task, self->cancel_word, input,
                                        chunk->results + i * task->result_size, &error);
        *chunk->produced = i + 1;
        if (status != SP_OK) {
            *chunk->failed = failed_future(task, input, status, error);
            return status;
        }
        drop_input(task, input);
    }
    return SP_OK;
}

/* Static: a worker may let go of a chunk's future after the call has returned. */
static const sp_task chunk_task = { .struct_size = sizeof chunk_task,
                                    .name = "chunk of sp_map",
                                    .file = __FILE__,
                                    .arg_size = sizeof(struct chunk),
                                    .run = run_chunk };

/* One call of sp_map. */
struct map {
    sp_executor *executor;
    const sp_task *task;
    const unsigned char *inputs;
    unsigned char *results;
    size_t n, chunksize, chunks;
    sp_future **futures; /* of the chunks */
    sp_future **failed;  /* of the chunks: NULL, or the future of the input that failed */
    size_t *produced;    /* of the chunks: inputs that were run */
};

static size_t chunk_length(const struct map *map, size_t index)
{
    size_t begin = index * map->chunksize;
    return map->n - begin < map->chunksize ? map->n - begin : map->chunksize;
}

static bool allocate(struct map *map)
{
    bool fits = map->task->result_size == 0 || map->n <= SIZE_MAX / map->task->result_size;
    map->results = fits ? sp__os_zalloc(map->n * map->task->result_size) : NULL;
    map->futures = sp__os_zalloc(map->chunks * sizeof *map->futures);
    map->failed = sp__os_zalloc(map->chunks * sizeof *map->failed);
    map->produced = sp__os_zalloc(map->chunks * sizeof *map->produced);
    return map->results != NULL && map->futures != NULL && map->failed != NULL && map->produced != NULL;
}

static void deallocate(struct map *map)
{
    sp__os_free(map->produced);
    sp__os_free(map->failed);
    sp__os_free(map->futures);
    sp__os_free(map->results);
}

static void submit_all(struct map *map)
{
    for (size_t i = 0; i < map->chunks; i++) {
        size_t begin = i * map->chunksize;
        struct chunk chunk = { .task = map->task,
                               .inputs = map->inputs + begin * map->task->arg_size,
                               .results = map->results + begin * map->task->result_size,
                               .n = chunk_length(map, i),
                               .failed = &map->failed[i],
                               .produced = &map->produced[i] };
        map->futures[i] = sp_executor_submit(map->executor, &chunk_task, &chunk);
    }
}

/* Wait for the chunks in input order; after the first failure cancel the rest and wait until none runs any more.  Returns
   the index of the chunk that failed first in input order, or the number of chunks. */
static size_t await_all(struct map *map, sp_status *ret_status)
{
    size_t failed = map->chunks;
    for (size_t i = 0; i < map->chunks; i++) {
        if (failed < map->chunks)
            (void)sp_future_cancel(map->futures[i]);
        sp_status status = sp_future_result(map->futures[i], NULL, 0, SP_FOREVER);
        if (status != SP_OK && failed == map->chunks) {
            failed = i;
            *ret_status = status;
        }
    }
    return failed;
}

/* The future of the first failure: made by the chunk, or here, when the chunk itself was refused or cancelled. */
static sp_future *first_failure(struct map *map, size_t index)
{
    sp_future *future = map->failed[index];
    map->failed[index] = NULL;
    if (future != NULL)
        return future;
    sp_error *error = sp__future_error_of(map->futures[index]);
    sp_error named = *error;
    named.task = map->task->name;
    map->produced[index] = 1; /* its argument goes with the future */
    return failed_future(map->task, map->inputs + index * map->chunksize * map->task->arg_size, error->status,
                         sp__error_copy(&named));
}

/* After a failure: whatever was not given to a future is dropped here. */
static void drop_leftovers(const struct map *map)
{
    const sp_task *task = map->task;
    for (size_t i = 0; i < map->chunks; i++) {
        size_t begin = i * map->chunksize, length = chunk_length(map, i);
        for (size_t k = map->produced[i]; k < length; k++)
            drop_input(task, map->inputs + (begin + k) * task->arg_size);
        for (size_t k = 0; k < map->produced[i] && task->drop_result != NULL; k++)
            task->drop_result(map->results + (begin + k) * task->result_size);
        sp_future_release(map->failed[i]);
    }
}

static sp_status run_map(struct map *map, void *ret_outputs, sp_future **ret_failed)
{
    sp_status status = SP_OK;
    submit_all(map);
    size_t failed = await_all(map, &status);
    if (failed == map->chunks) {
        memcpy(ret_outputs, map->results, map->n * map->task->result_size);
    } else {
        sp_future *future = first_failure(map, failed);
        drop_leftovers(map);
        if (future == &sp__future_no_memory && ret_failed != NULL)
            status = SP_MEMORY_ERROR; /* what the future says that the caller is given */
        if (ret_failed != NULL)
            *ret_failed = future;
        else
            sp_future_release(future);
    }
    sp_release_all(map->futures, map->chunks);
    return status;
}

/* There is no memory to begin with. */
static void refuse(const struct map *map, sp_future **ret_failed)
{
    for (size_t i = 0; i < map->n; i++)
        drop_input(map->task, map->inputs + i * map->task->arg_size);
    if (ret_failed != NULL)
        *ret_failed = &sp__future_no_memory;
}

sp_status sp_executor_map(sp_executor *executor, const sp_task *task, const void *inputs, void *ret_outputs, size_t n,
                          const sp_map_options *options)
{
    if (n == 0)
        return SP_OK;
    size_t chunksize = options != NULL && options->chunksize != 0 ? options->chunksize : 1;
    struct map map = { .executor = executor,
                       .task = task,
                       .inputs = inputs,
                       .n = n,
                       .chunksize = chunksize,
                       .chunks = n / chunksize + (n % chunksize != 0) };
    sp_status status = SP_MEMORY_ERROR;
    if (allocate(&map))
        status = run_map(&map, ret_outputs, options != NULL ? options->ret_failed : NULL);
    else
        refuse(&map, options != NULL ? options->ret_failed : NULL);
    deallocate(&map);
    return status;
}
