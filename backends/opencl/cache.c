/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/log.h"

/*
 * Binaries of programs, kept where the caller says: in a directory, or by the caller's own
 * functions. An entry is a header and the binary. The header holds the key in full and a hash of
 * the binary, so what is cut short, altered, or of another device, driver or version is not used.
 */

enum { KEY_ROOM = 768, MOST_BYTES = 1 << 28 };

static const char magic[8] = {'M', 'N', 'C', 'L', 'B', 'I', 'N', '1'};

typedef struct header {
    char magic[8];
    uint64_t size; /* of the binary */
    uint64_t hash; /* of it */
    char key[KEY_ROOM];
} header;

uint64_t mn_opencl_hash(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    hash ^= UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}

static void make_header(const char *key, const void *binary, size_t size, header *h)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, magic, sizeof magic);
    h->size = size;
    h->hash = mn_opencl_hash(0, binary, size);
    snprintf(h->key, sizeof h->key, "%s", key);
}

/* The binary of an entry, or NULL where the entry is not what it should be. */
static const void *open_entry(const char *key, const void *entry, size_t size, size_t *binary_size)
{
    header wanted;
    if (size <= sizeof wanted)
        return NULL;
    const void *binary = (const char *)entry + sizeof wanted;
    *binary_size = size - sizeof wanted;
    make_header(key, binary, *binary_size, &wanted);
    return memcmp(&wanted, entry, sizeof wanted) == 0 ? binary : NULL;
}

/* ---- a directory ---- */

static int write_path(const mn_opencl_device *device, const char *key, const char *ending,
                      char *path, size_t capacity)
{
    return snprintf(path, capacity, "%s/%016" PRIx64 "%s", device->cache.directory,
                    mn_opencl_hash(0, key, strlen(key)), ending);
}

static void *read_file(const mn_opencl_device *device, const char *key, size_t *size)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    char path[1024];
    void *bytes = NULL;
    long length = 0;
    if (write_path(device, key, ".bin", path, sizeof path) >= (int)sizeof path)
        return NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0)
        length = ftell(file);
    if (length > 0 && length < MOST_BYTES && fseek(file, 0, SEEK_SET) == 0)
        bytes = mn_alloc(allocator, (size_t)length);
    if (bytes && fread(bytes, 1, (size_t)length, file) != (size_t)length) {
        mn_free(allocator, bytes);
        bytes = NULL;
    }
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

/* Under another name first: a reader sees the whole file or none. */
static void write_file(const mn_opencl_device *device, const char *key, const void *bytes,
                       size_t size)
{
    char path[1024], temporary[1024], ending[64];
    snprintf(ending, sizeof ending, ".%ld.%p.new", (long)getpid(), (const void *)device);
    if (write_path(device, key, ".bin", path, sizeof path) >= (int)sizeof path ||
        write_path(device, key, ending, temporary, sizeof temporary) >= (int)sizeof temporary)
        return;
    FILE *file = fopen(temporary, "wb");
    bool good = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        good = false;
    if (!good || rename(temporary, path) != 0) {
        mn_log(device->base.instance, MONARCH_LOG_WARNING,
               "the binary of a program could not be written to %s", path);
        remove(temporary);
    }
}

/* ---- either way ---- */

static void *load_entry(const mn_opencl_device *device, const char *key, size_t *size)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    if (!device->cache.load)
        return device->cache.directory ? read_file(device, key, size) : NULL;
    *size = device->cache.load(device->cache.user, key, NULL, 0);
    if (*size == 0 || *size >= MOST_BYTES)
        return NULL;
    void *entry = mn_alloc(allocator, *size);
    if (entry && device->cache.load(device->cache.user, key, entry, *size) != *size) {
        mn_free(allocator, entry);
        entry = NULL;
    }
    return entry;
}

cl_program mn_opencl_cache_load(mn_opencl_device *device, const char *key)
{
    size_t size = 0, binary_size = 0;
    void *entry = load_entry(device, key, &size);
    const unsigned char *binary = entry ? open_entry(key, entry, size, &binary_size) : NULL;
    cl_program program = NULL;
    if (binary) {
        cl_int status = CL_SUCCESS, result = CL_SUCCESS;
        program = device->driver->create_program_with_binary(
            device->context, 1, &device->handle, &binary_size, &binary, &status, &result);
        if (program && (result != CL_SUCCESS || status != CL_SUCCESS)) {
            mn_opencl_warn(device->base.instance, device->driver->release_program(program),
                           "clReleaseProgram");
            program = NULL;
        }
    }
    mn_free(&device->base.instance->allocator, entry);
    return program;
}

/* A binary that cannot be had or kept costs the next process a compilation, and nothing else. A
   program of a context of several devices has a place for each. */
static void *copy_binary(const mn_opencl_device *device, const char *key, cl_program program,
                         size_t *size)
{
    enum { DEVICES = 64 };
    const monarch_allocator *allocator = &device->base.instance->allocator;
    const mn_opencl_driver *driver = device->driver;
    cl_device_id handles[DEVICES];
    size_t sizes[DEVICES] = {0}, bytes = 0, place = DEVICES;
    unsigned char *binaries[DEVICES] = {NULL};
    if (driver->get_program_info(program, CL_PROGRAM_DEVICES, sizeof handles, handles, &bytes) !=
            CL_SUCCESS ||
        driver->get_program_info(program, CL_PROGRAM_BINARY_SIZES, sizeof sizes, sizes, NULL) !=
            CL_SUCCESS)
        return NULL;
    for (size_t i = 0; i < bytes / sizeof *handles; i++)
        place = handles[i] == device->handle ? i : place;
    if (place == DEVICES || sizes[place] == 0)
        return NULL;
    *size = sizeof(header) + sizes[place];
    char *entry = mn_alloc(allocator, *size);
    if (!entry)
        return NULL;
    binaries[place] = (unsigned char *)entry + sizeof(header);
    if (driver->get_program_info(program, CL_PROGRAM_BINARIES, sizeof binaries, binaries, NULL) !=
        CL_SUCCESS) {
        mn_free(allocator, entry);
        return NULL;
    }
    make_header(key, binaries[place], sizes[place], (header *)(void *)entry);
    return entry;
}

void mn_opencl_cache_store(mn_opencl_device *device, const char *key, cl_program program)
{
    if (!device->cache.directory && !device->cache.store)
        return;
    size_t size = 0;
    void *entry = copy_binary(device, key, program, &size);
    if (!entry)
        mn_log(device->base.instance, MONARCH_LOG_WARNING,
               "the driver gave no binary of a program; it is not cached");
    else if (device->cache.store)
        device->cache.store(device->cache.user, key, entry, size);
    else
        write_file(device, key, entry, size);
    mn_free(&device->base.instance->allocator, entry);
}
