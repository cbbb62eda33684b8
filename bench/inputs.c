/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "report.h"

/* Elements that are converted at a time. */
enum { CHUNK = 1 << 18 };

static int open_tensor(struct npy *array, const char *option, const char *path)
{
    char text[256];
    int status = npy_open(array, path);
    if (status) {
        return status;
    }
    const struct npy_header *header = &array->header;
    if (header->type != NPY_F32 && header->type != NPY_F16) {
        return fail(TOOL_USAGE, "%s: holds %s; %s takes float32 or float16", path,
                    npy_type_name(header->type), option);
    }
    shape_text(text, sizeof text, header->shape, header->rank);
    if (header->rank != 4) {
        return fail(TOOL_USAGE, "%s: has rank %d, shape %s; %s takes [batch, heads, tokens, dim]",
                    path, header->rank, text, option);
    }
    if (header->shape[1] < 1 || header->shape[3] < 1) {
        return fail(TOOL_USAGE, "%s: has shape %s; %s takes at least one head and one dim", path,
                    text, option);
    }
    return TOOL_OK;
}

/* Axes that `array` must share with `other`, one bit each. */
static int check_axes(const struct npy *array, const struct npy *other, unsigned axes,
                      const char *rule)
{
    char text[256];
    char other_text[256];
    for (int i = 0; i < 4; i++) {
        if ((axes & 1u << i) && array->header.shape[i] != other->header.shape[i]) {
            shape_text(text, sizeof text, array->header.shape, 4);
            shape_text(other_text, sizeof other_text, other->header.shape, 4);
            return fail(TOOL_USAGE, "%s: has shape %s, but %s has %s; %s", array->path, text,
                        other->path, other_text, rule);
        }
    }
    return TOOL_OK;
}

static int check_shapes(struct inputs *inputs)
{
    int status = check_axes(&inputs->k, &inputs->q, 0xdu, "batch, tokens and dim must be equal");
    if (!status && inputs->v.descriptor >= 0) {
        status = check_axes(&inputs->v, &inputs->k, 0x7u, "batch, heads and tokens must be equal");
    }
    const int64_t *shape = inputs->q.header.shape;
    inputs->kv_heads = inputs->k.header.shape[1];
    if (!status && shape[1] % inputs->kv_heads != 0) {
        status = fail(TOOL_USAGE,
                      "%s: has %" PRId64 " heads, which must divide the %" PRId64 " heads of %s",
                      inputs->k.path, inputs->kv_heads, shape[1], inputs->q.path);
    }
    inputs->shape = (struct problem_shape){shape[0], shape[1], shape[2], shape[3], shape[3]};
    if (inputs->v.descriptor >= 0) {
        inputs->shape.value_dim = inputs->v.header.shape[3];
    }
    return status;
}

static int check_mask(const struct npy *array, const struct problem_shape *shape)
{
    const struct npy_header *header = &array->header;
    if (header->type != NPY_BOOL && header->type != NPY_U8) {
        return fail(TOOL_USAGE, "%s: holds %s; --mask takes bool or uint8, 0 = masked", array->path,
                    npy_type_name(header->type));
    }
    if (header->rank != 2 || header->shape[0] != shape->batch ||
        header->shape[1] != shape->tokens) {
        char text[256];
        shape_text(text, sizeof text, header->shape, header->rank);
        return fail(TOOL_USAGE,
                    "%s: has shape %s; --mask takes [batch, tokens], here [%" PRId64 ", %" PRId64
                    "]",
                    array->path, text, shape->batch, shape->tokens);
    }
    return TOOL_OK;
}

static int read_mask(struct inputs *inputs, const struct npy *array)
{
    int64_t count = array->header.count;
    inputs->mask_type = array->header.type;
    inputs->mask = malloc((size_t)count + 1);
    if (!inputs->mask) {
        return fail_memory("the mask", (uint64_t)count);
    }
    int status = npy_read_bytes(array, 0, count, inputs->mask);
    for (int64_t i = 0; !status && i < count; i++) {
        inputs->masked += inputs->mask[i] == 0;
    }
    return status;
}

static int open_mask(struct inputs *inputs, const char *path)
{
    struct npy array;
    int status = npy_open(&array, path);
    if (status) {
        return status;
    }
    status = check_mask(&array, &inputs->shape);
    if (!status) {
        status = read_mask(inputs, &array);
    }
    npy_close(&array);
    return status;
}

int inputs_open(struct inputs *inputs, const struct input_paths *paths)
{
    memset(inputs, 0, sizeof *inputs);
    inputs->q.descriptor = inputs->k.descriptor = inputs->v.descriptor = -1;
    int status = open_tensor(&inputs->q, "--q", paths->q);
    if (!status) {
        status = open_tensor(&inputs->k, "--k", paths->k);
    }
    if (!status && paths->v) {
        status = open_tensor(&inputs->v, "--v", paths->v);
    }
    if (!status) {
        status = check_shapes(inputs);
    }
    if (!status && paths->mask) {
        status = open_mask(inputs, paths->mask);
    }
    if (status) {
        inputs_close(inputs);
    }
    return status;
}

void inputs_close(struct inputs *inputs)
{
    if (inputs->q.path) {
        npy_close(&inputs->q);
        npy_close(&inputs->k);
        npy_close(&inputs->v);
    }
    free(inputs->mask);
    inputs->mask = NULL;
}

int inputs_upload(struct session *session, const struct npy *array, monarch_buffer *buffer,
                  monarch_dtype dtype)
{
    int64_t total = array->header.count;
    int64_t overflows = 0;
    float *values = malloc(CHUNK * sizeof *values);
    if (!values) {
        return fail_memory("a copy", CHUNK * sizeof *values);
    }
    int status = TOOL_OK;
    for (int64_t at = 0; at < total && !status; at += CHUNK) {
        int64_t part = total - at < CHUNK ? total - at : CHUNK;
        status = npy_read_f32(array, at, part, values);
        if (!status) {
            status = buffer_write_f32(session, buffer, dtype, at, part, values, &overflows);
        }
    }
    free(values);
    if (!status && overflows) {
        warn("%s: %" PRId64 " values are too large for %s and became infinite; --dtype f32 keeps "
             "them",
             array->path, overflows, monarch_dtype_name(dtype));
    }
    return status;
}
