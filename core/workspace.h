/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_WORKSPACE_H
#define MN_CORE_WORKSPACE_H

#include <monarch/plan.h>

/*
 * The workspace ledger. At plan time every piece of scratch memory is booked with the steps during
 * which it lives; packing gives pieces that live at different times the same bytes. At run time
 * an entry's offset is all that is needed. In debug builds red zones lie between entries.
 */

enum {
    MN_WORKSPACE_ALIGNMENT = 256,
    MN_WORKSPACE_MAX =
        8 * MONARCH_MAX_STEPS, /* three slots and one run a stage, two stages a step */
#ifdef NDEBUG
    MN_WORKSPACE_RED_ZONE = 0
#else
    MN_WORKSPACE_RED_ZONE = 256
#endif
};

typedef struct mn_booking {
    uint64_t bytes, offset;
    uint32_t first, last; /* steps, both included */
} mn_booking;

typedef struct mn_workspace {
    mn_booking *bookings;
    uint32_t count, capacity;
    uint64_t size; /* after packing */
} mn_workspace;

/* Room for `capacity` bookings. Errors: OUT_OF_MEMORY. */
monarch_status mn_workspace_init(mn_workspace *workspace, uint32_t capacity,
                                 const monarch_allocator *allocator, monarch_error *error);

void mn_workspace_free(mn_workspace *workspace, const monarch_allocator *allocator);

/* Books bytes that live from step `first` to step `last`; 0 bytes are allowed. */
uint32_t mn_workspace_book(mn_workspace *workspace, uint64_t bytes, uint32_t first, uint32_t last);

/* Gives every booking its offset, aligned to MN_WORKSPACE_ALIGNMENT. */
void mn_workspace_pack(mn_workspace *workspace);

#endif
