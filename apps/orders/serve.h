/* `orders serve`.  SPDX-License-Identifier: MIT */
#ifndef ORDERS_SERVE_H
#define ORDERS_SERVE_H

/* argv[0] is for messages.  The exit status. */
int serve_main(int argc, char **argv);

#endif
