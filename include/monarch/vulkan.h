/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_VULKAN_H
#define MONARCH_VULKAN_H

#include <monarch/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Vulkan instances, devices, queues, buffers and command buffers of the caller's own, for engines
 * that have them already. <monarch/monarch.h> does not include this header. It does not need
 * <vulkan/vulkan.h>, and either may be included first.
 *
 *     monarch_vulkan_features(instance, vk_instance, physical, NULL, &features, &error);
 *     ... create the VkDevice with those features enabled ...
 *     monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
 *     params.instance = vk_instance;
 *     params.physical_device = physical;
 *     params.device = vk_device;
 *     params.features = features;
 *     monarch_vulkan_device_wrap(instance, &params, &device, &error);
 *     monarch_plan_create(device, &problem, NULL, &plan, &error);
 *     args.q = monarch_vulkan_memory(buffer, offset, size); // and so on, and a workspace
 *     monarch_vulkan_plan_record(plan, commands, &args, &error);
 *
 * Buffers: every VkBuffer that is given to a plan must have been created with the usage
 * VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT and be bound to memory that was allocated with
 * VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT; on a device opened without one of MONARCH_VULKAN_INT64,
 * DEVICE_ADDRESS and SMALL_STORAGE, with VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, and a multiple of 4
 * bytes long: such a device has words of 4 bytes alone, so that of f16 and bf16 the word's other
 * half is read too and written anew (atomically, with what it holds), and it does not record.
 * Offsets need the alignment of an element only (for the workspace, that of
 * monarch_plan_workspace, and of the buffer's address); multiples of 16 bytes are faster. No
 * storage-buffer limit applies where shaders use addresses: tensors may be larger than
 * maxStorageBufferRange.
 *
 * Host memory that the driver allocates for itself comes from its own allocator.
 *
 * All of these functions exist in every build of the library. Without the vulkan backend, and where
 * the instance has not opened it, they return UNSUPPORTED with the reason.
 */

/* As in <vulkan/vulkan_core.h>, where they are the same types. */
typedef struct VkInstance_T *VkInstance;
typedef struct VkPhysicalDevice_T *VkPhysicalDevice;
typedef struct VkDevice_T *VkDevice;
typedef struct VkQueue_T *VkQueue;
typedef struct VkCommandBuffer_T *VkCommandBuffer;
#if !defined(VULKAN_CORE_H_)
#if defined(__LP64__) || defined(_WIN64) || (defined(__x86_64__) && !defined(__ILP32__))
typedef struct VkBuffer_T *VkBuffer;
typedef struct VkSemaphore_T *VkSemaphore;
typedef struct VkPipelineCache_T *VkPipelineCache;
#else
typedef uint64_t VkBuffer;
typedef uint64_t VkSemaphore;
typedef uint64_t VkPipelineCache;
#endif
#endif

/* A function of Vulkan, to be cast: PFN_vkGetInstanceProcAddr here. */
typedef void (*monarch_vulkan_function)(void);

/*
 * Features that the library uses. A device must have the REQUIRED ones, which all with Vulkan 1.2
 * do; each of the others makes variants available. Without all of INT64, DEVICE_ADDRESS and
 * SMALL_STORAGE there is variant plain alone, on tensors that fit into maxStorageBufferRange, and
 * the others are not used. Beside each: what is to be enabled in VkDeviceCreateInfo.
 */
typedef enum monarch_vulkan_feature {
    MONARCH_VULKAN_INT64 = 1 << 0,          /* VkPhysicalDeviceFeatures.shaderInt64 */
    MONARCH_VULKAN_DEVICE_ADDRESS = 1 << 1, /* bufferDeviceAddress */
    MONARCH_VULKAN_TIMELINE = 1 << 2,       /* timelineSemaphore */
    MONARCH_VULKAN_REQUIRED = MONARCH_VULKAN_TIMELINE,
    /* storageBuffer16BitAccess and storageBuffer8BitAccess */
    MONARCH_VULKAN_SMALL_STORAGE = 1 << 3,
    /* subgroupSizeControl and computeFullSubgroups, with VK_EXT_subgroup_size_control before Vulkan
       1.3: variants coopmat and coopmat2 */
    MONARCH_VULKAN_SUBGROUP_SIZE = 1 << 4,
    /* VK_KHR_cooperative_matrix: cooperativeMatrix, shaderFloat16, vulkanMemoryModel: variant
       coopmat */
    MONARCH_VULKAN_COOPERATIVE_MATRIX = 1 << 5,
    /* VK_KHR_shader_bfloat16: shaderBFloat16Type, shaderBFloat16CooperativeMatrix: the same for
       bf16 */
    MONARCH_VULKAN_BFLOAT16_MATRIX = 1 << 6,
    /* VK_NV_cooperative_matrix2: cooperativeMatrixReductions, cooperativeMatrixConversions,
       cooperativeMatrixPerElementOperations, and maintenance4, on an instance of Vulkan 1.3:
       variant coopmat2 */
    MONARCH_VULKAN_COOPERATIVE_MATRIX2 = 1 << 7
} monarch_vulkan_feature;

/*
 * Which of these a physical device has. `get_instance_proc_addr` is the caller's
 * vkGetInstanceProcAddr; NULL stands for that of the loader that the library opens itself.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED, NATIVE, OUT_OF_MEMORY, FORKED.
 */
MONARCH_API monarch_status monarch_vulkan_features(monarch_instance *instance, VkInstance vulkan,
                                                   VkPhysicalDevice physical_device,
                                                   monarch_vulkan_function get_instance_proc_addr,
                                                   uint32_t *features, monarch_error *error);

/* The caller's device. Zero means the default everywhere. */
typedef struct monarch_vulkan_device_params {
    uint32_t struct_size; /* sizeof(monarch_vulkan_device_params) */
    uint32_t features;    /* monarch_vulkan_feature bits that are enabled on the device */
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    monarch_vulkan_function get_instance_proc_addr; /* NULL = the library's loader */
    VkPipelineCache pipeline_cache; /* pipelines are made with it; 0 = one of the device's own */
    uint32_t queue_family;          /* one with compute, in which the device has queues */
    uint32_t queue_index;           /* of the queue that monarch_queue_create uses */
    /* Called around each submission to that queue, if not NULL, with 1 before and 0
       after it: for a queue that other threads of the caller submit to as well. */
    void (*lock)(void *user, int32_t locked);
    void *lock_user;
} monarch_vulkan_device_params;

static inline monarch_vulkan_device_params monarch_vulkan_device_params_default(void)
{
    monarch_vulkan_device_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = (uint32_t)sizeof params;
    return params;
}

/*
 * A device on the caller's VkDevice, which stays the caller's and must outlive it, as must the
 * pipeline cache. The device belongs to the caller, not to the instance's list: destroy it before
 * the instance, and after everything made from it.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (with the reason), OUT_OF_MEMORY, NATIVE, FORKED.
 */
MONARCH_API monarch_status monarch_vulkan_device_wrap(monarch_instance *instance,
                                                      const monarch_vulkan_device_params *params,
                                                      monarch_device **device,
                                                      monarch_error *error);

/* Frees a wrapped device and nulls the handle; the VkDevice stays. NULL is allowed. A device that
   an instance lists is left alone, and its handle too. */
MONARCH_API void monarch_vulkan_device_destroy(monarch_device **device);

/* A queue of the caller's. */
typedef struct monarch_vulkan_queue_params {
    uint32_t struct_size;                     /* sizeof(monarch_vulkan_queue_params) */
    uint32_t reserved;                        /* 0 */
    VkQueue queue;                            /* of the device's queue family */
    void (*lock)(void *user, int32_t locked); /* as in monarch_vulkan_device_params */
    void *lock_user;
} monarch_vulkan_queue_params;

static inline monarch_vulkan_queue_params monarch_vulkan_queue_params_default(void)
{
    monarch_vulkan_queue_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = (uint32_t)sizeof params;
    return params;
}

/*
 * A queue on the caller's VkQueue, which must be of the device and of its queue family, stays the
 * caller's and must outlive the queue. Vulkan wants submissions to a VkQueue one at a time: calls
 * on this queue that enqueue something submit to it at once, between the calls of `lock`. Errors:
 * INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_MEMORY, NATIVE, DEVICE_LOST, FORKED.
 */
MONARCH_API monarch_status monarch_vulkan_queue_wrap(monarch_device *device,
                                                     const monarch_vulkan_queue_params *params,
                                                     monarch_queue **queue, monarch_error *error);

/*
 * Memory of the caller's for a plan's arguments: a plain value. The tensor's element 0 is `offset`
 * bytes into the buffer; `size` is the number of bytes that may be touched from there on, 0 if it
 * is not known.
 */
MONARCH_API monarch_memory monarch_vulkan_memory(VkBuffer buffer, uint64_t offset, uint64_t size);

/*
 * Records an execution into a command buffer of the caller's, outside of any render pass, which is
 * of a queue family with compute. Allocates nothing and waits for nothing. It leaves a bound
 * compute pipeline and push constants of its own behind.
 *
 * Barriers: the caller makes the inputs visible to VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
 * VK_ACCESS_SHADER_READ_BIT, and waits there with the workspace for whoever used it before (an
 * execution recorded before counts: COMPUTE_SHADER, SHADER_READ | SHADER_WRITE to the same).
 * Between stages the library puts its own memory barriers. `out` is written by COMPUTE_SHADER,
 * SHADER_WRITE: what reads it needs a barrier from there.
 *
 * The plan, the tensors and the workspace must stay as long as the command buffer may run; it may
 * be submitted any number of times. Errors: as monarch_plan_execute; UNSUPPORTED on a device
 * without addresses, whose executions need descriptors of a queue.
 */
MONARCH_API monarch_status monarch_vulkan_plan_record(const monarch_plan *plan,
                                                      VkCommandBuffer commands,
                                                      const monarch_plan_args *args,
                                                      monarch_error *error);

/* A value of a timeline semaphore. */
typedef struct monarch_vulkan_timeline {
    VkSemaphore semaphore; /* of type VK_SEMAPHORE_TYPE_TIMELINE; 0 = none */
    uint64_t value;
} monarch_vulkan_timeline;

/*
 * monarch_plan_execute, which begins when the first semaphore has reached its value and then sets
 * the second to its own. Either may be NULL. Errors: as monarch_plan_execute.
 */
MONARCH_API monarch_status monarch_vulkan_plan_submit(const monarch_plan *plan,
                                                      monarch_queue *queue,
                                                      const monarch_plan_args *args,
                                                      const monarch_vulkan_timeline *wait,
                                                      const monarch_vulkan_timeline *signal,
                                                      monarch_error *error);

/*
 * What the driver has compiled for the device so far, to be stored and given to
 * monarch_vulkan_cache_load in a later process. On entry *size is the room at `data`; on return the
 * number of bytes written or, with `data` NULL, needed. Errors: INVALID_ARGUMENT (too little room:
 * nothing is written), UNSUPPORTED, NATIVE, OUT_OF_MEMORY, FORKED.
 */
MONARCH_API monarch_status monarch_vulkan_cache_save(monarch_device *device, void *data,
                                                     size_t *size, monarch_error *error);

/*
 * Gives such data to a device, before anything was made from it: afterwards the call fails with
 * INVALID_ARGUMENT. Drivers ignore data of another device or version of theirs, so a stale file is
 * no error; what is no such data at all is refused. Errors: INVALID_ARGUMENT, UNSUPPORTED, NATIVE,
 * OUT_OF_MEMORY, DEVICE_LOST, FORKED.
 */
MONARCH_API monarch_status monarch_vulkan_cache_load(monarch_device *device, const void *data,
                                                     size_t size, monarch_error *error);

/* The native objects behind a vulkan device, for use beside the library; NULL or 0 where they are
   not there (yet), or the object is of another backend. They live as long as it does. */
MONARCH_API VkDevice monarch_vulkan_device_handle(const monarch_device *device);
MONARCH_API VkQueue monarch_vulkan_queue_handle(const monarch_queue *queue);
MONARCH_API VkBuffer monarch_vulkan_buffer_handle(const monarch_buffer *buffer);

#ifdef __cplusplus
}
#endif
#endif
