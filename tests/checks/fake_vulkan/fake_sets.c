/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdlib.h>

/* Descriptors. What a set binds must be there whole; whether it is the right memory is not known.
 */

struct VkDescriptorPool_T {
    struct VkDescriptorSet_T *sets;
};

struct VkDescriptorSet_T {
    bool written[2];
};

static VkResult create_set_layout(VkDevice device, const VkDescriptorSetLayoutCreateInfo *info,
                                  const VkAllocationCallbacks *allocator,
                                  VkDescriptorSetLayout *layout)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateDescriptorSetLayout"))
        return fake_state.fail_with;
    if (info->bindingCount != 2)
        fake_misuse("vkCreateDescriptorSetLayout", "not two bindings");
    *layout = fake_make(1);
    fake_count(&fake_state.live.layouts, 1);
    return VK_SUCCESS;
}

static void destroy_set_layout(VkDevice device, VkDescriptorSetLayout layout,
                               const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.layouts, -1);
    free(layout);
}

static VkResult create_pool(VkDevice device, const VkDescriptorPoolCreateInfo *info,
                            const VkAllocationCallbacks *allocator, VkDescriptorPool *pool)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateDescriptorPool"))
        return fake_state.fail_with;
    *pool = fake_make(sizeof **pool);
    (*pool)->sets = fake_make(info->maxSets * sizeof *(*pool)->sets);
    fake_count(&fake_state.live.descriptor_pools, 1);
    return VK_SUCCESS;
}

static void destroy_pool(VkDevice device, VkDescriptorPool pool,
                         const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.descriptor_pools, -1);
    free(pool->sets);
    free(pool);
}

static VkResult allocate_sets(VkDevice device, const VkDescriptorSetAllocateInfo *info,
                              VkDescriptorSet *sets)
{
    (void)device;
    if (!fake_enter("vkAllocateDescriptorSets"))
        return fake_state.fail_with;
    for (uint32_t i = 0; i < info->descriptorSetCount; i++)
        sets[i] = &info->descriptorPool->sets[i];
    return VK_SUCCESS;
}

static void update_sets(VkDevice device, uint32_t count, const VkWriteDescriptorSet *writes,
                        uint32_t copies, const VkCopyDescriptorSet *from)
{
    (void)from;
    if (copies != 0)
        fake_misuse("vkUpdateDescriptorSets", "copies");
    for (uint32_t w = 0; w < count; w++) {
        for (uint32_t i = 0; i < writes[w].descriptorCount; i++) {
            const VkDescriptorBufferInfo *part = &writes[w].pBufferInfo[i];
            VkMemoryRequirements needs;
            ((PFN_vkGetBufferMemoryRequirements)fake_find_memory_function(
                "vkGetBufferMemoryRequirements"))(device, part->buffer, &needs);
            if (part->offset % 64 != 0 || part->range == 0 ||
                (part->range != VK_WHOLE_SIZE &&
                 (part->offset + part->range > needs.size || part->range > fake_state.bound_bytes)))
                fake_misuse("vkUpdateDescriptorSets", "not in the buffer, or not aligned");
        }
        writes[w].dstSet->written[writes[w].dstBinding] = true;
    }
}

static void bind_sets(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipelineLayout layout,
                      uint32_t first, uint32_t count, const VkDescriptorSet *sets, uint32_t dynamic,
                      const uint32_t *offsets)
{
    (void)commands;
    (void)point;
    (void)offsets;
    if (!layout || first != 0 || count != 1 || dynamic != 0 || !sets[0]->written[0] ||
        !sets[0]->written[1])
        fake_misuse("vkCmdBindDescriptorSets", "a set that is not written");
    fake_lock();
    fake_state.sets++;
    fake_unlock();
}

#define ROW(name, function)                                                                        \
    {                                                                                              \
        name, (PFN_vkVoidFunction)(function)                                                       \
    }

PFN_vkVoidFunction fake_find_set_function(const char *name)
{
    static const fake_function table[] = {
        ROW("vkCreateDescriptorSetLayout", create_set_layout),
        ROW("vkDestroyDescriptorSetLayout", destroy_set_layout),
        ROW("vkCreateDescriptorPool", create_pool),
        ROW("vkDestroyDescriptorPool", destroy_pool),
        ROW("vkAllocateDescriptorSets", allocate_sets),
        ROW("vkUpdateDescriptorSets", update_sets),
        ROW("vkCmdBindDescriptorSets", bind_sets),
    };
    return fake_find_in(table, sizeof table / sizeof *table, name);
}
