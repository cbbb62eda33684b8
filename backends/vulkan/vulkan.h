/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_VULKAN_H
#define MN_VULKAN_H

#include <pthread.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/loader.h"
#include "backends/vulkan/variants.h"
#include "core/backend.h"
#include "core/step.h"

/* Objects of the vulkan backend and the functions that its contract is made of. */

/* Kinds of memory. The last two are mapped and coherent. */
typedef enum mn_vulkan_heap {
    MN_VULKAN_DEVICE_HEAP,  /* device-local: tensors */
    MN_VULKAN_HOST_HEAP,    /* device-local too where there is such memory: parameter blocks */
    MN_VULKAN_STAGING_HEAP, /* what the host can read quickly: on its way to and from it */
    MN_VULKAN_HEAPS
} mn_vulkan_heap;

/* The push constants of a dispatch, as shaders/vulkan/params.glsl has them. */
typedef struct mn_vulkan_push {
    uint64_t block; /* address of the launch's mn_stage_params; with descriptors its number */
    uint64_t first_work_group;
    uint64_t address[MN_OPERAND_COUNT]; /* with descriptors from the start of what is bound */
    uint32_t vectors;                   /* see params.glsl */
    int32_t depth;                      /* of the block: params.glsl says why it is here too */
} mn_vulkan_push;

/* What descriptors bind: the memory of each mn_source but the first, and the parameter blocks. */
enum { MN_VULKAN_SOURCES = MN_SOURCE_SLOT, MN_VULKAN_BOUND = MN_VULKAN_SOURCES + 1 };

_Static_assert(sizeof(mn_vulkan_push) <= 128, "what every device has");

/* Features as Vulkan's structures, chained. */
typedef struct mn_vulkan_feature_chain {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDevice8BitStorageFeatures storage8;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control;
    VkPhysicalDeviceMaintenance4Features maintenance4;
    mn_vk_cooperative_matrix_features matrix;
    mn_vk_cooperative_matrix2_features matrix2;
    mn_vk_bfloat16_features bfloat16;
} mn_vulkan_feature_chain;

struct mn_vulkan_block; /* memory.c */

/* A VkBuffer and the memory that it is bound to. */
typedef struct mn_vulkan_memory {
    VkBuffer buffer;
    struct mn_vulkan_block *block;
    VkDeviceSize offset, size; /* in the block */
    void *host;                /* where it is mapped, in the host heap */
    VkDeviceAddress address;
} mn_vulkan_memory;

/* A pipeline that some plan uses; it lives as long as the device. */
typedef struct mn_vulkan_pipeline {
    struct mn_vulkan_pipeline *next;
    mn_vulkan_shader shader;
    VkPipeline handle;
} mn_vulkan_pipeline;

typedef struct mn_vulkan_device {
    monarch_device base;
    mn_vulkan_instance_functions instance_vk;
    VkPhysicalDevice physical;
    mn_vulkan_limits limits;
    VkPhysicalDeviceMemoryProperties memory_properties;
    uint32_t memory_types[MN_VULKAN_HEAPS];
    uint32_t queue_family;
    uint32_t timestamp_bits;
    double timestamp_seconds; /* of one count */
    uint64_t largest_allocation;
    uint32_t work_groups[2];          /* of one dispatch, along x and y */
    uint64_t bound_alignment;         /* of what descriptors bind */
    VkDescriptorSetLayout set_layout; /* of devices without addresses */
    bool has_size_extension; /* VK_EXT_subgroup_size_control is to be enabled: before Vulkan 1.3 */
    bool wrapped;            /* handle, and what comes with it, is the caller's */
    VkPipelineCache given_cache;
    void (*lock)(void *user, int32_t locked); /* around submissions to the queue, or NULL */
    void *lock_user;

    pthread_mutex_t mutex; /* of what follows, which never changes once it is there */
    VkDevice handle;       /* NULL until it is first wanted */
    mn_vulkan_functions vk;
    VkQueue queue; /* of the device's own making */
    VkPipelineLayout layout;
    VkPipelineCache cache;
    mn_vulkan_pipeline *pipelines;

    pthread_mutex_t queue_mutex; /* one VkQueue serves all queues: submissions take turns */
    pthread_mutex_t memory_mutex;
    struct mn_vulkan_block *blocks;
} mn_vulkan_device;

enum { MN_VULKAN_COMMANDS = 64, MN_VULKAN_STAGING_BYTES = 1 << 22 };

typedef struct mn_vulkan_queue {
    monarch_queue base;
    VkQueue handle;
    bool wrapped;                             /* the VkQueue is the caller's */
    void (*lock)(void *user, int32_t locked); /* around submissions to it, or NULL */
    void *lock_user;
    VkCommandPool pool;
    VkCommandBuffer commands[MN_VULKAN_COMMANDS]; /* submission n uses n % MN_VULKAN_COMMANDS */
    VkDescriptorPool set_pool;                    /* of devices without addresses */
    VkDescriptorSet sets[MN_VULKAN_COMMANDS];     /* likewise */
    VkSemaphore timeline;                         /* reaches n when submission n is done */
    uint64_t submitted;
    mn_vulkan_memory staging; /* made with the queue */
} mn_vulkan_queue;

typedef struct mn_vulkan_buffer {
    monarch_buffer base;
    mn_vulkan_memory memory;
} mn_vulkan_buffer;

extern const mn_backend mn_vulkan_backend;

static inline mn_vulkan_device *mn_vulkan_device_of(const monarch_device *device)
{
    return (mn_vulkan_device *)device;
}

/* device.c */
monarch_status mn_vulkan_device_open(monarch_instance *instance, void *state, uint32_t index,
                                     monarch_device **device, monarch_error *error);
void mn_vulkan_device_close(monarch_device *device);
/* A device on the caller's VkDevice. */
monarch_status mn_vulkan_device_open_native(monarch_instance *instance,
                                            const monarch_vulkan_device_params *params,
                                            PFN_vkGetInstanceProcAddr find, monarch_device **device,
                                            monarch_error *error);

/* chain.c: features as structures and as monarch_vulkan_feature bits */

/* Which of the newer structures a driver knows. */
typedef struct mn_vulkan_known {
    bool size_control, matrix, matrix2, bfloat16;
} mn_vulkan_known;

/* A chain to be filled in by the driver, with the structures that it knows. */
void mn_vulkan_start_chain(mn_vulkan_feature_chain *chain, mn_vulkan_known known);
uint32_t mn_vulkan_chain_features(const mn_vulkan_feature_chain *chain);
/* A chain that enables features. It must stay where it is. */
void mn_vulkan_set_chain(mn_vulkan_feature_chain *chain, uint32_t features);

/* physical.c: what a device has */

/* The features that the library uses and a device has: monarch_vulkan_feature bits. */
monarch_status mn_vulkan_read_features(const mn_vulkan_instance_functions *vk,
                                       VkPhysicalDevice physical,
                                       const monarch_allocator *allocator, uint32_t *features,
                                       monarch_error *error);
/* Fills info, limits and the like; device->limits.features is set. */
monarch_status mn_vulkan_read_device(mn_vulkan_device *device, uint32_t index,
                                     monarch_error *error);

/* logical.c: the VkDevice */

/* Sees to it that device->handle is there. */
monarch_status mn_vulkan_retain(mn_vulkan_device *device, monarch_error *error);
/* Its functions, and what every plan needs; for a handle that is there. */
monarch_status mn_vulkan_start(mn_vulkan_device *device, monarch_error *error);
monarch_status mn_vulkan_make_cache(mn_vulkan_device *device, const void *data, size_t size,
                                    VkPipelineCache *cache, monarch_error *error);
/* Frees it all; `driver_too` is false in a forked child. */
void mn_vulkan_release(mn_vulkan_device *device, bool driver_too);

/* pipelines.c */

/* The pipeline of a shader, made when it is first wanted. */
monarch_status mn_vulkan_find_pipeline(mn_vulkan_device *device, const mn_vulkan_shader *shader,
                                       VkPipeline *pipeline, monarch_error *error);
void mn_vulkan_free_pipelines(mn_vulkan_device *device, bool driver_too);
/* Whether this build has a shader. */
bool mn_vulkan_has_module(mn_vulkan_module module);

/* cache.c: behind monarch_vulkan_cache_save and _load */
monarch_status mn_vulkan_save_cache(mn_vulkan_device *device, void *data, size_t *size,
                                    monarch_error *error);
monarch_status mn_vulkan_load_cache(mn_vulkan_device *device, const void *data, size_t size,
                                    monarch_error *error);

/* memory.c: the allocator */

/* A buffer of `size` bytes, at least 1, with an address. Errors: OUT_OF_MEMORY, NATIVE. */
monarch_status mn_vulkan_allocate(mn_vulkan_device *device, mn_vulkan_heap heap, uint64_t size,
                                  mn_vulkan_memory *memory, monarch_error *error);
/* Nothing is done for memory that is not there; `driver_too` is false in a forked child. */
void mn_vulkan_free(mn_vulkan_device *device, mn_vulkan_memory *memory, bool driver_too);
void mn_vulkan_free_blocks(mn_vulkan_device *device, bool driver_too);

/* queue.c */
monarch_status mn_vulkan_queue_create(monarch_device *device, monarch_queue **queue,
                                      monarch_error *error);
monarch_status mn_vulkan_queue_open_native(monarch_device *device,
                                           const monarch_vulkan_queue_params *params,
                                           monarch_queue **queue, monarch_error *error);
void mn_vulkan_queue_destroy(monarch_queue *queue);
monarch_status mn_vulkan_queue_wait(monarch_queue *queue, monarch_error *error);
/* A command buffer that is being recorded, and its submission. What is recorded runs after, and
   sees, all that was submitted to the queue before. */
monarch_status mn_vulkan_queue_begin(mn_vulkan_queue *queue, VkCommandBuffer *commands,
                                     monarch_error *error);
/* `wait` and `signal` come on top and may be NULL. */
monarch_status mn_vulkan_queue_submit(mn_vulkan_queue *queue, const monarch_vulkan_timeline *wait,
                                      const monarch_vulkan_timeline *signal, monarch_error *error);
/* The set for that command buffer, none where memory has addresses. */
VkDescriptorSet mn_vulkan_queue_set(const mn_vulkan_queue *queue);
/* Everything so far before everything after, for computations and copies. */
void mn_vulkan_barrier(const mn_vulkan_functions *vk, VkCommandBuffer commands);

/* buffer.c */
monarch_status mn_vulkan_buffer_create(monarch_device *device, uint64_t size,
                                       monarch_buffer **buffer, monarch_error *error);
void mn_vulkan_buffer_destroy(monarch_buffer *buffer);
monarch_status mn_vulkan_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                      const void *source, uint64_t size, monarch_error *error);
monarch_status mn_vulkan_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                     uint64_t offset, void *destination, uint64_t size,
                                     monarch_error *error);

/* variants.c */
monarch_status mn_vulkan_select(const monarch_device *device, const mn_program *program,
                                const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                                monarch_error *error);
/* Writes the names of the variants to `info`, without coopmat where build or device lack it. */
void mn_vulkan_list_variants(const mn_vulkan_limits *limits, monarch_device_info *info);

/* plan.c */
monarch_status mn_vulkan_plan_build(monarch_plan *plan, monarch_error *error);
void mn_vulkan_plan_free(monarch_plan *plan);
monarch_status mn_vulkan_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                      const mn_bindings *bindings, monarch_error *error);
/* The same between two semaphores, which may be NULL. */
monarch_status mn_vulkan_plan_submit(const monarch_plan *plan, monarch_queue *queue,
                                     const mn_bindings *bindings,
                                     const monarch_vulkan_timeline *wait,
                                     const monarch_vulkan_timeline *signal, monarch_error *error);
/* Writes what an execution binds to a set that no command uses yet. Nothing where memory has
   addresses. */
void mn_vulkan_plan_describe(const monarch_plan *plan, const mn_bindings *bindings,
                             VkDescriptorSet set);
/* Records the runs, with barriers between them but none before and after. */
void mn_vulkan_plan_record(const monarch_plan *plan, VkCommandBuffer commands,
                           const mn_bindings *bindings, VkDescriptorSet set);

/* time.c */
monarch_status mn_vulkan_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, uint32_t count, double *seconds,
                                   monarch_error *error);

#endif
