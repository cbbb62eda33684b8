/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arguments.h"

#include <inttypes.h>

#include "core/abi.h"
#include "core/error.h"
#include "core/layout.h"
#include "core/workspace.h"

static const char *kind_name(monarch_memory_kind kind)
{
    static const char *const names[] = {"NONE",   "HOST", "BUFFER", "CUDA",
                                        "OPENCL", "SVM",  "VULKAN"};
    return (uint32_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

/* Whether handles of this kind are addresses; the others are opaque, and begin at offset 0. */
static bool is_pointer(monarch_memory_kind kind)
{
    return kind == MONARCH_MEMORY_HOST || kind == MONARCH_MEMORY_CUDA || kind == MONARCH_MEMORY_SVM;
}

static uint64_t address_of(const monarch_memory *memory)
{
    return (is_pointer(memory->kind) ? memory->handle : 0) + memory->offset;
}

/* Replaces a library buffer by the native memory behind it, with its length. */
static monarch_status resolve_buffer(const monarch_plan *plan, const char *name,
                                     monarch_memory *memory, monarch_error *error)
{
    const monarch_buffer *buffer = (const monarch_buffer *)(uintptr_t)memory->handle;
    if (!buffer)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s is a buffer that is NULL; it must not be", name);
    if (buffer->device != plan->device)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s is a buffer of another device than the plan's", name);
    if (memory->offset > buffer->size)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s has offset %" PRIu64 " in a buffer of %" PRIu64 " bytes", name,
                       memory->offset, buffer->size);
    uint64_t left = buffer->size - memory->offset;
    memory->size = memory->size > 0 && memory->size < left ? memory->size : left;
    memory->kind = buffer->memory.kind;
    memory->handle = buffer->memory.handle;
    memory->offset += buffer->memory.offset;
    return MONARCH_OK;
}

/*
 * Resolves `memory` and checks that [extent) around it can be touched. Whether a length is known
 * is told by `bounded`: a library buffer of 0 bytes has one, a bare pointer may not.
 */
static monarch_status bind_memory(const monarch_plan *plan, const char *name, mn_extent extent,
                                  uint64_t alignment, monarch_memory *memory, monarch_error *error)
{
    if (memory->kind == MONARCH_MEMORY_NONE)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s is missing; the plan needs it", name);
    bool buffer = memory->kind == MONARCH_MEMORY_BUFFER;
    uint64_t before = memory->offset;
    if (buffer)
        MN_TRY(resolve_buffer(plan, name, memory, error));
    bool bounded = buffer || memory->size > 0;
    if ((uint32_t)memory->kind > 31 || !(plan->device->memory_kinds >> memory->kind & 1u))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s is %s memory; a %s device cannot use it", name,
                       kind_name(memory->kind), plan->device->info.backend);
    if (memory->handle == 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT, "args.%s is a NULL pointer", name);
    bool starts = buffer || !is_pointer(memory->kind);
    if (is_pointer(memory->kind) && memory->handle + memory->offset < memory->offset)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s has offset %" PRIu64 ", which leaves the address space", name,
                       memory->offset);
    if (extent.begin < 0 && starts && (uint64_t)-extent.begin > before)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s reaches %" PRId64
                       " bytes before its address, which is only %" PRIu64 " bytes into its buffer",
                       name, -extent.begin, before);
    if (bounded && extent.end > 0 && (uint64_t)extent.end > memory->size)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s has %" PRIu64 " bytes from its offset on; the plan needs %" PRId64,
                       name, memory->size, extent.end);
    if (address_of(memory) % alignment != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.%s is at an address that is not a multiple of %" PRIu64 " bytes", name,
                       alignment);
    return MONARCH_OK;
}

static bool ranges_meet(const monarch_memory *a, mn_extent x, const monarch_memory *b, mn_extent y)
{
    if (a->kind != b->kind || x.begin == x.end || y.begin == y.end)
        return false;
    if (!is_pointer(a->kind) && a->handle != b->handle)
        return false;
    /* Extents stay below 2^62 bytes, so tensors farther apart than that cannot meet. */
    const int64_t far = INT64_C(1) << 62;
    int64_t apart = (int64_t)(address_of(b) - address_of(a));
    if (apart >= far || apart <= -far)
        return false;
    return x.begin < apart + y.end && apart + y.begin < x.end;
}

static monarch_status check_apart(const char *first, const monarch_memory *a, mn_extent x,
                                  const char *second, const monarch_memory *b, mn_extent y,
                                  monarch_error *error)
{
    if (!ranges_meet(a, x, b, y))
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "args.%s spans bytes that args.%s spans too; they must not overlap", first,
                   second);
}

static monarch_status bind_tensors(const monarch_plan *plan, mn_bindings *bindings,
                                   mn_extent extents[MN_TENSOR_COUNT], monarch_error *error)
{
    const monarch_problem *p = &plan->program.problem;
    monarch_memory *memory[MN_TENSOR_COUNT] = {&bindings->q, &bindings->k, &bindings->v,
                                               &bindings->mask, &bindings->out};
    const monarch_dtype dtypes[MN_TENSOR_COUNT] = {p->q.dtype, p->k.dtype, p->v.dtype, MONARCH_F32,
                                                   p->out.dtype};
    for (int id = 0; id < MN_TENSOR_COUNT; id++) {
        extents[id] = (mn_extent){0, 0};
        if (id == MN_TENSOR_MASK && !p->has_mask)
            continue;
        mn_layout_extent(p, (mn_tensor_id)id, &extents[id]);
        uint64_t alignment = id == MN_TENSOR_MASK ? 1 : monarch_dtype_size(dtypes[id]);
        if (id != MN_TENSOR_MASK && plan->program.alignment > alignment)
            alignment = plan->program.alignment; /* as promised to monarch_plan_create */
        MN_TRY(bind_memory(plan, mn_tensor_name((mn_tensor_id)id), extents[id], alignment,
                           memory[id], error));
    }
    if (!p->has_mask && bindings->mask.kind != MONARCH_MEMORY_NONE)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.mask is given, but the plan's problem has has_mask = 0");
    for (int id = 0; id < MN_TENSOR_OUT; id++)
        MN_TRY(check_apart("out", &bindings->out, extents[MN_TENSOR_OUT],
                           mn_tensor_name((mn_tensor_id)id), memory[id], extents[id], error));
    return MONARCH_OK;
}

static monarch_status bind_workspace(const monarch_plan *plan, mn_bindings *bindings,
                                     const mn_extent extents[MN_TENSOR_COUNT], monarch_error *error)
{
    if (plan->workspace_size == 0)
        return MONARCH_OK;
    mn_extent extent = {0, (int64_t)plan->workspace_size};
    MN_TRY(bind_memory(plan, "workspace", extent, MN_WORKSPACE_ALIGNMENT, &bindings->workspace,
                       error));
    const monarch_memory *memory[MN_TENSOR_COUNT] = {&bindings->q, &bindings->k, &bindings->v,
                                                     &bindings->mask, &bindings->out};
    for (int id = 0; id < MN_TENSOR_COUNT; id++)
        MN_TRY(check_apart("workspace", &bindings->workspace, extent,
                           mn_tensor_name((mn_tensor_id)id), memory[id], extents[id], error));
    return MONARCH_OK;
}

monarch_status mn_bind_arguments(const monarch_plan *plan, const monarch_queue *queue,
                                 const monarch_plan_args *given, mn_bindings *bindings,
                                 monarch_error *error)
{
    if (!plan)
        return mn_fail_null(error, "plan");
    if (!queue)
        return mn_fail_null(error, "queue");
    if (!given)
        return mn_fail_null(error, "args");
    MN_TRY(mn_instance_check_process(plan->device->instance, error));
    monarch_plan_args args;
    MN_TRY(mn_copy_struct("monarch_plan_args", given, &args, (uint32_t)sizeof args,
                          (uint32_t)sizeof args, error));
    if (args.reserved != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "args.reserved is %" PRId32 "; it must be 0", args.reserved);
    if (queue->device != plan->device)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "plan and queue belong to different devices; they must share one");
    *bindings = (mn_bindings){.q = args.q,
                              .k = args.k,
                              .v = args.v,
                              .mask = args.mask,
                              .out = args.out,
                              .workspace = args.workspace,
                              .run_count = plan->run_count};
    if (plan->program.step_count == 0)
        return MONARCH_OK; /* empty: nothing is touched, so nothing is needed */
    mn_extent extents[MN_TENSOR_COUNT];
    MN_TRY(bind_tensors(plan, bindings, extents, error));
    return bind_workspace(plan, bindings, extents, error);
}
