/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz target: bytes are a .npy file. Opening it must give a clean answer, accepted or refused;
 * what is accepted must add up, read to its last element and no further, and come back from being
 * written as the same array.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../bench/npy.h"
#include "../../bench/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* By the descriptor, since what the tool prints goes nowhere. */
static void require(int condition, const char *what)
{
    if (condition)
        return;
    dprintf(STDERR_FILENO, "fuzz_npy: %s\n", what);
    abort();
}

static int make_file(void)
{
    int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    require(descriptor >= 0, "no file in memory");
    return descriptor;
}

static void name_file(int descriptor, char name[64])
{
    snprintf(name, 64, "/proc/self/fd/%d", descriptor);
}

/* A message for every refusal is what the tool promises; here nobody reads them. */
static void silence(void)
{
    static FILE *nowhere;
    if (nowhere)
        return;
    nowhere = fopen("/dev/null", "w");
    require(nowhere != NULL, "no /dev/null");
    stderr = nowhere;
}

static void check_header(const struct npy *array, size_t size)
{
    const struct npy_header *header = &array->header;
    int64_t count = 1;
    bool empty = false;
    require(header->rank >= 0 && header->rank <= NPY_MAX_RANK, "rank");
    for (int i = 0; i < header->rank; i++) {
        require(header->shape[i] >= 0, "a negative extent");
        empty = empty || header->shape[i] == 0;
    }
    /* Cannot overflow: a file of that size would be needed, unless one extent is 0. */
    for (int i = 0; i < header->rank; i++)
        count = empty ? 0 : count * header->shape[i];
    require(count == header->count, "count and shape disagree");
    require(array->data >= 10 && array->data <= (int64_t)size, "data starts outside of the file");
    require(count * npy_type_size(header->type) == (int64_t)size - array->data,
            "count and size disagree");
}

/* Every element, in memory of exactly that size, and none behind the last. */
static float *read_all(const struct npy *array)
{
    int64_t count = array->header.count;
    int is_float = array->header.type == NPY_F32 || array->header.type == NPY_F16;
    size_t element = is_float ? sizeof(float) : 1;
    void *values = malloc(count > 0 ? (size_t)count * element : 1);
    int status;
    require(values != NULL, "no memory");
    status =
        is_float ? npy_read_f32(array, 0, count, values) : npy_read_bytes(array, 0, count, values);
    require(status == TOOL_OK, "an element cannot be read");
    if (!is_float) {
        free(values);
        return NULL;
    }
    return values;
}

/* The elements as the tool's own output, which is an array like any other. */
static void write_back(const struct npy *array, const float *values)
{
    char name[64];
    struct npy again;
    float *read;
    int descriptor = make_file();
    size_t bytes = (size_t)array->header.count * sizeof *values;
    name_file(descriptor, name);
    struct outfile file = {.stream = fdopen(dup(descriptor), "wb"), .path = name};
    require(file.stream != NULL, "no stream");
    require(npy_write_header(&file, array->header.shape, array->header.rank) == TOOL_OK &&
                outfile_write(&file, values, bytes) == TOOL_OK && fclose(file.stream) == 0,
            "an array cannot be written");
    require(npy_open(&again, name) == TOOL_OK, "what was written is refused");
    require(again.header.type == NPY_F32 && again.header.rank == array->header.rank &&
                memcmp(again.header.shape, array->header.shape, sizeof again.header.shape) == 0,
            "what was written has another shape");
    read = read_all(&again);
    require(memcmp(read, values, bytes) == 0, "what was written has other elements");
    free(read);
    npy_close(&again);
    close(descriptor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[64];
    struct npy array;
    int descriptor = make_file();
    silence();
    require(write(descriptor, data, size) == (ssize_t)size, "cannot write");
    name_file(descriptor, name);
    int status = npy_open(&array, name);
    require(status == TOOL_OK || status == TOOL_USAGE, "another status than 0 and 2");
    require((status == TOOL_OK) == (array.descriptor >= 0), "status and descriptor disagree");
    if (status == TOOL_OK) {
        check_header(&array, size);
        float *values = read_all(&array);
        if (values)
            write_back(&array, values);
        free(values);
    }
    npy_close(&array);
    close(descriptor);
    return 0;
}
