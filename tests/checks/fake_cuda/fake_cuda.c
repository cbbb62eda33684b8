/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The driver calls that the library uses, see fake_cuda.h. Objects are small blocks of memory, so
 * that a sanitizer sees the use of one that is gone. */

struct CUmod_st {
    CUcontext context;
};

struct CUfunc_st {
    CUmodule module;
    struct CUfunc_st *next;
    char name[48];
};

/* Heads every object, so that what is left over can be found. */
typedef struct block {
    struct block *next;
    max_align_t object[];
} block;

enum { STACK = 16, FIXED_SHARED_MEMORY = 1536 };
enum { HOPPER_SHARED_MEMORY = 232448, HOPPER_MULTIPROCESSORS = 132 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
fake_cuda fake_state = {.devices = FAKE_DEVICES,
                        .capability = 90,
                        .ptx_version = 90,
                        .shared_memory = HOPPER_SHARED_MEMORY,
                        .multiprocessors = HOPPER_MULTIPROCESSORS};
static bool initialised;
static struct CUctx_st primary[FAKE_DEVICES];
static struct CUstream_st legacy;
static block *blocks;
static struct CUfunc_st *functions;
static _Thread_local CUcontext stack[STACK];
static _Thread_local int depth;

fake_cuda *fake_cuda_state(void)
{
    return &fake_state;
}

void fake_cuda_clear(void)
{
    fake_state.calls = 0;
    memset(fake_state.names, 0, sizeof fake_state.names);
}

/* What could not be freed, because that call was made to fail, ends here. */
static void free_all(void)
{
    fake_free_bytes();
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    functions = NULL;
}

void fake_cuda_reset(void)
{
    free_all();
    memset(&fake_state, 0, sizeof fake_state);
    memset(primary, 0, sizeof primary);
    memset(&legacy, 0, sizeof legacy);
    fake_state.devices = FAKE_DEVICES;
    fake_state.capability = 90;
    fake_state.ptx_version = 90;
    fake_state.shared_memory = HOPPER_SHARED_MEMORY;
    fake_state.multiprocessors = HOPPER_MULTIPROCESSORS;
    initialised = false;
    depth = 0;
}

CUcontext fake_cuda_context(int device)
{
    CUcontext context = fake_make(sizeof *context);
    context->device = device;
    fake_state.live.contexts++;
    return context;
}

void fake_cuda_context_end(CUcontext context)
{
    fake_state.live.contexts--;
    fake_free(context);
}

int fake_cuda_depth(void)
{
    return depth;
}

int fake_cuda_captured(CUstream stream)
{
    return stream->capturing && !stream->broken ? stream->captured : -1;
}

void *fake_make(size_t size)
{
    block *b = calloc(1, sizeof *b + size);
    if (!b)
        abort();
    b->next = blocks;
    blocks = b;
    return b->object;
}

void fake_free(void *object)
{
    block **at = &blocks;
    while (*at && (void *)(*at)->object != object)
        at = &(*at)->next;
    if (!*at)
        abort(); /* not an object, or no longer one */
    block *b = *at;
    *at = b->next;
    free(b);
}

CUcontext fake_current(void)
{
    return depth > 0 ? stack[depth - 1] : NULL;
}

CUresult fake_misuse(const char *call, const char *how, CUresult result)
{
    fake_state.misuses++;
    snprintf(fake_state.misuse, sizeof fake_state.misuse, "%s: %s", call, how);
    return result;
}

/* Every call starts here and ends with fake_leave(). */
CUresult fake_enter(const char *call)
{
    pthread_mutex_lock(&mutex);
    if (fake_state.calls < FAKE_CALLS)
        fake_state.names[fake_state.calls] = call;
    fake_state.calls++;
    if (fake_state.fail_at > 0 && --fake_state.fail_at == 0) {
        snprintf(fake_state.failed, sizeof fake_state.failed, "%s", call);
        return fake_state.fail_with;
    }
    if (!initialised && strcmp(call, "cuInit") != 0)
        return fake_misuse(call, "before cuInit", CUDA_ERROR_NOT_INITIALIZED);
    return CUDA_SUCCESS;
}

CUresult fake_enter_context(const char *call)
{
    CUresult result = fake_enter(call);
    if (result == CUDA_SUCCESS && !fake_current())
        return fake_misuse(call, "no current context", CUDA_ERROR_INVALID_CONTEXT);
    return result;
}

CUresult fake_leave(CUresult result)
{
    pthread_mutex_unlock(&mutex);
    return result;
}

CUresult fake_enter_stream(const char *call, CUstream *stream)
{
    CUresult result = fake_enter_context(call);
    if (!*stream) {
        legacy.context = fake_current();
        *stream = &legacy;
    }
    if (result == CUDA_SUCCESS && (*stream)->context != fake_current())
        return fake_misuse(call, "stream of another context", CUDA_ERROR_INVALID_HANDLE);
    return result;
}

CUresult fake_forbid_capture(const char *call, CUstream stream)
{
    if (!stream->capturing)
        return CUDA_SUCCESS;
    stream->broken = true;
    return fake_misuse(call, "stream is being captured", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

/* ---- driver, devices, contexts ---- */

CUresult cuInit(unsigned flags)
{
    (void)flags;
    CUresult result = fake_enter("cuInit");
    initialised |= result == CUDA_SUCCESS;
    return fake_leave(result);
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
    *name = error == CUDA_ERROR_OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == CUDA_ERROR_INVALID_VALUE   ? "CUDA_ERROR_INVALID_VALUE"
            : error == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                                  : NULL;
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "some text";
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version)
{
    CUresult result = fake_enter("cuDriverGetVersion");
    *version = 13000;
    return fake_leave(result);
}

CUresult cuDeviceGetCount(int *count)
{
    CUresult result = fake_enter("cuDeviceGetCount");
    if (result == CUDA_SUCCESS)
        *count = fake_state.devices;
    return fake_leave(result);
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    CUresult result = fake_enter("cuDeviceGet");
    if (result == CUDA_SUCCESS && (ordinal < 0 || ordinal >= fake_state.devices))
        result = fake_misuse("cuDeviceGet", "no such device", CUDA_ERROR_INVALID_DEVICE);
    if (result == CUDA_SUCCESS)
        *device = ordinal;
    return fake_leave(result);
}

CUresult cuDeviceGetName(char *name, int capacity, CUdevice device)
{
    CUresult result = fake_enter("cuDeviceGetName");
    if (result == CUDA_SUCCESS)
        snprintf(name, (size_t)capacity, "%s GPU %d", fake_state.compute ? "Software" : "Fake",
                 device);
    return fake_leave(result);
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    (void)device;
    CUresult result = fake_enter("cuDeviceGetAttribute");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    switch ((int)attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = fake_state.capability / 10;
        break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = fake_state.capability % 10;
        break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = fake_state.multiprocessors;
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        *value = fake_state.shared_memory;
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        *value = fake_state.shared_memory + 1024;
        break;
    default:
        *value = 1024;
    }
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
    (void)device;
    CUresult result = fake_enter("cuDeviceTotalMem");
    *bytes = (size_t)80 << 30;
    return fake_leave(result);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    CUresult result = fake_enter("cuDevicePrimaryCtxRetain");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    primary[device].device = device;
    if (primary[device].retained++ == 0)
        fake_state.live.contexts++;
    *context = &primary[device];
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    CUresult result = fake_enter("cuDevicePrimaryCtxRelease");
    if (result == CUDA_SUCCESS && primary[device].retained == 0)
        result =
            fake_misuse("cuDevicePrimaryCtxRelease", "not retained", CUDA_ERROR_INVALID_CONTEXT);
    if (result == CUDA_SUCCESS && --primary[device].retained == 0)
        fake_state.live.contexts--;
    return fake_leave(result);
}

CUresult cuCtxPushCurrent(CUcontext context)
{
    CUresult result = fake_enter("cuCtxPushCurrent");
    if (result == CUDA_SUCCESS && (!context || depth == STACK))
        result =
            fake_misuse("cuCtxPushCurrent", "no context, or too many", CUDA_ERROR_INVALID_CONTEXT);
    if (result == CUDA_SUCCESS)
        stack[depth++] = context;
    return fake_leave(result);
}

CUresult cuCtxPopCurrent(CUcontext *context)
{
    CUresult result = fake_enter_context("cuCtxPopCurrent");
    if (result == CUDA_SUCCESS)
        *context = stack[--depth];
    return fake_leave(result);
}

CUresult cuCtxGetCurrent(CUcontext *context)
{
    CUresult result = fake_enter("cuCtxGetCurrent");
    if (result == CUDA_SUCCESS)
        *context = fake_current();
    return fake_leave(result);
}

CUresult cuCtxGetDevice(CUdevice *device)
{
    CUresult result = fake_enter_context("cuCtxGetDevice");
    if (result == CUDA_SUCCESS)
        *device = fake_current()->device;
    return fake_leave(result);
}

/* ---- modules and kernels ---- */

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    CUresult result = fake_enter_context("cuModuleLoadData");
    if (result == CUDA_SUCCESS && !image)
        result = fake_misuse("cuModuleLoadData", "no image", CUDA_ERROR_INVALID_IMAGE);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    *module = fake_make(sizeof **module);
    (*module)->context = fake_current();
    fake_state.live.modules++;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuModuleUnload(CUmodule module)
{
    CUresult result = fake_enter_context("cuModuleUnload");
    if (result == CUDA_SUCCESS && module->context != fake_current())
        result = fake_misuse("cuModuleUnload", "another context", CUDA_ERROR_INVALID_HANDLE);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    for (struct CUfunc_st **at = &functions; *at;) {
        struct CUfunc_st *function = *at;
        if (function->module != module) {
            at = &function->next;
            continue;
        }
        *at = function->next;
        fake_free(function);
    }
    fake_free(module);
    fake_state.live.modules--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule module, const char *name)
{
    CUresult result = fake_enter_context("cuModuleGetFunction");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    struct CUfunc_st *function = fake_make(sizeof *function);
    function->module = module;
    snprintf(function->name, sizeof function->name, "%s", name);
    function->next = functions;
    functions = function;
    *out = function;
    return fake_leave(CUDA_SUCCESS);
}

/* Shared memory that a kernel declares; the plain ones do, as an example. */
static int fixed_memory(CUfunction function)
{
    return strncmp(function->name, "plain", 5) == 0 ? FIXED_SHARED_MEMORY : 0;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    CUresult result = fake_enter_context("cuFuncGetAttribute");
    *value = attribute == CU_FUNC_ATTRIBUTE_PTX_VERSION ? fake_state.ptx_version
                                                        : fixed_memory(function);
    return fake_leave(result);
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    CUresult result = fake_enter_context("cuFuncSetAttribute");
    bool right = attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
                     ? value == 1
                     : attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES && value >= 0 &&
                           value + fixed_memory(function) <= fake_state.shared_memory;
    if (result == CUDA_SUCCESS && !right)
        result = fake_misuse("cuFuncSetAttribute", "no such amount", CUDA_ERROR_INVALID_VALUE);
    fake_state.attributes_set += result == CUDA_SUCCESS;
    return fake_leave(result);
}

static bool has_attribute(const CUlaunchConfig *c, CUlaunchAttributeID id)
{
    for (unsigned i = 0; i < c->numAttrs; i++)
        if (c->attrs[i].id == id)
            return true;
    return false;
}

static unsigned cluster_of(const CUlaunchConfig *c)
{
    for (unsigned i = 0; i < c->numAttrs; i++)
        if (c->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            return c->attrs[i].value.clusterDim.x;
    return 0;
}

static bool is_shape(const CUlaunchConfig *c)
{
    return c->gridDimX > 0 && c->gridDimX < 1u << 31 && c->gridDimY > 0 && c->gridDimY <= 65535 &&
           c->gridDimZ == 1 && c->blockDimX > 0 && c->blockDimX <= 1024 && c->blockDimY == 1 &&
           c->blockDimZ == 1 && (c->numAttrs == 0 || c->attrs) &&
           (cluster_of(c) == 0 || c->gridDimX % cluster_of(c) == 0);
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                      const CUlaunchConfig *config)
{
    CUresult result = fake_enter_context("cuOccupancyMaxActiveClusters");
    if (result == CUDA_SUCCESS && (!is_shape(config) || cluster_of(config) == 0 || !function))
        result = fake_misuse("cuOccupancyMaxActiveClusters", "shape", CUDA_ERROR_INVALID_VALUE);
    if (result == CUDA_SUCCESS)
        *clusters = fake_state.multiprocessors / (int)cluster_of(config);
    return fake_leave(result);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters,
                          void **extra)
{
    CUstream stream = config->hStream;
    CUresult result = fake_enter_stream("cuLaunchKernelEx", &stream);
    bool right =
        is_shape(config) && parameters && parameters[0] && !extra &&
        (int64_t)config->sharedMemBytes + fixed_memory(function) <= fake_state.shared_memory;
    if (result == CUDA_SUCCESS && !right)
        result = fake_misuse("cuLaunchKernelEx", "shape", CUDA_ERROR_INVALID_VALUE);
    if (result == CUDA_SUCCESS && function->module->context != fake_current())
        result = fake_misuse("cuLaunchKernelEx", "function of another context",
                             CUDA_ERROR_INVALID_HANDLE);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    fake_launch *launch = &fake_state.latest[fake_state.launches++ % FAKE_LAUNCHES];
    *launch = (fake_launch){
        .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
        .threads = config->blockDimX,
        .shared_memory = config->sharedMemBytes,
        .overlaps = has_attribute(config, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION),
        .cooperative = has_attribute(config, CU_LAUNCH_ATTRIBUTE_COOPERATIVE),
        .cluster = cluster_of(config),
        .stream = stream == &legacy ? NULL : stream,
        .context = fake_current()};
    snprintf(launch->kernel, sizeof launch->kernel, "%s", function->name);
    if (stream->capturing)
        stream->captured++;
    else
        stream->clock += FAKE_KERNEL_US;
    if (fake_state.compute && !stream->capturing)
        fake_state.compute(launch, parameters);
    return fake_leave(CUDA_SUCCESS);
}
