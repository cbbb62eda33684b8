/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/cuda/cuda.h"
#include "core/alloc.h"
#include "core/error.h"

/* The compiled files of shaders/cuda/, embedded by the build: one for each name in meson.build. */
extern const unsigned char mn_cuda_fatbin_fused[];
extern const unsigned char mn_cuda_fatbin_left[];
extern const unsigned char mn_cuda_fatbin_left_out[];
extern const unsigned char mn_cuda_fatbin_plain[];
extern const unsigned char mn_cuda_fatbin_right[];
extern const unsigned char mn_cuda_fatbin_right_value[];
#if defined(MN_HAVE_CUDA_SM_90A)
extern const unsigned char mn_cuda_fatbin_cluster[];
extern const unsigned char mn_cuda_fatbin_fused_shares[];
extern const unsigned char mn_cuda_fatbin_hopper[];
extern const unsigned char mn_cuda_fatbin_ring[];
extern const unsigned char mn_cuda_fatbin_ring_256[];
extern const unsigned char mn_cuda_fatbin_ring_fp8[];
extern const unsigned char mn_cuda_fatbin_slice[];
#endif

enum { LEAST_WAITING = 90 }; /* PTX version from which kernels have griddepcontrol */

typedef struct image {
    const char *name;
    const unsigned char *fatbin;
} image;

static const image images[MN_CUDA_MODULES] = {
    [MN_CUDA_FUSED] = {"fused", mn_cuda_fatbin_fused},
    [MN_CUDA_LEFT] = {"left", mn_cuda_fatbin_left},
    [MN_CUDA_LEFT_OUT] = {"left_out", mn_cuda_fatbin_left_out},
    [MN_CUDA_PLAIN] = {"plain", mn_cuda_fatbin_plain},
    [MN_CUDA_RIGHT] = {"right", mn_cuda_fatbin_right},
    [MN_CUDA_RIGHT_VALUE] = {"right_value", mn_cuda_fatbin_right_value},
#if defined(MN_HAVE_CUDA_SM_90A)
    [MN_CUDA_CLUSTER] = {"cluster", mn_cuda_fatbin_cluster},
    [MN_CUDA_FUSED_SHARES] = {"fused_shares", mn_cuda_fatbin_fused_shares},
    [MN_CUDA_HOPPER] = {"hopper", mn_cuda_fatbin_hopper},
    [MN_CUDA_RING] = {"ring", mn_cuda_fatbin_ring},
    [MN_CUDA_RING_256] = {"ring_256", mn_cuda_fatbin_ring_256},
    [MN_CUDA_RING_FP8] = {"ring_fp8", mn_cuda_fatbin_ring_fp8},
    [MN_CUDA_SLICE] = {"slice", mn_cuda_fatbin_slice},
#endif
};

static monarch_status load_module(mn_cuda_device *device, mn_cuda_module module,
                                  monarch_error *error)
{
    if (device->modules[module])
        return MONARCH_OK;
    char call[64];
    CUmodule loaded = NULL;
    snprintf(call, sizeof call, "cuModuleLoadData(%s)", images[module].name);
    MN_TRY(mn_cuda_check(device->driver,
                         device->driver->module_load_data(&loaded, images[module].fatbin), call,
                         error));
    device->modules[module] = loaded;
    return MONARCH_OK;
}

/*
 * Lets a kernel use all the shared memory there is. This is done once, when the first plan finds
 * the kernel: a launch may not change attributes, and other plans may be launching it already.
 * Asking for an attribute also loads the code where the driver puts that off until first use.
 */
static monarch_status prepare(const mn_cuda_device *device, mn_cuda_kernel *kernel,
                              monarch_error *error)
{
    const mn_cuda_driver *driver = device->driver;
    int fixed = 0, version = 0;
    MN_TRY(mn_cuda_check(
        driver,
        driver->func_get_attribute(&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel->function),
        "cuFuncGetAttribute", error));
    /* Of the code, not of the device, which may have made it from older PTX. */
    MN_TRY(mn_cuda_check(
        driver,
        driver->func_get_attribute(&version, CU_FUNC_ATTRIBUTE_PTX_VERSION, kernel->function),
        "cuFuncGetAttribute", error));
    kernel->waits = version >= LEAST_WAITING;
    if (kernel->module == MN_CUDA_SLICE) /* its clusters are larger than every GPU takes */
        MN_TRY(mn_cuda_check(
            driver,
            driver->func_set_attribute(kernel->function,
                                       CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
            "cuFuncSetAttribute", error));
    return mn_cuda_check(driver,
                         driver->func_set_attribute(kernel->function,
                                                    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                                    (int)device->limits.shared_memory - fixed),
                         "cuFuncSetAttribute", error);
}

static monarch_status load_kernel(mn_cuda_device *device, mn_cuda_kernel *kernel,
                                  monarch_error *error)
{
    char call[64];
    MN_TRY(load_module(device, kernel->module, error));
    snprintf(call, sizeof call, "cuModuleGetFunction(%s)", kernel->name);
    MN_TRY(mn_cuda_check(device->driver,
                         device->driver->module_get_function(
                             &kernel->function, device->modules[kernel->module], kernel->name),
                         call, error));
    return prepare(device, kernel, error);
}

static monarch_status add_kernel(mn_cuda_device *device, mn_cuda_module module, const char *name,
                                 monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    mn_cuda_kernel *kernel = mn_alloc(allocator, sizeof *kernel);
    if (!kernel)
        return mn_fail_memory(error, "the list of kernels");
    kernel->module = module;
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
    monarch_status status = load_kernel(device, kernel, error);
    if (status != MONARCH_OK) {
        mn_free(allocator, kernel);
        return status;
    }
    kernel->next = device->kernels;
    device->kernels = kernel;
    return MONARCH_OK;
}

monarch_status mn_cuda_find_kernel(mn_cuda_device *device, mn_cuda_module module, const char *name,
                                   const mn_cuda_kernel **kernel, monarch_error *error)
{
    monarch_status status = MONARCH_OK;
    *kernel = NULL;
    pthread_mutex_lock(&device->mutex);
    for (const mn_cuda_kernel *k = device->kernels; k && !*kernel; k = k->next)
        if (k->module == module && strcmp(k->name, name) == 0)
            *kernel = k;
    if (!*kernel) {
        status = add_kernel(device, module, name, error);
        *kernel = status == MONARCH_OK ? device->kernels : NULL;
    }
    pthread_mutex_unlock(&device->mutex);
    return status;
}

void mn_cuda_free_modules(mn_cuda_device *device, bool driver_too)
{
    const monarch_instance *instance = device->base.instance;
    while (device->kernels) {
        mn_cuda_kernel *kernel = device->kernels;
        device->kernels = kernel->next;
        mn_free(&instance->allocator, kernel);
    }
    for (int i = 0; i < MN_CUDA_MODULES; i++) {
        if (device->modules[i] && driver_too)
            mn_cuda_warn(device->driver, instance,
                         device->driver->module_unload(device->modules[i]), "cuModuleUnload");
        device->modules[i] = NULL;
    }
}
