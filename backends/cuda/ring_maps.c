/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/ring.h"

#include "backends/cuda/cuda.h"
#include "core/error.h"

/*
 * Tensor maps of the ring, cluster and slice kernels: what their boxes are cut from. They are made
 * with the plan; an execution only puts its addresses in. Where a tensor cannot be described, the
 * kernel copies row by row: masked keys, rows that do not begin at multiples of 16 bytes, strides
 * that are negative or 0, blocks apart from each other whose last one is not whole (for slice: of
 * queries).
 */

enum { AXES = 5, ELEMENT = 2, ALIGNMENT = 16 };

static const int64_t longest_stride = INT64_C(1) << 40;

typedef struct map_shape {
    uint64_t extent[AXES];
    int64_t stride[AXES]; /* in bytes; of feature unused */
    uint32_t box[AXES];
} map_shape;

/* Whether a map can have such a shape. Where an axis has one index its stride is not used, but
   looked at. */
static bool fits(map_shape *shape)
{
    for (int i = 1; i < AXES; i++) {
        if (shape->extent[i] == 1)
            shape->stride[i] = ALIGNMENT;
        if (shape->stride[i] <= 0 || shape->stride[i] >= longest_stride ||
            shape->stride[i] % ALIGNMENT != 0)
            return false;
    }
    return true;
}

static CUresult encode(const mn_cuda_driver *driver, const map_shape *shape, monarch_dtype dtype,
                       uint64_t *map)
{
    CUtensorMap made;
    cuuint64_t extents[AXES], strides[AXES - 1];
    const cuuint32_t steps[AXES] = {1, 1, 1, 1, 1};
    for (int i = 0; i < AXES; i++)
        extents[i] = shape->extent[i];
    for (int i = 1; i < AXES; i++)
        strides[i - 1] = (cuuint64_t)shape->stride[i];
    memset(&made, 0, sizeof made);
    CUresult result = driver->tensor_map_encode(
        &made,
        dtype == MONARCH_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        AXES, (void *)(uintptr_t)MN_PANEL_ALIGNMENT, extents, strides, shape->box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    memcpy(map, &made, sizeof made);
    return result;
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

/* Boxes of `rows` of a block of q, k or v. If x is the token boxes end with the sequence, and what
   lies before and behind it is zero; if it is the position the same goes for a block. */
static map_shape block_shape(const mn_program *program, const mn_operand_params *o, const walk *w,
                             bool linear, int64_t rows)
{
    const monarch_problem *p = &program->problem;
    return (map_shape){.extent = {(uint64_t)o->width,
                                  (uint64_t)(linear ? p->tokens : p->block_size),
                                  linear ? 1 : (uint64_t)program->blocks,
                                  (uint64_t)(p->heads / o->head_share), (uint64_t)p->batch},
                       .stride = {0, w->token * ELEMENT, w->block * ELEMENT, o->head * ELEMENT,
                                  o->batch * ELEMENT},
                       .box = {MN_PANEL_FEATURES, (uint32_t)rows, 1, 1, 1}};
}

/* Queries of a position in all blocks; x begins with the first one that the first block has. */
static map_shape position_shape(const mn_program *program, const mn_operand_params *o,
                                const walk *w)
{
    const monarch_problem *p = &program->problem;
    return (map_shape){.extent = {(uint64_t)o->width, (uint64_t)(p->block_size - program->first),
                                  (uint64_t)program->blocks, (uint64_t)p->heads,
                                  (uint64_t)p->batch},
                       .stride = {0, w->token * ELEMENT, w->block * ELEMENT, o->head * ELEMENT,
                                  o->batch * ELEMENT},
                       .box = {MN_PANEL_FEATURES, 1, (uint32_t)program->blocks, 1, 1}};
}

/* Whether padding is in the first block and another one follows. */
static bool starts_short(const mn_program *program)
{
    return program->first > 0 && program->blocks > 1;
}

/* Whether one block's keys and values have maps of their own. */
static bool has_short_block(const mn_ring_params *ring)
{
    return ring->key_rows > 0 && ring->short_block >= 0;
}

/* What `whole`, the shape of a tensor's blocks, is for that block: its first row is that of the
   first token, padding before it has x below 0. */
static map_shape short_shape(const mn_program *program, map_shape whole)
{
    whole.extent[1] -= (uint64_t)(program->blocks * program->problem.block_size) -
                       (uint64_t)program->problem.tokens;
    whole.extent[2] = 1;
    return whole;
}

static map_shape slot_shape(const mn_program *program, const mn_ring_params *ring)
{
    const monarch_problem *p = &program->problem;
    uint64_t block = (uint64_t)p->block_size, blocks = (uint64_t)program->blocks;
    int64_t row = ring->tensor_bytes / (int64_t)(block * blocks);
    bool fp8 = p->intermediates == MONARCH_INTERMEDIATES_FP8;
    uint64_t tensors = fp8 ? 1 : 2 * (uint64_t)p->steps; /* of one, two elements count as one */
    return (map_shape){
        .extent = {(uint64_t)row / ELEMENT, block, blocks, tensors, (uint64_t)ring->slots},
        .stride = {0, row, (int64_t)block * row, ring->tensor_bytes, ring->slot_bytes},
        .box = {MN_PANEL_FEATURES, (uint32_t)block, 1, 1, 1}};
}

/* Without a workspace of slots its maps, the last ones, are not wanted, unless others are there. */
static int count_maps(const mn_ring_params *ring)
{
    return ring->slots > 0 || has_short_block(ring) ? MN_RING_MAPS : MN_RING_SLOTS;
}

/* The shapes of all maps; false where one tensor has none. */
static bool shapes_of(const mn_program *program, const mn_operand_params *operands,
                      mn_ring_params *ring, map_shape shapes[MN_RING_MAPS])
{
    static const int numbers[] = {MN_OPERAND_QUERIES, MN_OPERAND_KEYS, MN_OPERAND_VALUES};
    const monarch_problem *p = &program->problem;
    const bool whole = p->tokens == program->blocks * p->block_size;
    bool fit = !p->has_mask;
    for (int i = 0; i < 3; i++) {
        const mn_operand_params *o = &operands[numbers[i]];
        const walk w = walk_of(o, program);
        const int64_t rows = i == MN_RING_QUERIES ? ring->query_rows : ring->key_rows;
        const bool by_block = i != MN_RING_QUERIES && ring->key_rows > 0;
        ring->linear[i] = w.linear && !by_block;
        shapes[i] = block_shape(program, o, &w, ring->linear[i], rows > 0 ? rows : p->block_size);
        if (by_block && starts_short(program)) /* which has a map of its own */
            shapes[i].extent[2]--;
        fit = fit && o->vectors && (w.linear || whole || by_block);
        if (i == MN_RING_QUERIES)
            shapes[MN_RING_ACROSS] = position_shape(program, o, &w);
    }
    /* A box that begins a row early, or a row late, has zeros there. */
    shapes[MN_RING_ACROSS_SHORT] = shapes[MN_RING_ACROSS];
    shapes[MN_RING_ACROSS_SHORT].extent[1] = (uint64_t)p->block_size;
    shapes[MN_RING_ACROSS_SHORT].extent[2] -= program->blocks > 1;
    ring->short_y = program->first > 0 ? -1 : program->blocks == 1;
    if (ring->slots > 0) {
        shapes[MN_RING_SLOTS] = shapes[MN_RING_SLOTS_ACROSS] = slot_shape(program, ring);
        shapes[MN_RING_SLOTS_ACROSS].box[1] = 1;
        shapes[MN_RING_SLOTS_ACROSS].box[2] = (uint32_t)program->blocks;
    } else if (has_short_block(ring)) {
        shapes[MN_RING_KEYS_SHORT] = short_shape(program, shapes[MN_RING_KEYS]);
        shapes[MN_RING_VALUES_SHORT] = short_shape(program, shapes[MN_RING_VALUES]);
    }
    for (int i = 0; i < count_maps(ring); i++)
        fit = fit && fits(&shapes[i]);
    return fit;
}

monarch_status mn_cuda_ring_make_maps(const monarch_plan *plan, mn_cuda_launch *launch,
                                      monarch_error *error)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(plan->device)->driver;
    mn_ring_params *ring = &launch->ring;
    map_shape shapes[MN_RING_MAPS];
    ring->uses_maps = driver->tensor_map_encode && driver->tensor_map_replace &&
                      shapes_of(&plan->program, launch->params.block.operand, ring, shapes);
    for (int i = 0; i < count_maps(ring) && ring->uses_maps; i++)
        MN_TRY(mn_cuda_check(
            driver, encode(driver, &shapes[i], plan->program.problem.q.dtype, ring->maps[i]),
            "cuTensorMapEncodeTiled", error));
    return MONARCH_OK;
}

/*
 * Every map begins with an element of its tensor, not with padding before it: the copy engine of an
 * H100 looks at the first element's page even for a box that lies outside the tensor as a whole,
 * such as one of a panel without features, and fails where there is no memory.
 */

/* Address of the first token of an operand: that of its rows is the padding's. */
static uint64_t first_token(const mn_stage_params *block, const mn_operand_params *o)
{
    int64_t token = block->columns > 1 ? o->index : o->group;
    return o->address + (uint64_t)(block->first * token * ELEMENT);
}

/* That of the first block without padding before it. */
static uint64_t first_whole_block(const mn_stage_params *block, const mn_operand_params *o)
{
    return o->address + (block->first > 0 ? (uint64_t)(o->group * ELEMENT) : 0);
}

/* That of the block that padding is in. */
static uint64_t first_of_short(const mn_stage_params *block, const mn_ring_params *ring, int number)
{
    const mn_operand_params *o = &block->operand[number];
    return o->address +
           (uint64_t)((ring->short_block * o->group + block->first * o->index) * ELEMENT);
}

CUresult mn_cuda_ring_bind(const mn_cuda_driver *driver, const mn_stage_params *block,
                           mn_ring_params *ring)
{
    static const int operands[] = {MN_OPERAND_QUERIES, MN_OPERAND_KEYS, MN_OPERAND_VALUES};
    uint64_t address[MN_RING_MAPS];
    for (int i = 0; i < 3; i++) {
        const mn_operand_params *o = &block->operand[operands[i]];
        ring->uses_maps = ring->uses_maps && o->vectors; /* as it turns out */
        address[i] = ring->linear[i] ? first_token(block, o) : first_whole_block(block, o);
    }
    const mn_operand_params *q = &block->operand[MN_OPERAND_QUERIES];
    address[MN_RING_ACROSS] = first_token(block, q);
    address[MN_RING_ACROSS_SHORT] =
        block->groups > 1 ? first_whole_block(block, q) : address[MN_RING_ACROSS];
    if (has_short_block(ring)) {
        address[MN_RING_KEYS_SHORT] = first_of_short(block, ring, MN_OPERAND_KEYS);
        address[MN_RING_VALUES_SHORT] = first_of_short(block, ring, MN_OPERAND_VALUES);
    } else {
        address[MN_RING_SLOTS] = address[MN_RING_SLOTS_ACROSS] =
            block->operand[MN_OPERAND_STATS].address + (uint64_t)ring->counter_bytes;
    }
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < count_maps(ring) && ring->uses_maps && result == CUDA_SUCCESS; i++)
        result = driver->tensor_map_replace((CUtensorMap *)(void *)ring->maps[i],
                                            (void *)(uintptr_t)address[i]);
    return result;
}
