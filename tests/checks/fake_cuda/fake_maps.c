/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <string.h>

#include "fake_map.h"

_Static_assert(sizeof(fake_map) <= sizeof(CUtensorMap), "a map must hold its description");

/* Tensor maps of the stand-in. */

static bool is_map(CUtensorMap *map, uint64_t address)
{
    return (uintptr_t)map % 64 == 0 && address % 16 == 0 && address != 0;
}

/* Axes that are not there have one index. */
static void describe(CUtensorMap *map, cuuint32_t rank, const void *address,
                     const cuuint64_t *extents, const cuuint64_t *strides, const cuuint32_t *box)
{
    fake_map made = {.address = (uintptr_t)address};
    for (cuuint32_t i = 0; i < FAKE_AXES; i++) {
        made.extent[i] = i < rank ? extents[i] : 1;
        made.box[i] = i < rank ? box[i] : 1;
        if (i > 0)
            made.stride[i - 1] = i < rank ? strides[i - 1] : 0;
    }
    memset(map, 0, sizeof *map);
    memcpy(map, &made, sizeof made);
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *extents, const cuuint64_t *strides,
                                const cuuint32_t *box, const cuuint32_t *steps,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
    (void)type, (void)interleave, (void)swizzle, (void)promotion, (void)fill;
    CUresult result = fake_enter_context("cuTensorMapEncodeTiled");
    bool right = is_map(map, (uintptr_t)address) && rank >= 1 && rank <= 5;
    for (cuuint32_t i = 0; right && i < rank; i++)
        right = extents[i] > 0 && extents[i] <= UINT64_C(1) << 32 && box[i] > 0 && box[i] <= 256 &&
                steps[i] == 1 &&
                (i == 0 || (strides[i - 1] > 0 && strides[i - 1] % 16 == 0 &&
                            strides[i - 1] < UINT64_C(1) << 40));
    if (result == CUDA_SUCCESS && !right)
        result = fake_misuse("cuTensorMapEncodeTiled", "shape", CUDA_ERROR_INVALID_VALUE);
    if (result == CUDA_SUCCESS)
        describe(map, rank, address, extents, strides, box);
    return fake_leave(result);
}

CUresult cuTensorMapReplaceAddress(CUtensorMap *map, void *address)
{
    CUresult result = fake_enter("cuTensorMapReplaceAddress");
    if (result == CUDA_SUCCESS && (!is_map(map, (uintptr_t)address) || map->opaque[0] == 0))
        result = fake_misuse("cuTensorMapReplaceAddress", "address", CUDA_ERROR_INVALID_VALUE);
    if (result == CUDA_SUCCESS)
        map->opaque[0] = (uintptr_t)address;
    return fake_leave(result);
}
