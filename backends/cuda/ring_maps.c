/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/ring.h"

#include "backends/cuda/cuda.h"

/*
 * Tensor maps of the ring kernel: what its boxes are cut from. They are made with the plan; an
 * execution only puts its addresses in. Where a tensor cannot be described, the kernel copies row
 * by row: masked keys, rows that do not begin at multiples of 16 bytes, strides that are negative
 * or 0, blocks apart from each other whose last one is not whole.
 */

enum { AXES = 5, ELEMENT = 2, ALIGNMENT = 16 };

static const int64_t longest_stride = INT64_C(1) << 40;

typedef struct map_shape {
    uint64_t extent[AXES];
    int64_t stride[AXES]; /* in bytes; of feature unused */
    uint32_t box[AXES];
} map_shape;

static bool encode(const mn_cuda_driver *driver, const map_shape *shape, monarch_dtype dtype,
                   uint64_t *map)
{
    CUtensorMap made;
    cuuint64_t strides[AXES - 1];
    const cuuint32_t steps[AXES] = {1, 1, 1, 1, 1};
    for (int i = 1; i < AXES; i++) {
        /* Where there is one index its stride is not used, but looked at. */
        int64_t stride = shape->extent[i] > 1 ? shape->stride[i] : ALIGNMENT;
        if (stride <= 0 || stride >= longest_stride || stride % ALIGNMENT != 0)
            return false;
        strides[i - 1] = (cuuint64_t)stride;
    }
    CUresult result = driver->tensor_map_encode(
        &made,
        dtype == MONARCH_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        AXES, (void *)(uintptr_t)256, (const cuuint64_t *)shape->extent, strides, shape->box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    memcpy(map, &made, sizeof made);
    return result == CUDA_SUCCESS;
}

/* Strides of an operand from token to token of a block and from block to block, in elements. */
typedef struct walk {
    int64_t token, block;
    bool linear; /* blocks follow each other without a gap */
} walk;

static walk walk_of(const mn_operand_params *o, const mn_program *program)
{
    int64_t block = program->problem.block_size;
    walk w = {o->index, o->group, false};
    w.token = block > 1 ? w.token : w.block;
    w.block = program->blocks > 1 ? w.block : block * w.token;
    w.linear = w.block == block * w.token;
    return w;
}

static bool is_whole(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    return p->tokens == program->blocks * p->block_size;
}

/* Rows of a block of q, k or v: of a linear walk x is the token, so that boxes end with the
   sequence, and what lies before and behind it is zero. */
static bool map_blocks(const mn_cuda_driver *driver, const mn_program *program,
                       const mn_operand_params *o, int number, mn_ring_params *ring)
{
    const monarch_problem *p = &program->problem;
    const walk w = walk_of(o, program);
    uint64_t rows = (uint64_t)(w.linear ? p->tokens : p->block_size);
    const map_shape shape = {
        .extent = {(uint64_t)o->width, rows, w.linear ? 1 : (uint64_t)program->blocks,
                   (uint64_t)(p->heads / o->head_share), (uint64_t)p->batch},
        .stride = {0, w.token * ELEMENT, w.block * ELEMENT, o->head * ELEMENT, o->batch * ELEMENT},
        .box = {MN_PANEL_FEATURES, (uint32_t)p->block_size, 1, 1, 1}};
    ring->linear[number] = w.linear;
    return (w.linear || is_whole(program)) &&
           encode(driver, &shape, p->q.dtype, ring->maps[number]);
}

/* Queries of a position: all blocks, and all but the one that padding left without it. */
static bool map_positions(const mn_cuda_driver *driver, const mn_program *program,
                          const mn_operand_params *o, mn_ring_params *ring)
{
    const monarch_problem *p = &program->problem;
    const walk w = walk_of(o, program);
    uint64_t blocks = (uint64_t)program->blocks;
    map_shape shape = {
        .extent = {(uint64_t)o->width, (uint64_t)p->block_size, blocks, (uint64_t)p->heads,
                   (uint64_t)p->batch},
        .stride = {0, w.token * ELEMENT, w.block * ELEMENT, o->head * ELEMENT, o->batch * ELEMENT},
        .box = {MN_PANEL_FEATURES, 1, (uint32_t)blocks, 1, 1}};
    if (!(w.linear || is_whole(program)) ||
        !encode(driver, &shape, p->q.dtype, ring->maps[MN_RING_ACROSS]))
        return false;
    /* A box that begins a row early, or a row late, has zeros there. */
    shape.extent[2] = blocks > 1 ? blocks - 1 : 1;
    ring->short_y = program->first > 0 ? -1 : blocks == 1;
    return encode(driver, &shape, p->q.dtype, ring->maps[MN_RING_ACROSS_SHORT]);
}

static bool map_slots(const mn_cuda_driver *driver, const mn_program *program, int panels,
                      mn_ring_params *ring)
{
    const monarch_problem *p = &program->problem;
    uint32_t block = (uint32_t)p->block_size, blocks = (uint32_t)program->blocks;
    const int64_t row = panels * MN_PANEL_ROW;
    map_shape shape = {.extent = {(uint64_t)(panels * MN_PANEL_FEATURES), block, blocks,
                                  2 * (uint64_t)p->steps, (uint64_t)ring->slots},
                       .stride = {0, row, block * row, ring->tensor_bytes, ring->slot_bytes},
                       .box = {MN_PANEL_FEATURES, block, 1, 1, 1}};
    if (!encode(driver, &shape, p->q.dtype, ring->maps[MN_RING_SLOTS]))
        return false;
    shape.box[1] = 1;
    shape.box[2] = blocks;
    return encode(driver, &shape, p->q.dtype, ring->maps[MN_RING_SLOTS_ACROSS]);
}

void mn_cuda_ring_make_maps(const monarch_plan *plan, const mn_stage_params *block, int panels,
                            mn_ring_params *ring)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(plan->device)->driver;
    const mn_operand_params *o = block->operand;
    const mn_program *program = &plan->program;
    ring->uses_maps = driver->tensor_map_encode && driver->tensor_map_replace &&
                      !program->problem.has_mask && o[MN_OPERAND_QUERIES].vectors &&
                      o[MN_OPERAND_KEYS].vectors && o[MN_OPERAND_VALUES].vectors &&
                      map_blocks(driver, program, &o[MN_OPERAND_QUERIES], MN_RING_QUERIES, ring) &&
                      map_blocks(driver, program, &o[MN_OPERAND_KEYS], MN_RING_KEYS, ring) &&
                      map_blocks(driver, program, &o[MN_OPERAND_VALUES], MN_RING_VALUES, ring) &&
                      map_positions(driver, program, &o[MN_OPERAND_QUERIES], ring) &&
                      map_slots(driver, program, panels, ring);
}

/* Address of the first token of a linear operand: that of its rows is the padding's. */
static uint64_t first_token(const mn_stage_params *block, const mn_operand_params *o, bool linear)
{
    int64_t token = block->columns > 1 ? o->index : o->group;
    return o->address + (linear ? (uint64_t)(block->first * token * ELEMENT) : 0);
}

void mn_cuda_ring_bind(const mn_cuda_driver *driver, const mn_stage_params *block,
                       mn_ring_params *ring)
{
    static const int operands[] = {MN_OPERAND_QUERIES, MN_OPERAND_KEYS, MN_OPERAND_VALUES};
    uint64_t address[MN_RING_MAPS];
    if (!ring->uses_maps)
        return;
    for (int i = 0; i < 3; i++) {
        const mn_operand_params *o = &block->operand[operands[i]];
        if (!o->vectors) /* as it turns out */
            ring->uses_maps = 0;
        address[i] = first_token(block, o, ring->linear[i]);
    }
    const mn_operand_params *q = &block->operand[MN_OPERAND_QUERIES];
    address[MN_RING_ACROSS] = address[MN_RING_ACROSS_SHORT] = q->address;
    if (ring->short_y < 0)
        address[MN_RING_ACROSS_SHORT] += (uint64_t)(q->group * ELEMENT);
    address[MN_RING_SLOTS] = address[MN_RING_SLOTS_ACROSS] =
        block->operand[MN_OPERAND_STATS].address + (uint64_t)ring->counter_bytes;
    for (int i = 0; i < MN_RING_MAPS && ring->uses_maps; i++)
        if (driver->tensor_map_replace((CUtensorMap *)ring->maps[i],
                                       (void *)(uintptr_t)address[i]) != CUDA_SUCCESS)
            ring->uses_maps = 0;
}
