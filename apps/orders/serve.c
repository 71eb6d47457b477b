/* The simulator as a program of its own: its URL on standard output, then requests until Ctrl-C.

   SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <spool.h>

#include "options.h"
#include "report.h"
#include "server.h"
#include "stop.h"

static int serve(const struct server_settings *settings)
{
    char error[256];
    struct server *server = server_start(settings, error, sizeof error);
    if (server == NULL) {
        report("orders: %s", error);
        return EXIT_FAILED;
    }
    printf("%s\n", server_url(server));
    int status = EXIT_FAILED;
    if (fflush(stdout) == 0) {
        sp_event_wait(stop_event(), SP_FOREVER);
        status = 0;
    } else {
        report("orders: cannot write to standard output: %s", strerror(errno));
    }
    server_stop(server);
    return status;
}

int serve_main(int argc, char **argv)
{
    struct serve_options options;
    options_parse_serve(argc, argv, &options);
    if (!stop_watch("orders: answering what is waiting, then ending; Ctrl-C again ends at once")) {
        report("orders: cannot take signals: %s", strerror(errno));
        return EXIT_FAILED;
    }
    options.server.log = STDERR_FILENO;
    if (strcmp(options.log, "-") != 0)
        options.server.log = open(options.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (options.server.log < 0) {
        report("orders: cannot write %s: %s", options.log, strerror(errno));
        return EXIT_FAILED;
    }
    int status = serve(&options.server);
    if (options.server.log != STDERR_FILENO)
        close(options.server.log);
    return status;
}
