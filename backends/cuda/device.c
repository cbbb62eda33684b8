/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/cuda.h"
#include "core/alloc.h"
#include "core/error.h"

enum { LEAST_CAPABILITY = 75 }; /* the oldest that the compiled code runs on */

/* For calls that only look at a device: it is the host's memory alone whose end fails an instance,
   so a driver that says it is out of memory has simply failed. */
static monarch_status look(const mn_cuda_driver *driver, CUresult result, const char *call,
                           monarch_error *error)
{
    monarch_status status = mn_cuda_check(driver, result, call, error);
    if (status != MONARCH_ERROR_OUT_OF_MEMORY)
        return status;
    if (error)
        error->status = MONARCH_ERROR_NATIVE;
    return MONARCH_ERROR_NATIVE;
}

/* Attributes of a device, read one after the other until one fails. */
typedef struct reader {
    const mn_cuda_driver *driver;
    CUdevice handle;
    monarch_status status;
    monarch_error *error;
} reader;

static int32_t read_attribute(reader *r, CUdevice_attribute attribute)
{
    int value = 0;
    if (r->status == MONARCH_OK)
        r->status = look(r->driver, r->driver->device_get_attribute(&value, attribute, r->handle),
                         "cuDeviceGetAttribute", r->error);
    return value;
}

static void read_limits(reader *r, mn_cuda_limits *limits)
{
    limits->capability = 10 * read_attribute(r, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                         read_attribute(r, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    limits->multiprocessors = read_attribute(r, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    limits->shared_memory =
        (uint32_t)read_attribute(r, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    limits->shared_memory_per_multiprocessor =
        (uint32_t)read_attribute(r, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    limits->reserved_shared_memory =
        (uint32_t)read_attribute(r, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK);
}

static monarch_status read_info(mn_cuda_device *device, uint32_t index, monarch_error *error)
{
    const mn_cuda_driver *driver = device->driver;
    monarch_device_info *info = &device->base.info;
    reader r = {driver, device->handle, MONARCH_OK, error};
    size_t memory = 0;
    read_limits(&r, &device->limits);
    MN_TRY(r.status);
    MN_TRY(look(driver, driver->device_get_name(info->name, (int)sizeof info->name, device->handle),
                "cuDeviceGetName", error));
    MN_TRY(
        look(driver, driver->device_total_mem(&memory, device->handle), "cuDeviceTotalMem", error));
    const mn_cuda_limits *limits = &device->limits;
    if (limits->capability < LEAST_CAPABILITY)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "%s has compute capability %" PRId32 ".%" PRId32
                       "; at least %d.%d is needed",
                       info->name, limits->capability / 10, limits->capability % 10,
                       LEAST_CAPABILITY / 10, LEAST_CAPABILITY % 10);
    info->struct_size = (uint32_t)sizeof *info;
    info->index = index;
    snprintf(info->backend, sizeof info->backend, "cuda");
    snprintf(info->driver, sizeof info->driver, "%s", driver->version);
    snprintf(info->features, sizeof info->features, "sm_%" PRId32, limits->capability);
    mn_cuda_list_variants(info);
    info->compute_units = (uint32_t)limits->multiprocessors;
    info->subgroup_size = 32;
    info->memory = memory;
    info->local_memory = limits->shared_memory;
    info->max_buffer = memory;
    return MONARCH_OK;
}

static monarch_status make_device(monarch_instance *instance, const mn_cuda_driver *driver,
                                  CUdevice handle, uint32_t index, CUcontext context,
                                  monarch_device **out, monarch_error *error)
{
    mn_cuda_device *device = mn_alloc(&instance->allocator, sizeof *device);
    if (!device)
        return mn_fail_memory(error, "a cuda device");
    device->base.backend = &mn_cuda_backend;
    device->base.instance = instance;
    device->base.memory_kinds = 1u << MONARCH_MEMORY_CUDA;
    /* Means of keys, queries and values fit in the dtype that they are means of. */
    device->base.intermediate[MONARCH_F32] = MONARCH_F32;
    device->base.intermediate[MONARCH_F16] = MONARCH_F16;
    device->base.intermediate[MONARCH_BF16] = MONARCH_BF16;
    device->driver = driver;
    device->handle = handle;
    device->wrapped = context != NULL;
    device->context = context;
    pthread_mutex_init(&device->mutex, NULL);
    monarch_status status = read_info(device, index, error);
    if (status != MONARCH_OK) {
        pthread_mutex_destroy(&device->mutex);
        mn_free(&instance->allocator, device);
        return status;
    }
    *out = &device->base;
    return MONARCH_OK;
}

monarch_status mn_cuda_device_open(monarch_instance *instance, void *state, uint32_t index,
                                   monarch_device **device, monarch_error *error)
{
    const mn_cuda_driver *driver = state;
    CUdevice handle = 0;
    MN_TRY(look(driver, driver->device_get(&handle, (int)index), "cuDeviceGet", error));
    return make_device(instance, driver, handle, index, NULL, device, error);
}

/* The number under which the driver lists a device. */
static monarch_status find_index(const mn_cuda_driver *driver, CUdevice handle, uint32_t *index,
                                 monarch_error *error)
{
    int count = 0;
    MN_TRY(look(driver, driver->device_get_count(&count), "cuDeviceGetCount", error));
    *index = 0;
    for (int i = 0; i < count; i++) {
        CUdevice other;
        MN_TRY(look(driver, driver->device_get(&other, i), "cuDeviceGet", error));
        if (other == handle)
            *index = (uint32_t)i;
    }
    return MONARCH_OK;
}

/* The device that a context of the caller lives on. */
static monarch_status device_of_context(const mn_cuda_driver *driver, CUcontext context,
                                        CUdevice *handle, monarch_error *error)
{
    CUcontext popped;
    MN_TRY(mn_cuda_check(driver, driver->ctx_push_current(context), "cuCtxPushCurrent", error));
    monarch_status status =
        mn_cuda_check(driver, driver->ctx_get_device(handle), "cuCtxGetDevice", error);
    CUresult result = driver->ctx_pop_current(&popped);
    return status == MONARCH_OK ? mn_cuda_check(driver, result, "cuCtxPopCurrent", error) : status;
}

monarch_status mn_cuda_device_open_context(monarch_instance *instance, const mn_cuda_driver *driver,
                                           CUcontext context, monarch_device **device,
                                           monarch_error *error)
{
    CUdevice handle = 0;
    uint32_t index;
    MN_TRY(device_of_context(driver, context, &handle, error));
    MN_TRY(find_index(driver, handle, &index, error));
    return make_device(instance, driver, handle, index, context, device, error);
}

void mn_cuda_device_close(monarch_device *base)
{
    mn_cuda_device *device = mn_cuda_device_of(base);
    const monarch_instance *instance = base->instance;
    bool forked = mn_instance_check_process(instance, NULL) != MONARCH_OK;
    bool pushed = false;
    bool entered = device->context && mn_cuda_enter_to_free(device, &pushed);
    mn_cuda_free_modules(device, entered);
    if (entered)
        mn_cuda_leave_after_free(device, pushed);
    if (device->context && !device->wrapped && !forked)
        mn_cuda_warn(device->driver, instance, device->driver->primary_ctx_release(device->handle),
                     "cuDevicePrimaryCtxRelease");
    if (!forked) /* in a child another thread of the parent may seem to hold it */
        pthread_mutex_destroy(&device->mutex);
    mn_free(&instance->allocator, device);
}

const mn_cuda_limits *mn_cuda_device_limits(const monarch_device *device)
{
    return &mn_cuda_device_of(device)->limits;
}
