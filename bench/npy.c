/* SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert.h"
#include "report.h"

/* The elements are read and written as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "only for little-endian machines");

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* Longer ones are allowed by the format, but only records have them. */
enum { MAX_HEADER = 1 << 20 };

const char *npy_type_name(enum npy_type type)
{
    static const char *const names[] = {"float32", "float16", "bool", "uint8"};
    return names[type];
}

int64_t npy_type_size(enum npy_type type)
{
    static const int64_t sizes[] = {4, 2, 1, 1};
    return sizes[type];
}

static int read_at(const struct npy *array, int64_t offset, void *data, size_t size)
{
    char *to = data;
    while (size) {
        ssize_t got = pread(array->descriptor, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fail(TOOL_USAGE, "%s: cannot be read: %s", array->path,
                        got < 0 ? strerror(errno) : "it ends too early");
        }
        to += got;
        offset += got;
        size -= (size_t)got;
    }
    return TOOL_OK;
}

static int open_regular(struct npy *array, int64_t *size)
{
    struct stat info;
    /* Not blocking, since a pipe without a writer would otherwise hang before it is refused. */
    array->descriptor = open(array->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (array->descriptor < 0 || fstat(array->descriptor, &info) != 0) {
        return fail(TOOL_USAGE, "%s: cannot be opened: %s", array->path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return fail(TOOL_USAGE, "%s: is not a regular file; accepted is a .npy file", array->path);
    }
    *size = (int64_t)info.st_size;
    return TOOL_OK;
}

/* The fixed part: magic, version and the length of the dictionary. */
static int read_prefix(struct npy *array, int64_t file_size, int64_t *start, size_t *length)
{
    unsigned char prefix[12] = {0};
    size_t present = file_size < 12 ? (size_t)file_size : 12;
    int status = read_at(array, 0, prefix, present);
    if (status) {
        return status;
    }
    if (present < 10 || memcmp(prefix, magic, sizeof magic) != 0) {
        return fail(TOOL_USAGE, "%s: is not a .npy file: its first bytes are not '\\x93NUMPY'",
                    array->path);
    }
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0) {
        return fail(TOOL_USAGE, "%s: has .npy format version %d.%d; accepted are 1.0, 2.0 and 3.0",
                    array->path, prefix[6], prefix[7]);
    }
    *start = prefix[6] == 1 ? 10 : 12;
    *length = (size_t)prefix[8] | (size_t)prefix[9] << 8;
    if (prefix[6] > 1) {
        *length |= (size_t)prefix[10] << 16 | (size_t)prefix[11] << 24;
    }
    if (*length > MAX_HEADER || *start + (int64_t)*length > file_size) {
        return fail(TOOL_USAGE, "%s: has a header of %zu bytes, which %s", array->path, *length,
                    *length > MAX_HEADER ? "is more than the 1048576 that are accepted"
                                         : "is more than the file holds");
    }
    return TOOL_OK;
}

static int check_size(struct npy *array, int64_t file_size)
{
    struct npy_header *header = &array->header;
    char text[256];
    shape_text(text, sizeof text, header->shape, header->rank);
    int64_t bytes = npy_type_size(header->type);
    int empty = 0;
    header->count = 1;
    for (int i = 0; i < header->rank; i++) {
        empty |= header->shape[i] == 0;
    }
    for (int i = 0; i < header->rank && !empty; i++) {
        if (header->count > INT64_MAX / bytes / header->shape[i]) {
            return fail(TOOL_USAGE, "%s: has shape %s, which no file can hold", array->path, text);
        }
        header->count *= header->shape[i];
    }
    header->count = empty ? 0 : header->count;
    if (header->count * bytes != file_size - array->data) {
        return fail(TOOL_USAGE,
                    "%s: has shape %s of %s, which takes %" PRId64 " bytes, but holds %" PRId64,
                    array->path, text, npy_type_name(header->type), header->count * bytes,
                    file_size - array->data);
    }
    return TOOL_OK;
}

static int read_header(struct npy *array)
{
    int64_t file_size = 0;
    size_t length = 0;
    int status = open_regular(array, &file_size);
    if (!status) {
        status = read_prefix(array, file_size, &array->data, &length);
    }
    if (status) {
        return status;
    }
    char *text = malloc(length + 1);
    if (!text) {
        return fail_memory("the header of a .npy file", length);
    }
    status = read_at(array, array->data, text, length);
    if (!status) {
        status = npy_parse_header(array->path, text, length, &array->header);
    }
    free(text);
    array->data += (int64_t)length;
    return status ? status : check_size(array, file_size);
}

int npy_open(struct npy *array, const char *path)
{
    memset(array, 0, sizeof *array);
    array->path = path;
    array->descriptor = -1;
    int status = read_header(array);
    if (status) {
        npy_close(array);
    }
    return status;
}

void npy_close(struct npy *array)
{
    if (array->descriptor >= 0) {
        close(array->descriptor);
        array->descriptor = -1;
    }
}

int npy_read_bytes(const struct npy *array, int64_t first, int64_t count, uint8_t *values)
{
    int64_t size = npy_type_size(array->header.type);
    return read_at(array, array->data + first * size, values, (size_t)(count * size));
}

int npy_read_f32(const struct npy *array, int64_t first, int64_t count, float *values)
{
    if (array->header.type == NPY_F32) {
        return npy_read_bytes(array, first, count, (uint8_t *)values);
    }
    /* The halves go to the upper half of `values`, where each is read before it is overwritten. */
    char *halves = (char *)values + count * 2;
    int status = npy_read_bytes(array, first, count, (uint8_t *)halves);
    for (int64_t i = 0; !status && i < count; i++) {
        uint16_t half;
        memcpy(&half, halves + i * 2, sizeof half);
        values[i] = f16_to_f32(half);
    }
    return status;
}

int npy_write_header(struct outfile *file, const int64_t *shape, int rank)
{
    char text[512] = {0};
    char extents[256];
    shape_text(extents, sizeof extents, shape, rank);
    extents[0] = '(';
    extents[strlen(extents) - 1] = '\0';
    /* A tuple of one needs its comma. The data start at a multiple of 64. */
    int used = snprintf(text, sizeof text,
                        "%.6s%c%c%c%c{'descr': '<f4', 'fortran_order': False, "
                        "'shape': %s%s), }",
                        (const char *)magic, 1, 1, 1, 1, extents, rank == 1 ? "," : "");
    size_t total = ((size_t)used + 1 + 63) / 64 * 64;
    memset(text + used, ' ', total - (size_t)used);
    text[total - 1] = '\n';
    text[7] = 0;
    text[8] = (char)((total - 10) & 0xff);
    text[9] = (char)((total - 10) >> 8);
    return outfile_write(file, text, total);
}

int npy_save(const char *path, const int64_t *shape, int rank, const float *values)
{
    struct outfile file;
    int status = outfile_open(&file, path);
    if (status) {
        return status;
    }
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        count *= shape[i];
    }
    status = npy_write_header(&file, shape, rank);
    if (!status) {
        status = outfile_write(&file, values, (size_t)count * sizeof *values);
    }
    if (status) {
        outfile_discard(&file);
        return status;
    }
    return outfile_commit(&file);
}
