/* SPDX-License-Identifier: Apache-2.0 */
#include "boxes.h"

#include <string.h>

#include "machine.h"

namespace soft
{

enum { ROW = 128, UNIT = 16, ELEMENT = 2 };

box box_of(const void *map, const place5 &first)
{
    box b = {};
    if (reinterpret_cast<uintptr_t>(map) % 64 != 0)
        fail("a tensor map that does not begin at a multiple of 64 bytes");
    memcpy(&b.map, map, sizeof b.map);
    b.first = first;
    b.bytes = ELEMENT;
    for (unsigned extent : b.map.box)
        b.bytes *= extent;
    if (b.map.box[0] * ELEMENT != ROW || b.bytes == 0)
        fail("a box of other rows than the device copies");
    return b;
}

/* Row `row` of the box; NULL if it is outside the tensor. */
static const char *source_row(const box &b, unsigned row)
{
    uint64_t address = b.map.address;
    for (int axis = 1; axis < FAKE_AXES; axis++) {
        const int64_t at = b.first.at[axis] + (int64_t)(row % b.map.box[axis]);
        row /= b.map.box[axis];
        if (at < 0 || (uint64_t)at >= b.map.extent[axis])
            return nullptr;
        address += (uint64_t)at * b.map.stride[axis - 1];
    }
    return reinterpret_cast<const char *>(address);
}

/* As the device does, even for a box that lies outside the tensor as a whole: memory with guards
   around it finds out where a map begins outside its tensor. */
static void touch_first_element(const box &b)
{
    (void)*reinterpret_cast<const volatile char *>(b.map.address);
}

void copy_box(char *target, uint32_t offset, const box &b)
{
    if (offset % ROW != 0)
        fail("a box that does not go to a multiple of 128 bytes");
    touch_first_element(b);
    for (unsigned row = 0; row < b.bytes / ROW; row++) {
        const char *from = source_row(b, row);
        char line[ROW] = {};
        for (int f = 0; from && f < ROW / ELEMENT; f++) {
            const int64_t feature = (int64_t)b.first.at[0] + f;
            if (feature >= 0 && (uint64_t)feature < b.map.extent[0])
                memcpy(line + f * ELEMENT, from + feature * ELEMENT, ELEMENT);
        }
        for (unsigned unit = 0; unit < ROW / UNIT; unit++) {
            const unsigned exchanged = unit ^ ((offset / ROW + row) & 7);
            memcpy(target + row * ROW + exchanged * UNIT, line + unit * UNIT, UNIT);
        }
    }
}

} // namespace soft
