/* SPDX-License-Identifier: Apache-2.0 */
#include "core/staging.h"

#include "core/error.h"

/* The pointer of a host tensor, moved to the first byte that it spans. */
static char *extent_start(const void *pointer, mn_extent extent)
{
    return (char *)(uintptr_t)pointer + extent.begin;
}

static monarch_status stage_tensor(const monarch_plan *plan, mn_tensor_id id, const void *pointer,
                                   mn_staging *staging, monarch_memory *memory,
                                   monarch_error *error)
{
    mn_extent extent;
    if (!pointer)
        return mn_fail_null(error, mn_tensor_name(id));
    mn_layout_extent(&plan->program.problem, id, &extent);
    if (plan->device->memory_kinds >> MONARCH_MEMORY_HOST & 1u) {
        *memory = monarch_host_memory(pointer, 0);
        return MONARCH_OK;
    }
    uint64_t bytes = (uint64_t)(extent.end - extent.begin);
    MN_TRY(monarch_buffer_create(plan->device, bytes, &staging->buffers[id], error));
    *memory = monarch_buffer_memory(staging->buffers[id], (uint64_t)-extent.begin);
    return monarch_buffer_write(staging->queue, staging->buffers[id], 0,
                                extent_start(pointer, extent), bytes, error);
}

static monarch_status stage_all(const monarch_plan *plan, const monarch_stage_tensors *tensors,
                                mn_staging *staging, monarch_error *error)
{
    monarch_plan_args *args = &staging->args;
    MN_TRY(monarch_queue_create(plan->device, &staging->queue, error));
    MN_TRY(monarch_plan_workspace_create(plan, &staging->workspace, error));
    args->workspace = monarch_buffer_memory(staging->workspace, 0);
    MN_TRY(stage_tensor(plan, MN_TENSOR_Q, tensors->q, staging, &args->q, error));
    MN_TRY(stage_tensor(plan, MN_TENSOR_K, tensors->k, staging, &args->k, error));
    MN_TRY(stage_tensor(plan, MN_TENSOR_V, tensors->v, staging, &args->v, error));
    MN_TRY(stage_tensor(plan, MN_TENSOR_OUT, tensors->out, staging, &args->out, error));
    if (plan->program.problem.has_mask)
        return stage_tensor(plan, MN_TENSOR_MASK, tensors->mask, staging, &args->mask, error);
    if (tensors->mask)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "mask is given, but problem.has_mask is 0");
    return MONARCH_OK;
}

monarch_status mn_staging_open(const monarch_plan *plan, const monarch_stage_tensors *tensors,
                               mn_staging *staging, monarch_error *error)
{
    memset(staging, 0, sizeof *staging);
    staging->args = monarch_plan_args_default();
    monarch_status status = stage_all(plan, tensors, staging, error);
    if (status != MONARCH_OK)
        mn_staging_close(staging);
    return status;
}

monarch_status mn_staging_fetch(const monarch_plan *plan, mn_staging *staging, void *out,
                                monarch_error *error)
{
    MN_TRY(monarch_queue_wait(staging->queue, error));
    monarch_buffer *buffer = staging->buffers[MN_TENSOR_OUT];
    if (!buffer)
        return MONARCH_OK;
    mn_extent extent;
    mn_layout_extent(&plan->program.problem, MN_TENSOR_OUT, &extent);
    return monarch_buffer_read(staging->queue, buffer, 0, extent_start(out, extent),
                               monarch_buffer_size(buffer), error);
}

void mn_staging_close(mn_staging *staging)
{
    monarch_queue_destroy(&staging->queue);
    for (int id = 0; id < MN_TENSOR_COUNT; id++)
        monarch_buffer_destroy(&staging->buffers[id]);
    monarch_buffer_destroy(&staging->workspace);
}
