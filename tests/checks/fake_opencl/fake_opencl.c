/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_objects.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Platforms, devices, contexts, programs and kernels; see fake_opencl.h. */

/* Heads every object, so that what is left over can be found. */
typedef struct block {
    struct block *next;
    max_align_t object[];
} block;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct _cl_platform_id platform;
static struct _cl_device_id devices[FAKE_DEVICES] = {{0}, {1}};
static block *blocks;

fake_opencl fake_state = {
    .platforms = 1,
    .devices = FAKE_DEVICES,
    .capability = 90,
    .local_memory = 49152,
    .work_group = 1024,
    .kernel_work_group = 1024,
    .version = "OpenCL 3.0 fake",
    .name = "Fake GPU",
};

fake_opencl *fake_opencl_state(void)
{
    return &fake_state;
}

void fake_opencl_reset(void)
{
    static fake_opencl at_start;
    static bool known; /* the first call is ahead of all use */
    if (!known)
        at_start = fake_state;
    known = true;
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    fake_state = at_start;
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

cl_int fake_misuse(const char *call, const char *how, cl_int result)
{
    fake_state.misuses++;
    snprintf(fake_state.misuse, sizeof fake_state.misuse, "%s: %s", call, how);
    return result;
}

cl_int fake_enter(const char *call)
{
    pthread_mutex_lock(&mutex);
    fake_state.calls++;
    if (fake_state.fail_at > 0 && --fake_state.fail_at == 0) {
        snprintf(fake_state.failed, sizeof fake_state.failed, "%s", call);
        return fake_state.fail_with;
    }
    return CL_SUCCESS;
}

cl_int fake_leave(cl_int result)
{
    pthread_mutex_unlock(&mutex);
    return result;
}

cl_int fake_answer(const void *value, size_t size, size_t capacity, void *to, size_t *size_out)
{
    if (to && capacity < size)
        return fake_misuse("a query", "too little room", CL_INVALID_VALUE);
    if (to)
        memcpy(to, value, size);
    if (size_out)
        *size_out = size;
    return CL_SUCCESS;
}

/* ---- platforms and devices ---- */

cl_int clGetPlatformIDs(cl_uint room, cl_platform_id *out, cl_uint *count)
{
    cl_int result = fake_enter("clGetPlatformIDs");
    if (result == CL_SUCCESS && fake_state.platforms == 0)
        result = -1001;
    if (result == CL_SUCCESS && room > 0)
        out[0] = &platform;
    if (result == CL_SUCCESS && count)
        *count = fake_state.platforms;
    return fake_leave(result);
}

cl_int clGetDeviceIDs(cl_platform_id p, cl_device_type type, cl_uint room, cl_device_id *out,
                      cl_uint *count)
{
    cl_int result = fake_enter("clGetDeviceIDs");
    if (result == CL_SUCCESS && p != &platform)
        result = fake_misuse("clGetDeviceIDs", "no such platform", CL_INVALID_PLATFORM);
    if (result == CL_SUCCESS && (type != CL_DEVICE_TYPE_GPU || fake_state.devices == 0))
        result = CL_DEVICE_NOT_FOUND;
    if (result != CL_SUCCESS)
        return fake_leave(result);
    for (cl_uint i = 0; i < fake_state.devices && i < room; i++)
        out[i] = &devices[i];
    *count = fake_state.devices;
    return fake_leave(CL_SUCCESS);
}

static cl_int answer_text(const char *text, size_t capacity, void *to, size_t *size)
{
    return fake_answer(text, strlen(text) + 1, capacity, to, size);
}

static cl_int answer_number(cl_device_info what, size_t capacity, void *to, size_t *size)
{
    cl_ulong large = 0;
    cl_uint small = 0;
    size_t middle = 0;
    switch (what) {
    case CL_DEVICE_TYPE:
        large = CL_DEVICE_TYPE_GPU;
        return fake_answer(&large, sizeof large, capacity, to, size);
    case CL_DEVICE_LOCAL_MEM_SIZE:
        return fake_answer(&fake_state.local_memory, sizeof large, capacity, to, size);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        large = (cl_ulong)80 << 30;
        return fake_answer(&large, sizeof large, capacity, to, size);
    case CL_DEVICE_SVM_CAPABILITIES:
        large = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
        return fake_answer(&large, sizeof large, capacity, to, size);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return fake_answer(&fake_state.work_group, sizeof middle, capacity, to, size);
    case CL_DEVICE_MAX_PARAMETER_SIZE:
        middle = 4096;
        return fake_answer(&middle, sizeof middle, capacity, to, size);
    case CL_DEVICE_ADDRESS_BITS:
        small = 64;
        break;
    case CL_DEVICE_COMPILER_AVAILABLE:
        small = !fake_state.no_compiler;
        break;
    case CL_DEVICE_AVAILABLE:
    case CL_DEVICE_ENDIAN_LITTLE:
        small = 1;
        break;
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        small = 132;
        break;
    case 0x4000:
        small = (cl_uint)fake_state.capability / 10;
        break;
    case 0x4108: /* sub-group sizes */
        return fake_answer((const size_t[]){fake_state.intel, 32}, 2 * sizeof middle, capacity, to,
                           size);
    case 0x4043:
        small = fake_state.wavefront;
        break;
    case 0x4001:
        small = (cl_uint)fake_state.capability % 10;
        break;
    default:
        return fake_misuse("clGetDeviceInfo", "not known here", CL_INVALID_VALUE);
    }
    return fake_answer(&small, sizeof small, capacity, to, size);
}

static const char *extensions(void)
{
    if (fake_state.intel)
        return "cl_khr_icd cl_intel_required_subgroup_size "
               "cl_intel_subgroup_matrix_multiply_accumulate";
    if (fake_state.wavefront)
        return "cl_khr_icd cl_amd_device_attribute_query";
    return fake_state.capability > 0 ? "cl_khr_icd cl_nv_device_attribute_query" : "cl_khr_icd";
}

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t capacity, void *to,
                       size_t *size)
{
    cl_int result = fake_enter("clGetDeviceInfo");
    if (result == CL_SUCCESS && device != &devices[0] && device != &devices[1])
        result = fake_misuse("clGetDeviceInfo", "no such device", CL_INVALID_DEVICE);
    if (result != CL_SUCCESS)
        return fake_leave(result);
    switch (what) {
    case CL_DEVICE_NAME:
        return fake_leave(answer_text(fake_state.name, capacity, to, size));
    case CL_DEVICE_VERSION:
        return fake_leave(answer_text(fake_state.version, capacity, to, size));
    case CL_DRIVER_VERSION:
        return fake_leave(answer_text("1.0", capacity, to, size));
    case CL_DEVICE_EXTENSIONS:
        return fake_leave(answer_text(extensions(), capacity, to, size));
    default:
        return fake_leave(answer_number(what, capacity, to, size));
    }
}

/* ---- contexts ---- */

cl_context clCreateContext(const cl_context_properties *properties, cl_uint count,
                           const cl_device_id *list,
                           void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                           void *user, cl_int *out)
{
    (void)properties;
    (void)notify;
    (void)user;
    cl_int result = fake_enter("clCreateContext");
    cl_context context = NULL;
    if (result == CL_SUCCESS && count == 1) {
        context = fake_make(sizeof *context);
        context->device = list[0];
        fake_state.live.contexts++;
    }
    *out = fake_leave(result);
    return context;
}

cl_int clReleaseContext(cl_context context)
{
    cl_int result = fake_enter("clReleaseContext");
    if (result == CL_SUCCESS) {
        fake_free(context);
        fake_state.live.contexts--;
    }
    return fake_leave(result);
}

cl_int clGetContextInfo(cl_context context, cl_context_info what, size_t capacity, void *to,
                        size_t *size)
{
    cl_int result = fake_enter("clGetContextInfo");
    if (result == CL_SUCCESS)
        result = what == CL_CONTEXT_DEVICES
                     ? fake_answer(&context->device, sizeof context->device, capacity, to, size)
                     : CL_INVALID_VALUE;
    return fake_leave(result);
}

/* ---- programs and kernels ---- */

static cl_program make_program(cl_context context, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    cl_program program = fake_make(sizeof *program);
    program->context = context;
    for (size_t i = 0; i < size; i++)
        program->hash = program->hash * 31 + at[i];
    fake_state.live.programs++;
    return program;
}

cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **strings,
                                     const size_t *lengths, cl_int *out)
{
    cl_int result = fake_enter("clCreateProgramWithSource");
    cl_program program = NULL;
    if (result == CL_SUCCESS && (count != 1 || lengths))
        result = fake_misuse("clCreateProgramWithSource", "strings", CL_INVALID_VALUE);
    if (result == CL_SUCCESS) {
        program = make_program(context, strings[0], strlen(strings[0]));
        fake_state.builds_from_source++;
    }
    *out = fake_leave(result);
    return program;
}

cl_program clCreateProgramWithBinary(cl_context context, cl_uint count, const cl_device_id *list,
                                     const size_t *lengths, const unsigned char **binaries,
                                     cl_int *status, cl_int *out)
{
    cl_int result = fake_enter("clCreateProgramWithBinary");
    cl_program program = NULL;
    if (result == CL_SUCCESS && (count != 1 || list[0] != context->device || lengths[0] != 8))
        result = fake_misuse("clCreateProgramWithBinary", "binary", CL_INVALID_BINARY);
    if (result == CL_SUCCESS) {
        program = make_program(context, "", 0);
        memcpy(&program->hash, binaries[0], sizeof program->hash);
        fake_state.builds_from_binary++;
    }
    *status = result;
    *out = fake_leave(result);
    return program;
}

cl_int clReleaseProgram(cl_program program)
{
    cl_int result = fake_enter("clReleaseProgram");
    if (result == CL_SUCCESS) {
        fake_free(program);
        fake_state.live.programs--;
    }
    return fake_leave(result);
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *list,
                      const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                      void *user)
{
    (void)list;
    (void)user;
    cl_int result = fake_enter("clBuildProgram");
    if (result == CL_SUCCESS && (count != 1 || !options || notify))
        result = fake_misuse("clBuildProgram", "arguments", CL_INVALID_VALUE);
    if (result == CL_SUCCESS && fake_state.build_log)
        result = CL_BUILD_PROGRAM_FAILURE;
    program->built = result == CL_SUCCESS;
    return fake_leave(result);
}

cl_int clGetProgramInfo(cl_program program, cl_program_info what, size_t capacity, void *to,
                        size_t *size)
{
    cl_int result = fake_enter("clGetProgramInfo");
    const size_t bytes = sizeof program->hash;
    if (result != CL_SUCCESS)
        return fake_leave(result);
    switch (what) {
    case CL_PROGRAM_DEVICES:
        result = fake_answer(&program->context->device, sizeof(cl_device_id), capacity, to, size);
        break;
    case CL_PROGRAM_BINARY_SIZES:
        result = fake_answer(&bytes, sizeof bytes, capacity, to, size);
        break;
    case CL_PROGRAM_BINARIES:
        memcpy(((unsigned char **)to)[0], &program->hash, bytes);
        break;
    default:
        result = CL_INVALID_VALUE;
    }
    return fake_leave(result);
}

cl_int clGetProgramBuildInfo(cl_program program, cl_device_id device, cl_program_build_info what,
                             size_t capacity, void *to, size_t *size)
{
    (void)program;
    (void)device;
    cl_int result = fake_enter("clGetProgramBuildInfo");
    const char *log = fake_state.build_log ? fake_state.build_log : "";
    if (result == CL_SUCCESS && what == CL_PROGRAM_BUILD_LOG)
        result = answer_text(log, capacity, to, size);
    return fake_leave(result);
}

cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *out)
{
    cl_int result = fake_enter("clCreateKernel");
    cl_kernel kernel = NULL;
    if (result == CL_SUCCESS && !program->built)
        result = fake_misuse("clCreateKernel", "not built", CL_INVALID_PROGRAM_EXECUTABLE);
    if (result == CL_SUCCESS) {
        kernel = fake_make(sizeof *kernel);
        kernel->program = program;
        snprintf(kernel->name, sizeof kernel->name, "%s", name);
        fake_state.live.kernels++;
    }
    *out = fake_leave(result);
    return kernel;
}

cl_int clReleaseKernel(cl_kernel kernel)
{
    cl_int result = fake_enter("clReleaseKernel");
    if (result == CL_SUCCESS) {
        fake_free(kernel);
        fake_state.live.kernels--;
    }
    return fake_leave(result);
}

cl_int clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                cl_kernel_work_group_info what, size_t capacity, void *to,
                                size_t *size)
{
    (void)kernel;
    (void)device;
    cl_int result = fake_enter("clGetKernelWorkGroupInfo");
    if (result == CL_SUCCESS)
        result = what == CL_KERNEL_WORK_GROUP_SIZE ? fake_answer(&fake_state.kernel_work_group,
                                                                 sizeof(size_t), capacity, to, size)
                                                   : CL_INVALID_VALUE;
    return fake_leave(result);
}
