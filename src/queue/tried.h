/* What one try to put or get says.  For C11 and C++03, see ring_protocol.h.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_TRIED_H
#define SP_QUEUE_TRIED_H

enum sp__tried {
    SP__TRY_DONE,
    SP__TRY_NOT_NOW, /* full, or empty: at some moment of the call */
    SP__TRY_BUSY,    /* another thread is between its claim and its copy: look again in a moment */
    SP__TRY_CLOSED,  /* nothing is put any more; a getter is told when nothing is left */
    SP__TRY_NO_MEMORY
};

#endif
