/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/error.h"

/* Of cl_nv_device_attribute_query; not in every header. */
enum { COMPUTE_CAPABILITY_MAJOR = 0x4000, COMPUTE_CAPABILITY_MINOR = 0x4001 };

/* Of cl_amd_device_attribute_query, likewise. */
enum { WAVEFRONT_WIDTH = 0x4043, NVIDIA_LANES = 32 };

/* Of cl_intel_required_subgroup_size, likewise. */
enum { SUB_GROUP_SIZES = 0x4108, MOST_SIZES = 16, INTEL_LANES = 16 };

/* The block of parameters of a stage goes by value, beside the buffers. */
enum { LEAST_PARAMETERS = 1024, MOST_EXTENSIONS = 8192 };

/* Properties of a device, read one after the other until one fails. */
typedef struct reader {
    const mn_opencl_driver *driver;
    cl_device_id handle;
    monarch_status status;
    monarch_error *error;
} reader;

static void read_bytes(reader *r, cl_device_info what, size_t size, void *value)
{
    if (r->status != MONARCH_OK)
        return;
    cl_int result = r->driver->get_device_info(r->handle, what, size, value, NULL);
    r->status = mn_opencl_check(result, "clGetDeviceInfo", r->error);
    /* It is the host's memory alone whose end fails an instance. */
    if (r->status == MONARCH_ERROR_OUT_OF_MEMORY)
        r->status = MONARCH_ERROR_NATIVE;
}

static cl_ulong read_ulong(reader *r, cl_device_info what)
{
    cl_ulong value = 0;
    read_bytes(r, what, sizeof value, &value);
    return value;
}

static cl_uint read_uint(reader *r, cl_device_info what)
{
    cl_uint value = 0;
    read_bytes(r, what, sizeof value, &value);
    return value;
}

static size_t read_size(reader *r, cl_device_info what)
{
    size_t value = 0;
    read_bytes(r, what, sizeof value, &value);
    return value;
}

/* A text that may be longer than there is room for is cut. */
static monarch_status read_text(reader *r, const monarch_allocator *allocator, cl_device_info what,
                                char *text, size_t capacity)
{
    text[0] = '\0';
    char *whole = mn_alloc(allocator, MOST_EXTENSIONS);
    if (!whole)
        return mn_fail_memory(r->error, "a text of an OpenCL device");
    read_bytes(r, what, MOST_EXTENSIONS - 1, whole);
    if (r->status == MONARCH_OK)
        snprintf(text, capacity, "%s", whole);
    mn_free(allocator, whole);
    return r->status;
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(words, word); at; at = strstr(at + length, word))
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* "OpenCL 1.2 ..." as 12. */
static int version_of(const char *text)
{
    char *end;
    if (strncmp(text, "OpenCL ", 7) != 0)
        return 0;
    long major = strtol(text + 7, &end, 10);
    return *end == '.' ? (int)(10 * major + strtol(end + 1, NULL, 10)) : 0;
}

static monarch_status refuse(const monarch_device_info *info, const char *what,
                             monarch_error *error)
{
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "%s %s", info->name, what);
}

/* What no kernel here can do without. */
static monarch_status check_device(reader *r, const monarch_allocator *allocator,
                                   const monarch_device_info *info, int *version)
{
    char text[64];
    MN_TRY(read_text(r, allocator, CL_DEVICE_VERSION, text, sizeof text));
    *version = version_of(text);
    bool available = read_uint(r, CL_DEVICE_AVAILABLE) != 0;
    bool compiles = read_uint(r, CL_DEVICE_COMPILER_AVAILABLE) != 0;
    bool little = read_uint(r, CL_DEVICE_ENDIAN_LITTLE) != 0;
    cl_uint address = read_uint(r, CL_DEVICE_ADDRESS_BITS);
    size_t parameters = read_size(r, CL_DEVICE_MAX_PARAMETER_SIZE);
    MN_TRY(r->status);
    if (*version < 12)
        return refuse(info, "offers less than OpenCL 1.2", r->error);
    if (!available || !compiles)
        return refuse(info, available ? "has no compiler" : "is not available", r->error);
    if (address != 64 || !little)
        return refuse(info, "is not a little-endian device with 64-bit addresses", r->error);
    if (parameters < LEAST_PARAMETERS)
        return refuse(info, "takes less than 1024 bytes of kernel arguments", r->error);
    return MONARCH_OK;
}

static bool has_lanes(reader *r)
{
    size_t sizes[MOST_SIZES] = {0};
    bool found = false;
    read_bytes(r, SUB_GROUP_SIZES, sizeof sizes, sizes);
    for (int i = 0; i < MOST_SIZES; i++)
        found |= sizes[i] == INTEL_LANES;
    return found;
}

static monarch_status read_limits(reader *r, const monarch_allocator *allocator,
                                  mn_opencl_limits *limits)
{
    char *extensions = mn_alloc(allocator, MOST_EXTENSIONS);
    if (!extensions)
        return mn_fail_memory(r->error, "the extensions of an OpenCL device");
    monarch_status status =
        read_text(r, allocator, CL_DEVICE_EXTENSIONS, extensions, MOST_EXTENSIONS);
    cl_device_type type = read_ulong(r, CL_DEVICE_TYPE);
    limits->cpu = (type & CL_DEVICE_TYPE_CPU) != 0 && (type & CL_DEVICE_TYPE_GPU) == 0;
    limits->work_group = (uint32_t)read_size(r, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    cl_ulong local_memory = read_ulong(r, CL_DEVICE_LOCAL_MEM_SIZE);
    limits->local_memory = local_memory < UINT32_MAX ? (uint32_t)local_memory : UINT32_MAX;
    if (has_word(extensions, "cl_nv_device_attribute_query"))
        limits->capability = (int32_t)(10 * read_uint(r, COMPUTE_CAPABILITY_MAJOR) +
                                       read_uint(r, COMPUTE_CAPABILITY_MINOR));
    if (has_word(extensions, "cl_amd_device_attribute_query"))
        limits->subgroup = read_uint(r, WAVEFRONT_WIDTH);
    else if (limits->capability > 0)
        limits->subgroup = NVIDIA_LANES;
    limits->subgroup_matrix =
        has_word(extensions, "cl_intel_subgroup_matrix_multiply_accumulate") &&
        has_word(extensions, "cl_intel_required_subgroup_size") && has_lanes(r);
    mn_free(allocator, extensions);
    return status == MONARCH_OK ? r->status : status;
}

static monarch_status read_info(mn_opencl_device *device, uint32_t index, monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    monarch_device_info *info = &device->base.info;
    mn_opencl_limits *limits = &device->limits;
    reader r = {device->driver, device->handle, MONARCH_OK, error};
    int version = 0;
    MN_TRY(read_text(&r, allocator, CL_DEVICE_NAME, info->name, sizeof info->name));
    MN_TRY(check_device(&r, allocator, info, &version));
    MN_TRY(read_text(&r, allocator, CL_DRIVER_VERSION, info->driver, sizeof info->driver));
    MN_TRY(read_limits(&r, allocator, limits));
    info->struct_size = (uint32_t)sizeof *info;
    info->index = index;
    snprintf(info->backend, sizeof info->backend, "opencl");
    snprintf(info->features, sizeof info->features, "%s%s", limits->cpu ? "cpu" : "gpu",
             limits->subgroup_matrix ? " intel_matrix" : "");
    if (limits->capability > 0)
        snprintf(info->features, sizeof info->features, "sm_%" PRId32, limits->capability);
    mn_opencl_list_variants(limits, info);
    info->compute_units = read_uint(&r, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->memory = read_ulong(&r, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_buffer = read_ulong(&r, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->local_memory = limits->local_memory;
    info->subgroup_size = limits->subgroup;
    cl_ulong svm = version >= 20 ? read_ulong(&r, CL_DEVICE_SVM_CAPABILITIES) : 0;
    if (svm != 0 && device->driver->set_kernel_arg_svm_pointer)
        device->base.memory_kinds |= 1u << MONARCH_MEMORY_SVM;
    return r.status;
}

static monarch_status make_device(monarch_instance *instance, const mn_opencl_driver *driver,
                                  cl_device_id handle, uint32_t index, cl_context context,
                                  monarch_device **out, monarch_error *error)
{
    mn_opencl_device *device = mn_alloc(&instance->allocator, sizeof *device);
    if (!device)
        return mn_fail_memory(error, "an opencl device");
    device->base.backend = &mn_opencl_backend;
    device->base.instance = instance;
    device->base.memory_kinds = 1u << MONARCH_MEMORY_OPENCL;
    /* Means of keys, queries and values fit in the dtype that they are means of. */
    device->base.intermediate[MONARCH_F32] = MONARCH_F32;
    device->base.intermediate[MONARCH_F16] = MONARCH_F16;
    device->base.intermediate[MONARCH_BF16] = MONARCH_BF16;
    device->driver = driver;
    device->handle = handle;
    device->wrapped = context != NULL;
    device->context = context;
    pthread_mutex_init(&device->mutex, NULL);
    pthread_mutex_init(&device->probe_mutex, NULL);
    monarch_status status = read_info(device, index, error);
    if (status != MONARCH_OK) {
        pthread_mutex_destroy(&device->mutex);
        pthread_mutex_destroy(&device->probe_mutex);
        mn_free(&instance->allocator, device);
        return status;
    }
    *out = &device->base;
    return MONARCH_OK;
}

monarch_status mn_opencl_device_open(monarch_instance *instance, void *state, uint32_t index,
                                     monarch_device **device, monarch_error *error)
{
    const mn_opencl_driver *driver = state;
    return make_device(instance, driver, driver->devices[index], index, NULL, device, error);
}

monarch_status mn_opencl_device_open_context(monarch_instance *instance,
                                             const mn_opencl_driver *driver, cl_context context,
                                             cl_device_id handle, monarch_device **device,
                                             monarch_error *error)
{
    cl_device_id devices[64];
    size_t size = 0;
    uint32_t index = 0;
    bool found = false;
    MN_TRY(mn_opencl_check(
        driver->get_context_info(context, CL_CONTEXT_DEVICES, sizeof devices, devices, &size),
        "clGetContextInfo", error));
    for (size_t i = 0; i < size / sizeof *devices; i++)
        found |= devices[i] == handle;
    if (!found)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "native is not among the devices of the context");
    for (uint32_t i = 0; i < driver->device_count; i++)
        if (driver->devices[i] == handle)
            index = i;
    return make_device(instance, driver, handle, index, context, device, error);
}

monarch_status mn_opencl_retain(mn_opencl_device *device, monarch_error *error)
{
    pthread_mutex_lock(&device->mutex);
    monarch_status status = MONARCH_OK;
    if (!device->context) {
        cl_int result = CL_SUCCESS;
        cl_context context =
            device->driver->create_context(NULL, 1, &device->handle, NULL, NULL, &result);
        status = mn_opencl_check(result, "clCreateContext", error);
        device->context = status == MONARCH_OK ? context : NULL;
    }
    pthread_mutex_unlock(&device->mutex);
    return status;
}

bool mn_opencl_may_free(const monarch_device *device)
{
    return mn_instance_check_process(device->instance, NULL) == MONARCH_OK;
}

void mn_opencl_device_close(monarch_device *base)
{
    mn_opencl_device *device = mn_opencl_device_of(base);
    const monarch_instance *instance = base->instance;
    bool may_free = mn_opencl_may_free(base);
    mn_opencl_free_programs(device, may_free);
    mn_free(&instance->allocator, (void *)(uintptr_t)device->cache.directory);
    if (device->context && !device->wrapped && may_free)
        mn_opencl_warn(instance, device->driver->release_context(device->context),
                       "clReleaseContext");
    if (may_free) { /* in a child another thread of the parent may seem to hold them */
        pthread_mutex_destroy(&device->mutex);
        pthread_mutex_destroy(&device->probe_mutex);
    }
    mn_free(&instance->allocator, device);
}

const mn_opencl_limits *mn_opencl_device_limits(const monarch_device *device)
{
    return &mn_opencl_device_of(device)->limits;
}
