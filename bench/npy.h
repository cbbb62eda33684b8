/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stdint.h>

#include "outfile.h"

/*
 * Arrays in .npy files, format versions 1.0 to 3.0: little-endian float32 and float16, bool and
 * uint8, in C order. Functions that return int print what is wrong and return the exit status.
 */
enum npy_type { NPY_F32, NPY_F16, NPY_BOOL, NPY_U8 };

enum { NPY_MAX_RANK = 8 };

struct npy_header {
    enum npy_type type;
    int rank;
    int64_t shape[NPY_MAX_RANK];
    int64_t count; /* elements */
};

/* An array open for reading. */
struct npy {
    struct npy_header header;
    const char *path;
    int descriptor;
    int64_t data; /* offset of the first element in the file */
};

/* "float32", "float16", "bool" or "uint8". */
const char *npy_type_name(enum npy_type type);

int64_t npy_type_size(enum npy_type type);

/* Parses the header's dictionary, `size` bytes of text. `path` is for messages. */
int npy_parse_header(const char *path, const char *text, size_t size, struct npy_header *header);

/* Opens, parses and checks the header and the size of the file. Keeps `path`. */
int npy_open(struct npy *array, const char *path);

/* Does nothing on an array that is closed; one that was never opened has descriptor -1. */
void npy_close(struct npy *array);

/* Elements [first, first + count) as f32, of a float array. */
int npy_read_f32(const struct npy *array, int64_t first, int64_t count, float *values);

/* Elements [first, first + count) as they are, of a bool or uint8 array. */
int npy_read_bytes(const struct npy *array, int64_t first, int64_t count, uint8_t *values);

/* Writes the header of a float32 array; the elements follow through outfile_write. */
int npy_write_header(struct outfile *file, const int64_t *shape, int rank);

/* A whole float32 array. */
int npy_save(const char *path, const int64_t *shape, int rank, const float *values);

#endif
