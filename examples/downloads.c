/* Three downloads at once, which end in the order of their lengths: the first program of the lesson that compares threads
   to workers at one desk.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include <stdio.h>

#define SECOND 0.1 /* ten times faster than the document's */

struct download {
    const char *file_name;
    double seconds;
};
static sp_status download(const struct download *in, sp_none *ret)
{
    (void)ret;
    sp_sleep(in->seconds); /* simulates network delay */
    printf("Finished: %s\n", in->file_name);
    return SP_OK;
}
SP_TASK(download, struct download, sp_none);

int main(void)
{
    static const struct download files[] = { { "video.mp4", 3 * SECOND },
                                             { "music.mp3", 2 * SECOND },
                                             { "photo.jpg", 1 * SECOND } };
    sp_thread *threads[3];
    for (int i = 0; i < 3; i++) {
        printf("Starting download: %s\n", files[i].file_name);
        threads[i] = sp_start(download, .file_name = files[i].file_name, .seconds = files[i].seconds);
    }
    for (int i = 0; i < 3; i++) {
        if (sp_join(threads[i], NULL, SP_FOREVER) != SP_OK)
            return 1;
        sp_thread_release(threads[i]);
    }
    printf("All downloads complete!\n");
    return 0;
}
