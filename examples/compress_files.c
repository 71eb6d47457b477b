/* Eight large files, compressed at once: the quiz of the lesson "Concurrency: Threading, Multiprocessing & the GIL".  Python
   wants a pool of processes for that; here a pool with a thread for each CPU does it.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { FILES = 8, LINES = 30000, BLOCK = 16 * 1024 };

struct file {
    int number;
    char plain[64], packed[64]; /* paths */
};
struct sizes {
    long before, after;
};

static sp_status pack(FILE *in, gzFile out)
{
    char block[BLOCK];
    size_t n;
    while ((n = fread(block, 1, sizeof block, in)) > 0)
        if (gzwrite(out, block, (unsigned)n) == 0)
            return sp_raise(SP_OS_ERROR, "cannot write");
    return ferror(in) ? sp_raise_errno("cannot read") : SP_OK;
}

/* The task. */
static sp_status compress_file(const struct file *file, struct sizes *ret)
{
    FILE *in = fopen(file->plain, "r");
    gzFile out = gzopen(file->packed, "wb");
    sp_status status = in != NULL && out != NULL ? pack(in, out) : sp_raise_errno("cannot open");
    if (in != NULL)
        fclose(in);
    if (out != NULL && gzclose(out) != Z_OK && status == SP_OK)
        status = sp_raise(SP_OS_ERROR, "cannot write to the end");
    struct stat before, after;
    if (status == SP_OK && (stat(file->plain, &before) != 0 || stat(file->packed, &after) != 0))
        status = sp_raise_errno("cannot tell the sizes");
    if (status == SP_OK)
        *ret = (struct sizes){ (long)before.st_size, (long)after.st_size };
    return status;
}
SP_TASK(compress_file, struct file, struct sizes);

/* What stands in a file: text that is worth compressing. */
static void make_line(char line[64], int file, int number)
{
    snprintf(line, 64, "File %d says in line %d that there is more\n", file, number);
}

static bool write_plain(const struct file *file)
{
    FILE *out = fopen(file->plain, "w");
    if (out == NULL)
        return false;
    for (int i = 0; i < LINES; i++) {
        char line[64];
        make_line(line, file->number, i);
        fputs(line, out);
    }
    bool written = !ferror(out);
    return fclose(out) == 0 && written;
}

static bool is_whole(const struct file *file)
{
    gzFile in = gzopen(file->packed, "rb");
    bool same = in != NULL;
    char line[64], wanted[64];
    for (int i = 0; i < LINES && same; i++) {
        make_line(wanted, file->number, i);
        same = gzgets(in, line, sizeof line) != NULL && strcmp(line, wanted) == 0;
    }
    same = same && gzgets(in, line, sizeof line) == NULL; /* and no more */
    return gzclose(in) == Z_OK && same;
}

static bool compress_all(const struct file *files)
{
    struct sizes sizes[FILES];
    sp_auto(sp_future) failed = NULL;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = sp_cpu_count()); /* more would only take turns */
    double begin = sp_monotonic();
    if (sp_map(pool, compress_file, files, sizes, FILES, .ret_failed = &failed) != SP_OK) {
        printf("failed: %s\n", sp_future_error(failed)->message);
        return false;
    }
    printf("%d files in %.2f s; CPUs: %u\n", FILES, sp_monotonic() - begin, sp_cpu_count());
    for (int i = 0; i < FILES; i++)
        printf("file %d: %ld bytes, then %s, and %s\n", files[i].number, sizes[i].before,
               sizes[i].after < sizes[i].before / 2 ? "less than half" : "not much less",
               is_whole(&files[i]) ? "all there" : "broken");
    return true;
}

int main(void)
{
    char directory[] = "/tmp/compress_files.XXXXXX";
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    struct file files[FILES];
    bool ok = true;
    for (int i = 0; i < FILES; i++) {
        files[i].number = i + 1;
        snprintf(files[i].plain, sizeof files[i].plain, "%s/file-%d.txt", directory, i + 1);
        snprintf(files[i].packed, sizeof files[i].packed, "%s/file-%d.txt.gz", directory, i + 1);
        ok = ok && write_plain(&files[i]);
    }
    ok = ok && compress_all(files);
    for (int i = 0; i < FILES; i++) {
        unlink(files[i].plain);
        unlink(files[i].packed);
    }
    rmdir(directory);
    return ok ? 0 : 1;
}
