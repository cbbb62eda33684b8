/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/error.h"

/* The files of shaders/opencl/ with their includes, embedded by the build as text: one for each
   name in meson.build. */
extern const unsigned char mn_opencl_text_left[];
extern const unsigned char mn_opencl_text_left_out[];
extern const unsigned char mn_opencl_text_matrix[];
extern const unsigned char mn_opencl_text_matrix_intel[];
extern const unsigned char mn_opencl_text_matrix_probe[];
extern const unsigned char mn_opencl_text_plain[];
extern const unsigned char mn_opencl_text_right[];
extern const unsigned char mn_opencl_text_right_value[];

static const struct {
    const char *name;
    const unsigned char *text;
} sources[MN_OPENCL_MODULES] = {
    [MN_OPENCL_LEFT] = {"left", mn_opencl_text_left},
    [MN_OPENCL_LEFT_OUT] = {"left_out", mn_opencl_text_left_out},
    [MN_OPENCL_MATRIX] = {"matrix", mn_opencl_text_matrix},
    [MN_OPENCL_MATRIX_INTEL] = {"matrix_intel", mn_opencl_text_matrix_intel},
    [MN_OPENCL_MATRIX_PROBE] = {"matrix_probe", mn_opencl_text_matrix_probe},
    [MN_OPENCL_PLAIN] = {"plain", mn_opencl_text_plain},
    [MN_OPENCL_RIGHT] = {"right", mn_opencl_text_right},
    [MN_OPENCL_RIGHT_VALUE] = {"right_value", mn_opencl_text_right_value},
};

enum { KEY_SIZE = 768, LOG_SHOWN = 300 };

/* Everything that a binary depends on. The version of the platform's own compiler is in the
   driver's. */
static void write_key(const mn_opencl_device *device, mn_opencl_module module, const char *options,
                      char key[KEY_SIZE])
{
    const monarch_device_info *info = &device->base.info;
    const char *text = (const char *)sources[module].text;
    snprintf(key, KEY_SIZE, "%s|%s|%" PRIu64 "|%s|%s|%016" PRIx64, info->name, info->driver,
             info->memory, sources[module].name, options, mn_opencl_hash(0, text, strlen(text)));
}

/* What matters of a compiler's log: from the line with the first error on, as much as fits. */
static const char *first_error(char *log)
{
    char *at = strstr(log, "error");
    at = at ? at : log;
    while (at > log && at[-1] != '\n')
        at--;
    at[strlen(at) > LOG_SHOWN ? LOG_SHOWN : strlen(at)] = '\0';
    for (char *c = at; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    return at;
}

/* The failure of a build, with the compiler's words where it has any. */
static monarch_status fail_build(const mn_opencl_device *device, cl_program program, cl_int result,
                                 mn_opencl_module module, monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    const mn_opencl_driver *driver = device->driver;
    char call[64];
    size_t size = 0;
    monarch_error why = {MONARCH_OK, ""};
    snprintf(call, sizeof call, "clBuildProgram(%s)", sources[module].name);
    monarch_status status = mn_opencl_check(result, call, &why);
    driver->get_program_build_info(program, device->handle, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = size > 1 ? mn_alloc(allocator, size + 1) : NULL;
    if (log)
        driver->get_program_build_info(program, device->handle, CL_PROGRAM_BUILD_LOG, size, log,
                                       NULL);
    mn_fail(error, status, "%s%s%s", why.message, log ? ": " : "", log ? first_error(log) : "");
    mn_free(allocator, log);
    return status;
}

static monarch_status compile(const mn_opencl_device *device, mn_opencl_module module,
                              const char *options, cl_program *out, monarch_error *error)
{
    const mn_opencl_driver *driver = device->driver;
    const char *text = (const char *)sources[module].text;
    cl_int result = CL_SUCCESS;
    cl_program program =
        driver->create_program_with_source(device->context, 1, &text, NULL, &result);
    MN_TRY(mn_opencl_check(result, "clCreateProgramWithSource", error));
    result = driver->build_program(program, 1, &device->handle, options, NULL, NULL);
    if (result != CL_SUCCESS) {
        monarch_status status = fail_build(device, program, result, module, error);
        mn_opencl_warn(device->base.instance, driver->release_program(program), "clReleaseProgram");
        return status;
    }
    *out = program;
    return MONARCH_OK;
}

/* A binary that the driver no longer takes counts as none. */
static cl_program load_binary(mn_opencl_device *device, const char *key, const char *options)
{
    const mn_opencl_driver *driver = device->driver;
    cl_program program = mn_opencl_cache_load(device, key);
    if (program &&
        driver->build_program(program, 1, &device->handle, options, NULL, NULL) != CL_SUCCESS) {
        mn_opencl_warn(device->base.instance, driver->release_program(program), "clReleaseProgram");
        program = NULL;
    }
    return program;
}

static monarch_status add_program(mn_opencl_device *device, mn_opencl_module module,
                                  const char *options, cl_program *program, monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    char key[KEY_SIZE];
    mn_opencl_program *entry = mn_alloc(allocator, sizeof *entry);
    if (!entry)
        return mn_fail_memory(error, "the list of programs");
    write_key(device, module, options, key);
    entry->module = module;
    snprintf(entry->options, sizeof entry->options, "%s", options);
    entry->program = load_binary(device, key, options);
    if (!entry->program) {
        monarch_status status = compile(device, module, options, &entry->program, error);
        if (status != MONARCH_OK) {
            mn_free(allocator, entry);
            return status;
        }
        mn_opencl_cache_store(device, key, entry->program);
    }
    entry->next = device->programs;
    device->programs = entry;
    *program = entry->program;
    return MONARCH_OK;
}

monarch_status mn_opencl_find_program(mn_opencl_device *device, mn_opencl_module module,
                                      const char *options, cl_program *program,
                                      monarch_error *error)
{
    monarch_status status = MONARCH_OK;
    *program = NULL;
    pthread_mutex_lock(&device->mutex);
    for (const mn_opencl_program *p = device->programs; p && !*program; p = p->next)
        if (p->module == module && strcmp(p->options, options) == 0)
            *program = p->program;
    if (!*program)
        status = add_program(device, module, options, program, error);
    pthread_mutex_unlock(&device->mutex);
    return status;
}

void mn_opencl_free_programs(mn_opencl_device *device, bool driver_too)
{
    const monarch_instance *instance = device->base.instance;
    while (device->programs) {
        mn_opencl_program *next = device->programs->next;
        if (driver_too)
            mn_opencl_warn(instance, device->driver->release_program(device->programs->program),
                           "clReleaseProgram");
        mn_free(&instance->allocator, device->programs);
        device->programs = next;
    }
}
