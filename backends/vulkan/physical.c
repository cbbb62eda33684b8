/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/vulkan/vulkan.h"
#include "core/alloc.h"
#include "core/error.h"

/* What a physical device is and has, and what of that the library uses. */

static monarch_status read_extensions(const mn_vulkan_instance_functions *vk,
                                      VkPhysicalDevice physical, const monarch_allocator *allocator,
                                      mn_vulkan_known *has, monarch_error *error)
{
    static const char call[] = "vkEnumerateDeviceExtensionProperties";
    uint32_t count = 0;
    MN_TRY(mn_vulkan_look(vk->enumerate_extensions(physical, NULL, &count, NULL), call, error));
    VkExtensionProperties *list = mn_alloc_array(allocator, count, sizeof *list);
    if (!list)
        return mn_fail_memory(error, "the extensions of a device");
    monarch_status status =
        mn_vulkan_look(vk->enumerate_extensions(physical, NULL, &count, list), call, error);
    *has = (mn_vulkan_known){false, false, false, false};
    for (uint32_t i = 0; i < count && status == MONARCH_OK; i++) {
        const char *name = list[i].extensionName;
        has->size_control |= strcmp(name, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME) == 0;
        has->matrix |= strcmp(name, MN_VK_COOPERATIVE_MATRIX) == 0;
        has->matrix2 |= strcmp(name, MN_VK_COOPERATIVE_MATRIX2) == 0;
        has->bfloat16 |= strcmp(name, MN_VK_SHADER_BFLOAT16) == 0;
    }
    mn_free(allocator, list);
    return status;
}

static VkPhysicalDeviceProperties2 read_properties(const mn_vulkan_instance_functions *vk,
                                                   VkPhysicalDevice physical, void *next)
{
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = next};
    vk->get_properties(physical, &properties);
    return properties;
}

monarch_status mn_vulkan_read_features(const mn_vulkan_instance_functions *vk,
                                       VkPhysicalDevice physical,
                                       const monarch_allocator *allocator, uint32_t *features,
                                       monarch_error *error)
{
    mn_vulkan_known has;
    *features = 0;
    MN_TRY(read_extensions(vk, physical, allocator, &has, error));
    uint32_t version = read_properties(vk, physical, NULL).properties.apiVersion;
    if (version < VK_API_VERSION_1_2)
        return MONARCH_OK;
    mn_vulkan_feature_chain chain;
    has.size_control |= version >= VK_API_VERSION_1_3;
    has.matrix = has.matrix && vk->get_cooperative_matrices;
    has.matrix2 = has.matrix2 && has.matrix && version >= VK_API_VERSION_1_3;
    mn_vulkan_start_chain(&chain, has);
    vk->get_features(physical, &chain.base);
    *features = mn_vulkan_chain_features(&chain);
    return MONARCH_OK;
}

/* Chooses the memory type with all of `wanted`, those with `better` too first; the driver lists
   faster ones first. */
static bool choose_memory(const VkPhysicalDeviceMemoryProperties *memory,
                          VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags better,
                          uint32_t *type)
{
    const VkMemoryPropertyFlags tries[] = {wanted | better, wanted};
    for (int t = 0; t < 2; t++)
        for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
            if ((memory->memoryTypes[i].propertyFlags & tries[t]) == tries[t]) {
                *type = i;
                return true;
            }
    return false;
}

static monarch_status read_memory(mn_vulkan_device *device, monarch_error *error)
{
    VkPhysicalDeviceMemoryProperties *memory = &device->memory_properties;
    device->instance_vk.get_memory_properties(device->physical, memory);
    const VkMemoryPropertyFlags mapped =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    if (!choose_memory(memory, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0,
                       &device->memory_types[MN_VULKAN_DEVICE_HEAP]) ||
        !choose_memory(memory, mapped, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                       &device->memory_types[MN_VULKAN_HOST_HEAP]) ||
        !choose_memory(memory, mapped, VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                       &device->memory_types[MN_VULKAN_STAGING_HEAP]))
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "no device-local, or no coherent host-visible memory");
    return MONARCH_OK;
}

/* A family with compute; of those the first, which has the most to offer. */
static monarch_status choose_family(mn_vulkan_device *device, const monarch_allocator *allocator,
                                    monarch_error *error)
{
    const mn_vulkan_instance_functions *vk = &device->instance_vk;
    uint32_t count = 0;
    vk->get_queue_families(device->physical, &count, NULL);
    VkQueueFamilyProperties *families = mn_alloc_array(allocator, count, sizeof *families);
    if (!families)
        return mn_fail_memory(error, "the queue families of a device");
    vk->get_queue_families(device->physical, &count, families);
    uint32_t chosen = device->wrapped ? device->queue_family : 0;
    while (!device->wrapped && chosen < count &&
           !(families[chosen].queueFlags & VK_QUEUE_COMPUTE_BIT))
        chosen++;
    bool computes = chosen < count && families[chosen].queueFlags & VK_QUEUE_COMPUTE_BIT;
    device->queue_family = chosen;
    device->timestamp_bits = computes ? families[chosen].timestampValidBits : 0;
    mn_free(allocator, families);
    if (computes)
        return MONARCH_OK;
    return mn_fail(error,
                   device->wrapped ? MONARCH_ERROR_INVALID_ARGUMENT : MONARCH_ERROR_UNSUPPORTED,
                   "there is no queue family %" PRIu32 " with compute; the device has %" PRIu32
                   " queue families",
                   chosen, count);
}

/* Keeps the shapes that the shaders can use: f16 or bf16 in, f32 sums, one subgroup. */
static monarch_status read_matrices(mn_vulkan_device *device, const monarch_allocator *allocator,
                                    monarch_error *error)
{
    static const char call[] = "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR";
    mn_vulkan_limits *limits = &device->limits;
    uint32_t count = 0;
    if (!(limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX))
        return MONARCH_OK;
    MN_TRY(mn_vulkan_look(
        device->instance_vk.get_cooperative_matrices(device->physical, &count, NULL), call, error));
    mn_vk_cooperative_matrix *list = mn_alloc_array(allocator, count, sizeof *list);
    if (!list)
        return mn_fail_memory(error, "the matrix shapes of a device");
    for (uint32_t i = 0; i < count; i++)
        list[i].sType = (VkStructureType)MN_VK_STRUCTURE_COOPERATIVE_MATRIX_PROPERTIES;
    monarch_status status = mn_vulkan_look(
        device->instance_vk.get_cooperative_matrices(device->physical, &count, list), call, error);
    for (uint32_t i = 0; i < count && status == MONARCH_OK; i++) {
        const mn_vk_cooperative_matrix *shape = &list[i];
        bool bf16 = shape->AType == MN_VK_COMPONENT_BFLOAT16;
        if (shape->scope != MN_VK_SCOPE_SUBGROUP || shape->AType != shape->BType ||
            (!bf16 && shape->AType != MN_VK_COMPONENT_FLOAT16) ||
            (bf16 && !(limits->features & MONARCH_VULKAN_BFLOAT16_MATRIX)) ||
            shape->CType != MN_VK_COMPONENT_FLOAT32 ||
            shape->ResultType != MN_VK_COMPONENT_FLOAT32 ||
            limits->matrix_count == MN_VULKAN_MATRICES)
            continue;
        limits->matrices[limits->matrix_count++] = (mn_vulkan_matrix){
            bf16 ? MONARCH_BF16 : MONARCH_F16, shape->MSize, shape->NSize, shape->KSize};
    }
    mn_free(allocator, list);
    return status;
}

static void read_limits(mn_vulkan_device *device, const VkPhysicalDeviceLimits *from,
                        const VkPhysicalDeviceSubgroupProperties *subgroup,
                        const VkPhysicalDeviceSubgroupSizeControlProperties *sizes)
{
    mn_vulkan_limits *limits = &device->limits;
    limits->shared_memory = from->maxComputeSharedMemorySize;
    limits->invocations = from->maxComputeWorkGroupInvocations;
    if (limits->invocations > from->maxComputeWorkGroupSize[0])
        limits->invocations = from->maxComputeWorkGroupSize[0];
    limits->subgroup_size = subgroup->subgroupSize;
    const VkSubgroupFeatureFlags wanted = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                          VK_SUBGROUP_FEATURE_VOTE_BIT |
                                          VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    bool usable = (subgroup->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                  (sizes->requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                  (subgroup->supportedOperations & wanted) == wanted;
    if (!usable)
        limits->features &= ~(uint32_t)MONARCH_VULKAN_SUBGROUP_SIZE;
    limits->least_subgroup = sizes->minSubgroupSize;
    limits->most_subgroup = sizes->maxSubgroupSize;
    limits->bound_bytes = from->maxStorageBufferRange;
    device->bound_alignment = from->minStorageBufferOffsetAlignment;
    if (device->bound_alignment < 4) /* shaders read words */
        device->bound_alignment = 4;
    for (int axis = 0; axis < 2; axis++)
        device->work_groups[axis] = from->maxComputeWorkGroupCount[axis];
    device->timestamp_seconds = 1e-9 * (double)from->timestampPeriod;
}

/* Addresses, or else descriptors and nothing beside them. */
static monarch_status choose_access(mn_vulkan_device *device,
                                    const VkPhysicalDeviceProperties *properties,
                                    monarch_error *error)
{
    mn_vulkan_limits *limits = &device->limits;
    const uint32_t addresses =
        MONARCH_VULKAN_INT64 | MONARCH_VULKAN_DEVICE_ADDRESS | MONARCH_VULKAN_SMALL_STORAGE;
    if ((limits->features & MONARCH_VULKAN_REQUIRED) != MONARCH_VULKAN_REQUIRED)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "%.100s lacks what every shader needs: Vulkan 1.2 with timelineSemaphore",
                       properties->deviceName);
    limits->by_address = (limits->features & addresses) == addresses;
    if (limits->by_address)
        return MONARCH_OK;
    limits->features &= MONARCH_VULKAN_REQUIRED;
    if (properties->limits.maxPerStageDescriptorStorageBuffers >= MN_VULKAN_BOUND)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "%.100s lacks shaderInt64, bufferDeviceAddress, storageBuffer16BitAccess or "
                   "storageBuffer8BitAccess, and binds %" PRIu32
                   " storage buffers to a shader, where %d are needed",
                   properties->deviceName, properties->limits.maxPerStageDescriptorStorageBuffers,
                   MN_VULKAN_BOUND);
}

static void describe(mn_vulkan_device *device, uint32_t index,
                     const VkPhysicalDeviceProperties *properties,
                     const VkPhysicalDeviceDriverProperties *driver)
{
    monarch_device_info *info = &device->base.info;
    const mn_vulkan_limits *limits = &device->limits;
    const VkPhysicalDeviceMemoryProperties *memory = &device->memory_properties;
    uint32_t type = device->memory_types[MN_VULKAN_DEVICE_HEAP], version = properties->apiVersion;
    info->struct_size = (uint32_t)sizeof *info;
    info->index = index;
    snprintf(info->backend, sizeof info->backend, "vulkan");
    snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1,
             properties->deviceName);
    snprintf(info->driver, sizeof info->driver, "%.31s, Vulkan %" PRIu32 ".%" PRIu32 ".%" PRIu32,
             driver->driverInfo[0] != '\0' ? driver->driverInfo : driver->driverName,
             VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
             VK_API_VERSION_PATCH(version));
    snprintf(info->features, sizeof info->features, "%s%s%s%s%s",
             limits->by_address ? "storage16" : "descriptors",
             limits->features & MONARCH_VULKAN_SUBGROUP_SIZE ? " subgroup_size" : "",
             limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX ? " cooperative_matrix" : "",
             limits->features & MONARCH_VULKAN_COOPERATIVE_MATRIX2 ? " cooperative_matrix2" : "",
             limits->features & MONARCH_VULKAN_BFLOAT16_MATRIX ? " bfloat16" : "");
    mn_vulkan_list_variants(limits, info);
    info->subgroup_size = limits->subgroup_size;
    info->memory = memory->memoryHeaps[memory->memoryTypes[type].heapIndex].size;
    info->local_memory = limits->shared_memory;
    info->max_buffer = device->largest_allocation;
}

monarch_status mn_vulkan_read_device(mn_vulkan_device *device, uint32_t index, monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    mn_vulkan_known has;
    MN_TRY(read_extensions(&device->instance_vk, device->physical, allocator, &has, error));
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &driver};
    VkPhysicalDeviceMaintenance3Properties allocation = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    if (device->limits.features & MONARCH_VULKAN_SUBGROUP_SIZE)
        driver.pNext = &sizes;
    const VkPhysicalDeviceProperties2 properties =
        read_properties(&device->instance_vk, device->physical, &allocation);
    MN_TRY(choose_access(device, &properties.properties, error));
    device->largest_allocation = allocation.maxMemoryAllocationSize;
    device->has_size_extension = properties.properties.apiVersion < VK_API_VERSION_1_3;
    MN_TRY(read_memory(device, error));
    MN_TRY(choose_family(device, allocator, error));
    read_limits(device, &properties.properties.limits, &subgroup, &sizes);
    MN_TRY(read_matrices(device, allocator, error));
    describe(device, index, &properties.properties, &driver);
    return MONARCH_OK;
}
