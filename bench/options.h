/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <getopt.h>

#include <monarch/monarch.h>

/* How a problem is computed: what the options that run, bench and map share say. */
struct problem_options {
    int64_t block; /* 0 = the library's choice */
    int32_t steps;
    monarch_pad pad;
    float scale; /* 0 = 1 / sqrt(head_dim) */
    monarch_dtype dtype;
    monarch_intermediates intermediates;
    int64_t kv_heads; /* only of bench: run and map see it from their files; 0 = heads */
    const char *device;
    const char *variant; /* NULL = the device's choice */
    int32_t threads;     /* of the cpu device; 0 = all */
};

/* Shape of a problem as bench takes it. */
struct problem_shape {
    int64_t batch, heads, tokens, head_dim, value_dim;
};

/* What getopt_long returns for the shared options; those of one command start at OPTION_OWN. */
enum {
    OPTION_BLOCK = 256,
    OPTION_STEPS,
    OPTION_PAD,
    OPTION_SCALE,
    OPTION_DTYPE,
    OPTION_INTERMEDIATES,
    OPTION_KV_HEADS,
    OPTION_DEVICE,
    OPTION_VARIANT,
    OPTION_THREADS,
    OPTION_HELP,
    OPTION_OWN
};

struct problem_options problem_options_default(void);

/*
 * The next option of `own`, a table that ends with zeros, or of those that are shared, or -1 after
 * the last. On an unknown option, a missing argument or a stray word it prints the reason and
 * returns '?'.
 */
int next_option(int argc, char **argv, const struct option *own);

/* The same without the shared options. */
int next_own_option(int argc, char **argv, const struct option *table);

/* Takes a shared option into `options`; `code` is one of OPTION_BLOCK .. OPTION_THREADS. */
int problem_option(int code, const char *value, struct problem_options *options);

/* The same for a key of a list file: "block", "steps", "pad", "scale", "dtype", "intermediates",
   "kv_heads". */
int problem_key(const char *key, const char *value, struct problem_options *options);

/*
 * Parse `text`, the value of what `name` calls, e.g. "--steps". They print what is wrong and what
 * is accepted, and return the exit status.
 */
int parse_integer(const char *name, const char *text, int64_t least, int64_t most, int64_t *value);
int parse_number(const char *name, const char *text, double least, double most, double *value);
int parse_seed(const char *name, const char *text, uint64_t *value);
int parse_shape(const char *name, const char *text, struct problem_shape *shape);

/* "default" or "fp8". */
const char *intermediates_name(monarch_intermediates intermediates);

/* The descriptor, packed tensors, for these options and this shape. */
monarch_problem make_problem(const struct problem_options *options,
                             const struct problem_shape *shape);

#endif
