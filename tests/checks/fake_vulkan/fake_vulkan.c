/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Instances, physical devices and what they are said to have. */

fake_vulkan fake_state;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int physical[FAKE_DEVICES];

struct VkInstance_T {
    uint32_t version;
};

void *fake_make(size_t size)
{
    void *object = calloc(1, size);
    if (!object)
        abort();
    return object;
}

void fake_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void fake_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

bool fake_enter(const char *call)
{
    pthread_mutex_lock(&mutex);
    fake_state.calls++;
    bool fails = fake_state.fail_at > 0 && --fake_state.fail_at == 0;
    if (fails)
        snprintf(fake_state.failed, sizeof fake_state.failed, "%s", call);
    pthread_mutex_unlock(&mutex);
    return !fails;
}

void fake_misuse(const char *call, const char *how)
{
    pthread_mutex_lock(&mutex);
    fake_state.misuses++;
    snprintf(fake_state.misuse, sizeof fake_state.misuse, "%s: %s", call, how);
    pthread_mutex_unlock(&mutex);
}

fake_vulkan *fake_vulkan_state(void)
{
    return &fake_state;
}

__attribute__((constructor)) void fake_vulkan_reset(void)
{
    fake_state = (fake_vulkan){
        .devices = FAKE_DEVICES,
        .version = VK_API_VERSION_1_3,
        .int64 = true,
        .storage16 = true,
        .subgroup_size = true,
        .matrices = true,
        .matrices2 = true,
        .bfloat16 = true,
        .shared_memory = 49152,
        .bound_bytes = 1u << 27,
        .bound_buffers = 16,
        .work_groups = 65535,
        .timestamp_bits = 64,
        .largest_allocation = UINT64_C(1) << 40,
        .fail_with = VK_ERROR_INITIALIZATION_FAILED,
    };
}

int fake_vulkan_alive(void)
{
    const fake_live *live = &fake_state.live;
    return live->instances + live->devices + live->memories + live->buffers + live->semaphores +
           live->command_pools + live->query_pools + live->shader_modules + live->layouts +
           live->pipelines + live->caches + live->descriptor_pools;
}

static VkResult create_instance(const VkInstanceCreateInfo *info,
                                const VkAllocationCallbacks *allocator, VkInstance *instance)
{
    (void)allocator;
    if (!fake_enter("vkCreateInstance"))
        return fake_state.fail_with;
    *instance = fake_make(sizeof **instance);
    (*instance)->version = info->pApplicationInfo->apiVersion;
    fake_count(&fake_state.live.instances, 1);
    return VK_SUCCESS;
}

static void destroy_instance(VkInstance instance, const VkAllocationCallbacks *allocator)
{
    (void)allocator;
    if (fake_state.live.instances == 1 && fake_vulkan_alive() > 1)
        fake_misuse("vkDestroyInstance", "devices are alive");
    fake_count(&fake_state.live.instances, -1);
    free(instance);
}

static VkResult enumerate_devices(VkInstance instance, uint32_t *count, VkPhysicalDevice *devices)
{
    (void)instance;
    if (!fake_enter("vkEnumeratePhysicalDevices"))
        return fake_state.fail_with;
    if (!devices)
        *count = (uint32_t)fake_state.devices;
    for (uint32_t i = 0; devices && i < *count; i++)
        devices[i] = (VkPhysicalDevice)&physical[i];
    return VK_SUCCESS;
}

static VkResult enumerate_extensions(VkPhysicalDevice device, const char *layer, uint32_t *count,
                                     VkExtensionProperties *list)
{
    const char *names[4];
    uint32_t there = 0;
    (void)device;
    (void)layer;
    if (!fake_enter("vkEnumerateDeviceExtensionProperties"))
        return fake_state.fail_with;
    if (fake_state.subgroup_size)
        names[there++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    if (fake_state.matrices)
        names[there++] = "VK_KHR_cooperative_matrix";
    if (fake_state.matrices2)
        names[there++] = "VK_NV_cooperative_matrix2";
    if (fake_state.bfloat16)
        names[there++] = "VK_KHR_shader_bfloat16";
    for (uint32_t i = 0; list && i < there; i++)
        snprintf(list[i].extensionName, sizeof list[i].extensionName, "%s", names[i]);
    *count = there;
    return VK_SUCCESS;
}

static void get_features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features)
{
    (void)device;
    features->features.shaderInt64 = fake_state.int64;
    for (VkBaseOutStructure *next = features->pNext; next; next = next->pNext) {
        VkBool32 *first = (VkBool32 *)(void *)(next + 1);
        switch ((int)next->sType) {
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES:
            first[0] = first[1] = fake_state.subgroup_size;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES:
            first[0] = fake_state.storage16;
            break;
        case FAKE_STRUCTURE_MATRIX2_FEATURES:
            for (int i = 0; i < 7; i++)
                first[i] = fake_state.matrices2;
            break;
        case FAKE_STRUCTURE_BFLOAT16_FEATURES:
            first[0] = first[1] = first[2] = fake_state.bfloat16;
            break;
        default:
            first[0] = VK_TRUE;
        }
    }
}

static void get_properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *properties)
{
    VkPhysicalDeviceProperties *p = &properties->properties;
    memset(p, 0, sizeof *p);
    p->apiVersion = fake_state.version;
    p->deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    snprintf(p->deviceName, sizeof p->deviceName, "Fake GPU %d",
             (int)((int *)(void *)device - physical));
    p->limits.maxComputeSharedMemorySize = fake_state.shared_memory;
    p->limits.maxStorageBufferRange = fake_state.bound_bytes;
    p->limits.minStorageBufferOffsetAlignment = 64;
    p->limits.maxPerStageDescriptorStorageBuffers = fake_state.bound_buffers;
    p->limits.maxComputeWorkGroupInvocations = p->limits.maxComputeWorkGroupSize[0] = 1024;
    for (int i = 0; i < 3; i++)
        p->limits.maxComputeWorkGroupCount[i] = fake_state.work_groups;
    p->limits.timestampPeriod = 1.0f;
    for (VkBaseOutStructure *next = properties->pNext; next; next = next->pNext) {
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) {
            VkPhysicalDeviceSubgroupProperties *s = (void *)next;
            s->subgroupSize = 32;
            s->supportedStages = VK_SHADER_STAGE_COMPUTE_BIT;
            s->supportedOperations = 0xff;
        } else if (next->sType ==
                   VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES) {
            VkPhysicalDeviceSubgroupSizeControlProperties *s = (void *)next;
            s->minSubgroupSize = s->maxSubgroupSize = 32;
            s->requiredSubgroupSizeStages = VK_SHADER_STAGE_COMPUTE_BIT;
        } else if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES) {
            VkPhysicalDeviceDriverProperties *s = (void *)next;
            snprintf(s->driverInfo, sizeof s->driverInfo, "1.0");
        } else if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES) {
            VkPhysicalDeviceMaintenance3Properties *s = (void *)next;
            s->maxMemoryAllocationSize = fake_state.largest_allocation;
        }
    }
}

static void get_memory_properties(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties *memory)
{
    (void)device;
    memset(memory, 0, sizeof *memory);
    memory->memoryTypeCount = 2;
    memory->memoryTypes[0].propertyFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    memory->memoryTypes[1].propertyFlags =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    memory->memoryHeapCount = 1;
    memory->memoryHeaps[0].size = UINT64_C(1) << 34;
}

/* The first family can only copy. */
static void get_queue_families(VkPhysicalDevice device, uint32_t *count,
                               VkQueueFamilyProperties *families)
{
    (void)device;
    *count = 2;
    if (!families)
        return;
    families[0] = (VkQueueFamilyProperties){.queueFlags = VK_QUEUE_TRANSFER_BIT, .queueCount = 1};
    families[1] = (VkQueueFamilyProperties){.queueFlags = VK_QUEUE_COMPUTE_BIT,
                                            .queueCount = 2,
                                            .timestampValidBits = fake_state.timestamp_bits};
}

/* 16 x 16 x 16 of both types, and a shape of the work-group that must be passed over. */
static VkResult get_matrices(VkPhysicalDevice device, uint32_t *count, fake_matrix *list)
{
    (void)device;
    if (!fake_enter("vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"))
        return fake_state.fail_with;
    const uint32_t there = fake_state.bfloat16 ? 3 : 2;
    for (uint32_t i = 0; list && i < there && i < *count; i++) {
        list[i].MSize = list[i].NSize = list[i].KSize = i == 0 ? 64 : 16;
        list[i].scope = i == 0 ? FAKE_SCOPE_WORKGROUP : FAKE_SCOPE_SUBGROUP;
        list[i].AType = list[i].BType = i == 2 ? FAKE_COMPONENT_BFLOAT16 : FAKE_COMPONENT_FLOAT16;
        list[i].CType = list[i].ResultType = FAKE_COMPONENT_FLOAT32;
    }
    *count = there;
    return VK_SUCCESS;
}

static PFN_vkVoidFunction get_device_function(VkDevice device, const char *name)
{
    (void)device;
    return vkGetInstanceProcAddr(NULL, name);
}

PFN_vkVoidFunction fake_find_in(const fake_function *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].function;
    return NULL;
}

#define ROW(name, function)                                                                        \
    {                                                                                              \
        name, (PFN_vkVoidFunction)(function)                                                       \
    }

PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    static const fake_function table[] = {
        ROW("vkCreateInstance", create_instance),
        ROW("vkDestroyInstance", destroy_instance),
        ROW("vkEnumeratePhysicalDevices", enumerate_devices),
        ROW("vkEnumerateDeviceExtensionProperties", enumerate_extensions),
        ROW("vkGetPhysicalDeviceProperties2", get_properties),
        ROW("vkGetPhysicalDeviceFeatures2", get_features),
        ROW("vkGetPhysicalDeviceMemoryProperties", get_memory_properties),
        ROW("vkGetPhysicalDeviceQueueFamilyProperties", get_queue_families),
        ROW("vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR", get_matrices),
        ROW("vkGetDeviceProcAddr", get_device_function),
    };
    (void)instance;
    if (fake_state.missing && strcmp(name, fake_state.missing) == 0)
        return NULL;
    PFN_vkVoidFunction function = fake_find_in(table, sizeof table / sizeof *table, name);
    if (!function)
        function = fake_find_object_function(name);
    if (!function)
        function = fake_find_memory_function(name);
    if (!function)
        function = fake_find_set_function(name);
    return function ? function : fake_find_command_function(name);
}
