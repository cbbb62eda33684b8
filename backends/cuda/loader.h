/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_LOADER_H
#define MN_CUDA_LOADER_H

#include <cuda.h>

#include "core/instance.h"

/*
 * The driver, opened at run time. The types are those of the driver's header; the symbols looked
 * up are the versions that the header's names stand for.
 */
typedef struct mn_cuda_driver {
    void *library;
    char version[64]; /* for people: of the driver, and of the interface it offers */

    __typeof__(&cuInit) init;
    __typeof__(&cuGetErrorName) get_error_name;
    __typeof__(&cuGetErrorString) get_error_string;
    __typeof__(&cuDriverGetVersion) driver_get_version;
    __typeof__(&cuDeviceGetCount) device_get_count;
    __typeof__(&cuDeviceGet) device_get;
    __typeof__(&cuDeviceGetName) device_get_name;
    __typeof__(&cuDeviceGetAttribute) device_get_attribute;
    __typeof__(&cuDeviceTotalMem) device_total_mem;
    __typeof__(&cuDevicePrimaryCtxRetain) primary_ctx_retain;
    __typeof__(&cuDevicePrimaryCtxRelease) primary_ctx_release;
    __typeof__(&cuCtxPushCurrent) ctx_push_current;
    __typeof__(&cuCtxPopCurrent) ctx_pop_current;
    __typeof__(&cuCtxGetCurrent) ctx_get_current;
    __typeof__(&cuCtxGetDevice) ctx_get_device;
    __typeof__(&cuModuleLoadData) module_load_data;
    __typeof__(&cuModuleUnload) module_unload;
    __typeof__(&cuModuleGetFunction) module_get_function;
    __typeof__(&cuFuncGetAttribute) func_get_attribute;
    __typeof__(&cuFuncSetAttribute) func_set_attribute;
    __typeof__(&cuLaunchKernelEx) launch_kernel;
    __typeof__(&cuOccupancyMaxActiveClusters) occupancy_max_active_clusters;
    __typeof__(&cuTensorMapEncodeTiled) tensor_map_encode;     /* of CUDA 12.0; NULL before */
    __typeof__(&cuTensorMapReplaceAddress) tensor_map_replace; /* likewise */
    __typeof__(&cuMemAlloc) mem_alloc;
    __typeof__(&cuMemFree) mem_free;
    __typeof__(&cuMemcpyHtoDAsync) memcpy_to_device;
    __typeof__(&cuMemcpyDtoHAsync) memcpy_to_host;
    __typeof__(&cuStreamCreate) stream_create;
    __typeof__(&cuStreamDestroy) stream_destroy;
    __typeof__(&cuStreamSynchronize) stream_synchronize;
    __typeof__(&cuStreamIsCapturing) stream_is_capturing;
    __typeof__(&cuStreamBeginCapture) stream_begin_capture;
    __typeof__(&cuStreamEndCapture) stream_end_capture;
    __typeof__(&cuStreamGetCtx) stream_get_ctx;
    __typeof__(&cuGraphInstantiateWithFlags) graph_instantiate;
    __typeof__(&cuGraphLaunch) graph_launch;
    __typeof__(&cuGraphDestroy) graph_destroy;
    __typeof__(&cuGraphExecDestroy) graph_exec_destroy;
    __typeof__(&cuEventCreate) event_create;
    __typeof__(&cuEventDestroy) event_destroy;
    __typeof__(&cuEventRecord) event_record;
    __typeof__(&cuEventSynchronize) event_synchronize;
    __typeof__(&cuEventElapsedTime) event_elapsed_time;
} mn_cuda_driver;

/* Opens libcuda and initialises it. Errors: UNSUPPORTED or NATIVE with the reason,
   OUT_OF_MEMORY of the host only. */
monarch_status mn_cuda_driver_open(const monarch_allocator *allocator, mn_cuda_driver **driver,
                                   monarch_error *error);
void mn_cuda_driver_close(mn_cuda_driver *driver, const monarch_allocator *allocator);

/*
 * OK, or an error that names the call and gives CUDA's name and text: OUT_OF_MEMORY where the
 * device has no memory left, DEVICE_LOST where the context is beyond use, else NATIVE.
 */
monarch_status mn_cuda_check(const mn_cuda_driver *driver, CUresult result, const char *call,
                             monarch_error *error);

/* The same for calls whose failure nobody can be told: a warning for the log. */
void mn_cuda_warn(const mn_cuda_driver *driver, const monarch_instance *instance, CUresult result,
                  const char *call);

#endif
