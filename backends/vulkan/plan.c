/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/layout.h"

/* plan->state: the launches of all runs, one after the other. */
typedef struct state {
    mn_vulkan_launch *launches;
    VkPipeline *pipelines;   /* of each launch */
    uint32_t *first;         /* launch of each run, and behind the last */
    mn_vulkan_memory blocks; /* the mn_stage_params of each launch */
} state;

enum { BLOCK_STRIDE = 704 }; /* a multiple of 64 bytes that holds a block */

_Static_assert(sizeof(mn_stage_params) <= BLOCK_STRIDE, "blocks must not overlap");

static monarch_status allocate_state(monarch_plan *plan, monarch_error *error)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    size_t most = 0;
    for (uint32_t i = 0; i < plan->run_count; i++)
        most += (size_t)MN_VULKAN_STEP_LAUNCHES * plan->runs[i].count;
    state *s = mn_alloc(allocator, sizeof *s);
    plan->state = s;
    if (!s)
        return mn_fail_memory(error, "the launches of a plan");
    s->launches = mn_alloc_array(allocator, most, sizeof *s->launches);
    s->pipelines = mn_alloc_array(allocator, most, sizeof *s->pipelines);
    s->first = mn_alloc_array(allocator, (size_t)plan->run_count + 1, sizeof *s->first);
    if (!s->launches || !s->pipelines || !s->first)
        return mn_fail_memory(error, "the launches of a plan");
    return MONARCH_OK;
}

/* Puts the parameters of all launches where the device reads them; they never change. */
static monarch_status store_blocks(const monarch_plan *plan, monarch_error *error)
{
    state *s = plan->state;
    uint32_t count = s->first[plan->run_count];
    MN_TRY(mn_vulkan_allocate(mn_vulkan_device_of(plan->device), MN_VULKAN_HOST_HEAP,
                              (uint64_t)count * BLOCK_STRIDE, &s->blocks, error));
    for (uint32_t i = 0; i < count; i++)
        memcpy((char *)s->blocks.host + (size_t)i * BLOCK_STRIDE, &s->launches[i].params.block,
               sizeof(mn_stage_params));
    return MONARCH_OK;
}

monarch_status mn_vulkan_plan_build(monarch_plan *plan, monarch_error *error)
{
    mn_vulkan_device *device = mn_vulkan_device_of(plan->device);
    if (plan->run_count == 0)
        return MONARCH_OK;
    MN_TRY(mn_vulkan_retain(device, error));
    MN_TRY(allocate_state(plan, error));
    state *s = plan->state;
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const mn_vulkan_variant *variant = plan->runs[i].variant;
        s->first[i + 1] =
            s->first[i] + variant->launches(variant, plan, i, &s->launches[s->first[i]]);
    }
    /* Back and forth: what the launch ahead touched last is what the cache still holds. */
    for (uint32_t i = 0; i < s->first[plan->run_count]; i++) {
        s->launches[i].params.block.backwards = i % 2;
        MN_TRY(mn_vulkan_find_pipeline(device, &s->launches[i].shader, &s->pipelines[i], error));
    }
    return store_blocks(plan, error);
}

void mn_vulkan_plan_free(monarch_plan *plan)
{
    const monarch_instance *instance = plan->device->instance;
    state *s = plan->state;
    if (!s)
        return;
    mn_vulkan_free(mn_vulkan_device_of(plan->device), &s->blocks,
                   mn_instance_check_process(instance, NULL) == MONARCH_OK);
    mn_free(&instance->allocator, s->launches);
    mn_free(&instance->allocator, s->pipelines);
    mn_free(&instance->allocator, s->first);
    mn_free(&instance->allocator, s);
}

/* The memory as one with an address. */
static monarch_memory address_of(const mn_vulkan_device *device, monarch_memory memory)
{
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = (VkBuffer)(uintptr_t)memory.handle,
    };
    if (memory.kind == MONARCH_MEMORY_VULKAN)
        memory.handle = device->vk.get_buffer_address(device->handle, &info);
    return memory;
}

/*
 * Work-groups are counted over two axes, row by row, and over as many dispatches as that takes.
 * x * y may exceed their number by up to y - 1; a shader returns where there is nothing to do.
 */
static void dispatch(const mn_vulkan_device *device, VkCommandBuffer commands, int64_t work_groups,
                     mn_vulkan_push *push)
{
    const mn_vulkan_functions *vk = &device->vk;
    const int64_t widest = device->work_groups[0], highest = device->work_groups[1];
    for (int64_t done = 0; done < work_groups;) {
        int64_t left = work_groups - done;
        int64_t y = left / widest + (left % widest != 0);
        y = y < highest ? y : highest;
        int64_t x = left / y + (left % y != 0);
        x = x < widest ? x : widest;
        push->first_work_group = (uint64_t)done;
        vk->cmd_push_constants(commands, device->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                               sizeof *push, push);
        vk->cmd_dispatch(commands, (uint32_t)x, (uint32_t)y, 1);
        done += x * y;
    }
}

static void push_addresses(const mn_launch_params *params, const mn_bindings *bindings,
                           mn_vulkan_push *push)
{
    mn_stage_params block;
    mn_params_bind(params, bindings, &block);
    for (int i = 0; i < MN_OPERAND_COUNT; i++) {
        push->address[i] = block.operand[i].address;
        push->vectors |= (uint32_t)block.operand[i].vectors << i;
    }
}

/* The part of a memory that an execution touches, for a descriptor: it begins and ends where a
   device wants that. What is absent is bound as well, to something. */
static VkDescriptorBufferInfo bound_part(const monarch_plan *plan, const mn_bindings *bindings,
                                         int source)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(plan->device);
    const monarch_memory *all[] = {&bindings->q,    &bindings->k,   &bindings->v,
                                   &bindings->mask, &bindings->out, &bindings->workspace};
    const monarch_memory *memory = all[source];
    mn_extent extent = {0, (int64_t)plan->workspace_size};
    if (source + 1 != MN_SOURCE_SLOT)
        mn_layout_extent(&plan->program.problem, (mn_tensor_id)source, &extent);
    if (memory->kind != MONARCH_MEMORY_VULKAN || extent.begin == extent.end)
        return (VkDescriptorBufferInfo){((const state *)plan->state)->blocks.buffer, 0,
                                        VK_WHOLE_SIZE};
    uint64_t begin = (memory->offset + (uint64_t)extent.begin) & ~(device->bound_alignment - 1);
    uint64_t end = (memory->offset + (uint64_t)extent.end + 3) & ~UINT64_C(3);
    return (VkDescriptorBufferInfo){(VkBuffer)(uintptr_t)memory->handle, begin, end - begin};
}

void mn_vulkan_plan_describe(const monarch_plan *plan, const mn_bindings *bindings,
                             VkDescriptorSet set)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(plan->device);
    const state *s = plan->state;
    if (device->limits.by_address || !s)
        return;
    VkDescriptorBufferInfo parts[MN_VULKAN_BOUND];
    for (int i = 0; i < MN_VULKAN_SOURCES; i++)
        parts[i] = bound_part(plan, bindings, i);
    parts[MN_VULKAN_SOURCES] = (VkDescriptorBufferInfo){s->blocks.buffer, 0, VK_WHOLE_SIZE};
    VkWriteDescriptorSet writes[2] = {
        {.descriptorCount = MN_VULKAN_SOURCES, .pBufferInfo = parts},
        {.dstBinding = 1, .descriptorCount = 1, .pBufferInfo = parts + MN_VULKAN_SOURCES}};
    for (int i = 0; i < 2; i++) {
        writes[i].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
        writes[i].dstSet = set;
        writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    }
    device->vk.update_sets(device->handle, 2, writes, 0, NULL);
}

static void push_places(const monarch_plan *plan, const mn_launch_params *params,
                        const mn_bindings *bindings, mn_vulkan_push *push)
{
    mn_stage_params block;
    const monarch_memory *memory[MN_OPERAND_COUNT];
    mn_params_place(params, bindings, &block, memory);
    for (int i = 0; i < MN_OPERAND_COUNT; i++) {
        if (!memory[i])
            continue;
        uint64_t begin = bound_part(plan, bindings, params->source[i] - 1).offset;
        push->address[i] = block.operand[i].address - begin;
    }
}

static mn_bindings with_addresses(const mn_vulkan_device *device, const mn_bindings *given)
{
    mn_bindings bindings = *given;
    if (!device->limits.by_address)
        return bindings;
    bindings.q = address_of(device, given->q);
    bindings.k = address_of(device, given->k);
    bindings.v = address_of(device, given->v);
    bindings.mask = address_of(device, given->mask);
    bindings.out = address_of(device, given->out);
    bindings.workspace = address_of(device, given->workspace);
    return bindings;
}

void mn_vulkan_plan_record(const monarch_plan *plan, VkCommandBuffer commands,
                           const mn_bindings *given, VkDescriptorSet set)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(plan->device);
    const bool by_address = device->limits.by_address;
    const state *s = plan->state;
    const mn_bindings bindings = with_addresses(device, given);
    uint32_t begin = s->first[given->first_run];
    uint32_t end = s->first[given->first_run + given->run_count];
    if (!by_address)
        device->vk.cmd_bind_sets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, device->layout, 0, 1,
                                 &set, 0, NULL);
    for (uint32_t i = begin; i < end; i++) {
        mn_vulkan_push push = {.block = i, .depth = s->launches[i].params.block.depth};
        if (by_address) {
            push.block = s->blocks.address + (uint64_t)i * BLOCK_STRIDE;
            push_addresses(&s->launches[i].params, &bindings, &push);
        } else {
            push_places(plan, &s->launches[i].params, &bindings, &push);
        }
        if (i > begin)
            mn_vulkan_barrier(&device->vk, commands);
        device->vk.cmd_bind_pipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, s->pipelines[i]);
        dispatch(device, commands, s->launches[i].work_groups, &push);
    }
}

monarch_status mn_vulkan_plan_submit(const monarch_plan *plan, monarch_queue *base,
                                     const mn_bindings *bindings,
                                     const monarch_vulkan_timeline *wait,
                                     const monarch_vulkan_timeline *signal, monarch_error *error)
{
    mn_vulkan_queue *queue = (mn_vulkan_queue *)base;
    VkCommandBuffer commands;
    MN_TRY(mn_vulkan_queue_begin(queue, &commands, error));
    if (bindings->run_count > 0) {
        VkDescriptorSet set = mn_vulkan_queue_set(queue);
        mn_vulkan_plan_describe(plan, bindings, set);
        mn_vulkan_plan_record(plan, commands, bindings, set);
    }
    return mn_vulkan_queue_submit(queue, wait, signal, error);
}

monarch_status mn_vulkan_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                      const mn_bindings *bindings, monarch_error *error)
{
    if (bindings->run_count == 0)
        return MONARCH_OK;
    return mn_vulkan_plan_submit(plan, queue, bindings, NULL, NULL, error);
}
