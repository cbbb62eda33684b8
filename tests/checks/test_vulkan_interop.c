/* SPDX-License-Identifier: Apache-2.0 */

/*
 * monarch/vulkan.h on a real driver, as an engine uses it: its own instance, device, queue, buffers
 * with offsets, pipeline cache, command buffer and timeline semaphores. Results are compared with
 * those of the cpu device. With the validation layer, not one message may come. Exit status 77
 * where there is no Vulkan device.
 */

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <vulkan/vulkan_core.h>

#include <monarch/vulkan.h>

#include "fixture.h"

static PFN_vkGetInstanceProcAddr get_instance_function;
static int messages; /* of the validation layer */

/* The caller's objects. */
typedef struct engine {
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkDeviceMemory memory;
    VkBuffer buffer;
    char *bytes;
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkPipelineCache cache;
    VkSemaphore timeline;
    uint32_t features;
    int locks;
    monarch_instance *library;
    monarch_device *wrapped;
    monarch_plan *plan;
    monarch_plan_args args;
    float expected[FIXTURE_OUT];
} engine;

/* Where the tensors lie in the one buffer. Not one of them at its start. */
enum {
    AT_Q = 64,
    AT_K = AT_Q + 4 * FIXTURE_Q + 4, /* not a multiple of 16 */
    AT_V = AT_K + 4 * FIXTURE_K + 60,
    AT_OUT = AT_V + 4 * FIXTURE_V + 20,
    AT_WORKSPACE = (AT_OUT + 4 * FIXTURE_OUT + 4095) / 4096 * 4096,
    BUFFER_BYTES = AT_WORKSPACE + (1 << 20)
};

/* Recording needs addresses, and lavapipe has them. */
enum {
    ADDRESSES = MONARCH_VULKAN_REQUIRED | MONARCH_VULKAN_INT64 | MONARCH_VULKAN_DEVICE_ADDRESS |
                MONARCH_VULKAN_SMALL_STORAGE
};

#define FUNCTION(e, name) ((PFN_##name)get_instance_function((e)->instance, #name))

static void check(VkResult result, const char *call)
{
    if (result != VK_SUCCESS)
        fail_msg("%s: %d", call, (int)result);
}

#define CALL(e, name, ...) check(FUNCTION(e, name)(__VA_ARGS__), #name)

static VKAPI_ATTR VkBool32 VKAPI_CALL note(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                           VkDebugUtilsMessageTypeFlagsEXT types,
                                           const VkDebugUtilsMessengerCallbackDataEXT *data,
                                           void *user)
{
    (void)severity;
    (void)types;
    (void)user;
    messages++;
    print_message("validation: %s\n", data->pMessage);
    return VK_FALSE;
}

static bool has_layer(const char *name)
{
    VkLayerProperties layers[32];
    uint32_t count = 32;
    PFN_vkEnumerateInstanceLayerProperties list =
        (PFN_vkEnumerateInstanceLayerProperties)get_instance_function(
            NULL, "vkEnumerateInstanceLayerProperties");
    if (list(&count, layers) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(layers[i].layerName, name) == 0)
            return true;
    return false;
}

/* An instance with all that the validation layer can look for, where it is installed. */
static void make_instance(engine *e)
{
    static const char layer[] = "VK_LAYER_KHRONOS_validation";
    static const char *const layers[] = {layer};
    static const char *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
    const VkValidationFeatureEnableEXT enabled[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = note,
    };
    const VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enabled,
    };
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_2};
    const bool validated = has_layer(layer);
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validated ? &features : NULL,
        .pApplicationInfo = &application,
        .enabledLayerCount = validated,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = validated,
        .ppEnabledExtensionNames = extensions,
    };
    CALL(e, vkCreateInstance, &info, NULL, &e->instance);
    if (validated)
        CALL(e, vkCreateDebugUtilsMessengerEXT, e->instance, &messenger, NULL, &e->messenger);
    else
        print_message("skipped: no validation layer watches this run\n");
}

/* With just what the library asks for. */
static void make_device(engine *e)
{
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .bufferDeviceAddress = VK_TRUE,
        .timelineSemaphore = VK_TRUE};
    VkPhysicalDeviceVulkan11Features v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &v11,
                                          .features.shaderInt64 = VK_TRUE};
    e->features &= ADDRESSES;
    v11.storageBuffer16BitAccess = v12.storageBuffer8BitAccess = VK_TRUE;
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &features,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue};
    CALL(e, vkCreateDevice, e->physical, &info, NULL, &e->device);
    FUNCTION(e, vkGetDeviceQueue)(e->device, 0, 0, &e->queue);
}

/* A memory type that the host sees and a buffer may lie in. */
static uint32_t host_type(const engine *e, uint32_t allowed)
{
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    FUNCTION(e, vkGetPhysicalDeviceMemoryProperties)(e->physical, &memory);
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((allowed >> i & 1u) && (memory.memoryTypes[i].propertyFlags & wanted) == wanted)
            return i;
    fail_msg("no memory that the host sees");
    return 0;
}

static void make_buffer(engine *e)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = BUFFER_BYTES,
                                     .usage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryRequirements needs;
    void *bytes;
    CALL(e, vkCreateBuffer, e->device, &info, NULL, &e->buffer);
    FUNCTION(e, vkGetBufferMemoryRequirements)(e->device, e->buffer, &needs);
    const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .pNext = &flags,
                                             .allocationSize = needs.size,
                                             .memoryTypeIndex = host_type(e, needs.memoryTypeBits)};
    CALL(e, vkAllocateMemory, e->device, &allocation, NULL, &e->memory);
    CALL(e, vkBindBufferMemory, e->device, e->buffer, e->memory, 0);
    CALL(e, vkMapMemory, e->device, e->memory, 0, VK_WHOLE_SIZE, 0, &bytes);
    e->bytes = bytes;
}

static void make_rest(engine *e)
{
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    const VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                             .pNext = &type};
    CALL(e, vkCreateCommandPool, e->device, &pool, NULL, &e->pool);
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = e->pool,
        .commandBufferCount = 1};
    CALL(e, vkAllocateCommandBuffers, e->device, &commands, &e->commands);
    CALL(e, vkCreatePipelineCache, e->device, &cache, NULL, &e->cache);
    CALL(e, vkCreateSemaphore, e->device, &semaphore, NULL, &e->timeline);
}

static void lock(void *user, int32_t locked)
{
    engine *e = user;
    e->locks += locked ? 1 : 100;
}

/* What the cpu device makes of random tensors, which are also put into the buffer. */
static void fill(engine *e)
{
    fixture_tensors *t = calloc(1, sizeof *t);
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *cpu;
    monarch_problem problem = fixture_problem();
    assert_non_null(t);
    fixture_fill(t, fixture_seed());
    fixture_ok("cpu", monarch_instance_find(e->library, "cpu", &cpu, &error), &error);
    fixture_ok("attention",
               monarch_attention(cpu, &problem, t->q, t->k, t->v, NULL, e->expected, &error),
               &error);
    memset(e->bytes, 0xff, BUFFER_BYTES); /* NaN */
    memcpy(e->bytes + AT_Q, t->q, sizeof t->q);
    memcpy(e->bytes + AT_K, t->k, sizeof t->k);
    memcpy(e->bytes + AT_V, t->v, sizeof t->v);
    e->args = monarch_plan_args_default();
    e->args.q = monarch_vulkan_memory(e->buffer, AT_Q, sizeof t->q);
    e->args.k = monarch_vulkan_memory(e->buffer, AT_K, sizeof t->k);
    e->args.v = monarch_vulkan_memory(e->buffer, AT_V, sizeof t->v);
    e->args.out = monarch_vulkan_memory(e->buffer, AT_OUT, sizeof t->out);
    e->args.workspace = monarch_vulkan_memory(e->buffer, AT_WORKSPACE, 1 << 20);
    free(t);
}

static void check_out(engine *e)
{
    float out[FIXTURE_OUT];
    memcpy(out, e->bytes + AT_OUT, sizeof out);
    for (int i = 0; i < FIXTURE_OUT; i++)
        if (!(fabsf(out[i] - e->expected[i]) < 1e-5f))
            fail_msg("element %d is %g instead of %g", i, (double)out[i], (double)e->expected[i]);
    const unsigned char *around = (const unsigned char *)e->bytes + AT_OUT;
    assert_true(around[-1] == 0xff && around[sizeof out] == 0xff);
    memset(e->bytes + AT_OUT, 0xff, sizeof out);
}

static void open_engine(engine *e)
{
    uint32_t count = 1;
    monarch_error error = {MONARCH_OK, ""};
    memset(e, 0, sizeof *e);
    make_instance(e);
    VkResult result = FUNCTION(e, vkEnumeratePhysicalDevices)(e->instance, &count, &e->physical);
    assert_true(result == VK_SUCCESS || result == VK_INCOMPLETE);
    fixture_ok("library", monarch_instance_create(NULL, &e->library, &error), &error);
    fixture_ok("features",
               monarch_vulkan_features(e->library, e->instance, e->physical,
                                       (monarch_vulkan_function)get_instance_function, &e->features,
                                       &error),
               &error);
    assert_int_equal(e->features & ADDRESSES, ADDRESSES);
    make_device(e);
    make_buffer(e);
    make_rest(e);
    fill(e);
    monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
    params.features = e->features;
    params.instance = e->instance;
    params.physical_device = e->physical;
    params.device = e->device;
    params.get_instance_proc_addr = (monarch_vulkan_function)get_instance_function;
    params.pipeline_cache = e->cache;
    params.lock = lock;
    params.lock_user = e;
    fixture_ok("wrap", monarch_vulkan_device_wrap(e->library, &params, &e->wrapped, &error),
               &error);
    assert_ptr_equal(monarch_vulkan_device_handle(e->wrapped), e->device);
    monarch_problem problem = fixture_problem();
    fixture_ok("plan", monarch_plan_create(e->wrapped, &problem, NULL, &e->plan, &error), &error);
}

static void close_engine(engine *e)
{
    monarch_plan_destroy(&e->plan);
    monarch_vulkan_device_destroy(&e->wrapped);
    assert_null(e->wrapped);
    monarch_instance_destroy(&e->library);
    FUNCTION(e, vkDestroySemaphore)(e->device, e->timeline, NULL);
    FUNCTION(e, vkDestroyPipelineCache)(e->device, e->cache, NULL);
    FUNCTION(e, vkDestroyCommandPool)(e->device, e->pool, NULL);
    FUNCTION(e, vkDestroyBuffer)(e->device, e->buffer, NULL);
    FUNCTION(e, vkFreeMemory)(e->device, e->memory, NULL);
    /* An object of the library's that is left now is reported by the validation layer. */
    FUNCTION(e, vkDestroyDevice)(e->device, NULL);
    if (e->messenger)
        FUNCTION(e, vkDestroyDebugUtilsMessengerEXT)(e->instance, e->messenger, NULL);
    FUNCTION(e, vkDestroyInstance)(e->instance, NULL);
    assert_int_equal(messages, 0);
}

/* Recorded once, submitted twice. */
static void test_record(void **state)
{
    (void)state;
    engine e;
    monarch_error error = {MONARCH_OK, ""};
    open_engine(&e);
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    CALL(&e, vkBeginCommandBuffer, e.commands, &begin);
    fixture_ok("record", monarch_vulkan_plan_record(e.plan, e.commands, &e.args, &error), &error);
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    FUNCTION(&e, vkCmdPipelineBarrier)
    (e.commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier,
     0, NULL, 0, NULL);
    CALL(&e, vkEndCommandBuffer, e.commands);
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &e.commands};
    for (int i = 0; i < 2; i++) {
        CALL(&e, vkQueueSubmit, e.queue, 1, &submit, VK_NULL_HANDLE);
        CALL(&e, vkQueueWaitIdle, e.queue);
        check_out(&e);
    }
    assert_int_equal(e.locks, 0);
    close_engine(&e);
}

/* On the caller's queue, between two values of a timeline semaphore. */
static void test_submit(void **state)
{
    (void)state;
    engine e;
    monarch_error error = {MONARCH_OK, ""};
    monarch_queue *queue;
    open_engine(&e);
    monarch_vulkan_queue_params params = monarch_vulkan_queue_params_default();
    params.queue = e.queue;
    params.lock = lock;
    params.lock_user = &e;
    fixture_ok("queue", monarch_vulkan_queue_wrap(e.wrapped, &params, &queue, &error), &error);
    assert_ptr_equal(monarch_vulkan_queue_handle(queue), e.queue);
    const monarch_vulkan_timeline wait = {e.timeline, 3}, signal = {e.timeline, 7};
    fixture_ok("submit", monarch_vulkan_plan_submit(e.plan, queue, &e.args, &wait, &signal, &error),
               &error);
    assert_int_equal(e.locks, 101);
    uint64_t value = 7;
    const VkSemaphoreSignalInfo go = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = e.timeline, .value = 3};
    const VkSemaphoreWaitInfo done = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &e.timeline,
                                      .pValues = &value};
    CALL(&e, vkSignalSemaphore, e.device, &go);
    CALL(&e, vkWaitSemaphores, e.device, &done, UINT64_MAX);
    check_out(&e);
    fixture_ok("execute", monarch_plan_execute(e.plan, queue, &e.args, &error), &error);
    fixture_ok("wait", monarch_queue_wait(queue, &error), &error);
    check_out(&e);
    monarch_queue_destroy(&queue);
    close_engine(&e);
}

/* What one device has compiled is taken by the next. */
static void test_cache(void **state)
{
    (void)state;
    monarch_instance *instance;
    monarch_device *device;
    monarch_plan *plan;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    char *data = NULL;
    size_t size = 0;
    for (int round = 0; round < 2; round++) {
        fixture_ok("instance", monarch_instance_create(NULL, &instance, &error), &error);
        fixture_ok("find", monarch_instance_find(instance, "vulkan", &device, &error), &error);
        if (round == 1)
            fixture_ok("load", monarch_vulkan_cache_load(device, data, size, &error), &error);
        fixture_ok("plan", monarch_plan_create(device, &problem, NULL, &plan, &error), &error);
        fixture_ok("size", monarch_vulkan_cache_save(device, NULL, &size, &error), &error);
        assert_true(size >= 32);
        free(data);
        data = malloc(size);
        assert_non_null(data);
        fixture_ok("save", monarch_vulkan_cache_save(device, data, &size, &error), &error);
        fixture_invalid("again", monarch_vulkan_cache_load(device, data, size, &error), &error,
                        "already", NULL);
        monarch_plan_destroy(&plan);
        monarch_instance_destroy(&instance);
    }
    free(data);
}

static bool has_device(void)
{
    monarch_instance *instance;
    monarch_device *device;
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("instance", monarch_instance_create(NULL, &instance, &error), &error);
    bool there = monarch_instance_find(instance, "vulkan", &device, &error) == MONARCH_OK;
    if (!there)
        printf("skipped: %s\n", error.message);
    monarch_instance_destroy(&instance);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_submit),
        cmocka_unit_test(test_cache),
    };
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *function = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    if (!function || !has_device())
        return 77;
    memcpy(&get_instance_function, &function, sizeof function);
    return cmocka_run_group_tests_name("vulkan_interop", tests, NULL, NULL);
}
