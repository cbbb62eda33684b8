/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"

/* Features as Vulkan has them, a chain of structures, and as monarch/vulkan.h has them, bits. */

typedef struct header {
    VkStructureType type;
    void *next;
} header;

static void append(mn_vulkan_feature_chain *chain, void *structure, int type)
{
    header *added = structure;
    added->type = (VkStructureType)type;
    added->next = chain->base.pNext;
    chain->base.pNext = added;
}

void mn_vulkan_start_chain(mn_vulkan_feature_chain *chain, mn_vulkan_known known)
{
    memset(chain, 0, sizeof *chain);
    chain->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    append(chain, &chain->address,
           VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES);
    append(chain, &chain->timeline, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);
    append(chain, &chain->storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    append(chain, &chain->storage8, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES);
    append(chain, &chain->float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    append(chain, &chain->model, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES);
    if (known.size_control)
        append(chain, &chain->size_control,
               VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
    if (known.matrix)
        append(chain, &chain->matrix, MN_VK_STRUCTURE_COOPERATIVE_MATRIX_FEATURES);
    if (known.matrix2) {
        append(chain, &chain->maintenance4,
               VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES);
        append(chain, &chain->matrix2, MN_VK_STRUCTURE_COOPERATIVE_MATRIX2_FEATURES);
    }
    if (known.bfloat16)
        append(chain, &chain->bfloat16, MN_VK_STRUCTURE_SHADER_BFLOAT16_FEATURES);
}

uint32_t mn_vulkan_chain_features(const mn_vulkan_feature_chain *chain)
{
    const struct {
        bool there;
        uint32_t feature;
    } table[] = {
        {chain->base.features.shaderInt64, MONARCH_VULKAN_INT64},
        {chain->address.bufferDeviceAddress, MONARCH_VULKAN_DEVICE_ADDRESS},
        {chain->timeline.timelineSemaphore, MONARCH_VULKAN_TIMELINE},
        {chain->storage16.storageBuffer16BitAccess && chain->storage8.storageBuffer8BitAccess,
         MONARCH_VULKAN_SMALL_STORAGE},
        {chain->size_control.subgroupSizeControl && chain->size_control.computeFullSubgroups,
         MONARCH_VULKAN_SUBGROUP_SIZE},
        {chain->matrix.cooperativeMatrix && chain->float16.shaderFloat16 &&
             chain->model.vulkanMemoryModel,
         MONARCH_VULKAN_COOPERATIVE_MATRIX},
        {chain->matrix2.cooperativeMatrixReductions &&
             chain->matrix2.cooperativeMatrixConversions &&
             chain->matrix2.cooperativeMatrixPerElementOperations &&
             chain->maintenance4.maintenance4,
         MONARCH_VULKAN_COOPERATIVE_MATRIX2},
        {chain->bfloat16.shaderBFloat16Type && chain->bfloat16.shaderBFloat16CooperativeMatrix,
         MONARCH_VULKAN_BFLOAT16_MATRIX},
    };
    uint32_t features = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].there)
            features |= table[i].feature;
    return features;
}

void mn_vulkan_set_chain(mn_vulkan_feature_chain *chain, uint32_t features)
{
    const VkBool32 matrix = (features & MONARCH_VULKAN_COOPERATIVE_MATRIX) != 0;
    const VkBool32 matrix2 = (features & MONARCH_VULKAN_COOPERATIVE_MATRIX2) != 0;
    const VkBool32 bfloat16 = (features & MONARCH_VULKAN_BFLOAT16_MATRIX) != 0;
    const VkBool32 small = (features & MONARCH_VULKAN_SMALL_STORAGE) != 0;
    const VkBool32 sizes = (features & MONARCH_VULKAN_SUBGROUP_SIZE) != 0;
    mn_vulkan_start_chain(chain, (mn_vulkan_known){sizes, matrix, matrix2, bfloat16});
    chain->base.features.shaderInt64 = (features & MONARCH_VULKAN_INT64) != 0;
    chain->address.bufferDeviceAddress = (features & MONARCH_VULKAN_DEVICE_ADDRESS) != 0;
    chain->timeline.timelineSemaphore = VK_TRUE;
    chain->storage16.storageBuffer16BitAccess = small;
    chain->storage8.storageBuffer8BitAccess = small;
    chain->size_control.subgroupSizeControl = sizes;
    chain->size_control.computeFullSubgroups = sizes;
    chain->float16.shaderFloat16 = matrix;
    chain->model.vulkanMemoryModel = matrix;
    chain->matrix.cooperativeMatrix = matrix;
    chain->maintenance4.maintenance4 = matrix2;
    chain->matrix2.cooperativeMatrixReductions = matrix2;
    chain->matrix2.cooperativeMatrixConversions = matrix2;
    chain->matrix2.cooperativeMatrixPerElementOperations = matrix2;
    chain->bfloat16.shaderBFloat16Type = bfloat16;
    chain->bfloat16.shaderBFloat16CooperativeMatrix = bfloat16;
}
