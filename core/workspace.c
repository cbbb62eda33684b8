/* SPDX-License-Identifier: Apache-2.0 */
#include "core/workspace.h"

#include <stdbool.h>

#include "core/alloc.h"
#include "core/error.h"

monarch_status mn_workspace_init(mn_workspace *workspace, uint32_t capacity,
                                 const monarch_allocator *allocator, monarch_error *error)
{
    memset(workspace, 0, sizeof *workspace);
    workspace->bookings = mn_alloc_array(allocator, capacity, sizeof *workspace->bookings);
    if (!workspace->bookings)
        return mn_fail_memory(error, "the workspace ledger");
    workspace->capacity = capacity;
    return MONARCH_OK;
}

void mn_workspace_free(mn_workspace *workspace, const monarch_allocator *allocator)
{
    mn_free(allocator, workspace->bookings);
    workspace->bookings = NULL;
}

uint32_t mn_workspace_book(mn_workspace *workspace, uint64_t bytes, uint32_t first, uint32_t last)
{
    workspace->bookings[workspace->count] =
        (mn_booking){.bytes = bytes, .first = first, .last = last};
    return workspace->count++;
}

/* What a booking occupies: its bytes, a red zone behind them, rounded up to the alignment. */
static uint64_t footprint(const mn_booking *booking)
{
    uint64_t mask = MN_WORKSPACE_ALIGNMENT - 1;
    return (booking->bytes + MN_WORKSPACE_RED_ZONE + mask) & ~mask;
}

static bool live_together(const mn_booking *a, const mn_booking *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `booking` meets none of the first `placed` ones of `order`. */
static uint64_t lowest_offset(const mn_workspace *workspace, const mn_booking *booking,
                              const bool *placed)
{
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < workspace->count; i++) {
            const mn_booking *other = &workspace->bookings[i];
            if (!placed[i] || other->bytes == 0 || !live_together(booking, other))
                continue;
            uint64_t end = other->offset + footprint(other);
            if (offset < end && other->offset < offset + footprint(booking)) {
                offset = end;
                moved = true;
            }
        }
    }
    return offset;
}

void mn_workspace_pack(mn_workspace *workspace)
{
    /* Largest first: small pieces then fill the holes that large ones leave. */
    bool placed[MN_WORKSPACE_MAX] = {false};
    workspace->size = 0;
    for (uint32_t n = 0; n < workspace->count; n++) {
        uint32_t largest = workspace->count;
        for (uint32_t i = 0; i < workspace->count; i++)
            if (!placed[i] && (largest == workspace->count ||
                               workspace->bookings[i].bytes > workspace->bookings[largest].bytes))
                largest = i;
        mn_booking *booking = &workspace->bookings[largest];
        booking->offset = booking->bytes > 0 ? lowest_offset(workspace, booking, placed) : 0;
        placed[largest] = true;
        uint64_t end = booking->offset + footprint(booking);
        if (booking->bytes > 0 && end > workspace->size)
            workspace->size = end;
    }
}
