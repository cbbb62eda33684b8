/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report.h"

/* More tokens, heads or features than any machine holds, and still far from overflow. */
static const int64_t max_extent = INT64_C(1) << 40;

enum { MAX_THREADS = 4096 };

struct problem_options problem_options_default(void)
{
    struct problem_options options = {.steps = 1, .device = "cpu"};
    return options;
}

int next_own_option(int argc, char **argv, const struct option *table)
{
    opterr = 0;
    int at = optind;
    int code = getopt_long(argc, argv, "+:h", table, NULL);
    if (code == ':') {
        fail(TOOL_USAGE, "%s: needs a value; --help tells which", argv[optind - 1]);
        return '?';
    }
    if (code == '?') {
        /* Only optopt tells an option that takes no value from one that is not known. */
        if (optopt >= OPTION_BLOCK) {
            fail(TOOL_USAGE, "%s: takes no value", argv[at]);
        } else {
            fail(TOOL_USAGE, "unknown or ambiguous option %s; --help lists those that are accepted",
                 argv[at]);
        }
        return '?';
    }
    if (code == -1 && optind < argc) {
        fail(TOOL_USAGE, "unexpected argument '%s'; every value follows its option, see --help",
             argv[optind]);
        return '?';
    }
    return code == 'h' ? OPTION_HELP : code;
}

int next_option(int argc, char **argv, const struct option *own)
{
    static const struct option shared[] = {
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"steps", required_argument, NULL, OPTION_STEPS},
        {"pad", required_argument, NULL, OPTION_PAD},
        {"scale", required_argument, NULL, OPTION_SCALE},
        {"dtype", required_argument, NULL, OPTION_DTYPE},
        {"intermediates", required_argument, NULL, OPTION_INTERMEDIATES},
        {"device", required_argument, NULL, OPTION_DEVICE},
        {"variant", required_argument, NULL, OPTION_VARIANT},
        {"threads", required_argument, NULL, OPTION_THREADS},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    enum { MAX_OWN = 16 };
    struct option table[MAX_OWN + sizeof shared / sizeof *shared];
    size_t count = 0;
    while (count < MAX_OWN && own[count].name) {
        table[count] = own[count];
        count++;
    }
    memcpy(table + count, shared, sizeof shared);
    return next_own_option(argc, argv, table);
}

int parse_integer(const char *name, const char *text, int64_t least, int64_t most, int64_t *value)
{
    char *end = NULL;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    int number = end != text && *end == '\0' && !isspace((unsigned char)text[0]);
    if (!number || errno == ERANGE || parsed < least || parsed > most) {
        return fail(TOOL_USAGE,
                    "%s: '%s' is not accepted; give a whole number from %" PRId64 " to %" PRId64,
                    name, text, least, most);
    }
    *value = parsed;
    return TOOL_OK;
}

int parse_number(const char *name, const char *text, double least, double most, double *value)
{
    char *end = NULL;
    double parsed = strtod(text, &end);
    int number = end != text && *end == '\0' && !isspace((unsigned char)text[0]);
    if (!number || !(parsed >= least && parsed <= most)) {
        return fail(TOOL_USAGE, "%s: '%s' is not accepted; give a number from %g to %g", name, text,
                    least, most);
    }
    *value = parsed;
    return TOOL_OK;
}

int parse_seed(const char *name, const char *text, uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno == ERANGE) {
        return fail(TOOL_USAGE, "%s: '%s' is not accepted; give a whole number from 0 to %" PRIu64,
                    name, text, UINT64_MAX);
    }
    *value = parsed;
    return TOOL_OK;
}

int parse_shape(const char *name, const char *text, struct problem_shape *shape)
{
    int64_t extents[5] = {0};
    const char *at = text;
    int count = 0;
    for (; count < 5 && isdigit((unsigned char)*at); count++) {
        char *end = NULL;
        errno = 0;
        extents[count] = strtoll(at, &end, 10);
        if (errno == ERANGE || extents[count] < 1 || extents[count] > max_extent) {
            break;
        }
        at = end + (*end == ',' && end[1] != '\0');
        if (at == end) {
            count++;
            break;
        }
    }
    if (*at != '\0' || count < 4) {
        return fail(TOOL_USAGE,
                    "%s: '%s' is not accepted; give E,H,N,D or E,H,N,D,Dv (batch, "
                    "heads, tokens, head_dim, value_dim), whole numbers from 1",
                    name, text);
    }
    shape->batch = extents[0];
    shape->heads = extents[1];
    shape->tokens = extents[2];
    shape->head_dim = extents[3];
    shape->value_dim = count == 5 ? extents[4] : extents[3];
    return TOOL_OK;
}

static int parse_pad(const char *name, const char *text, monarch_pad *pad)
{
    if (strcmp(text, "end") == 0) {
        *pad = MONARCH_PAD_END;
    } else if (strcmp(text, "begin") == 0) {
        *pad = MONARCH_PAD_BEGIN;
    } else {
        return fail(TOOL_USAGE, "%s: '%s' is not accepted; give end or begin", name, text);
    }
    return TOOL_OK;
}

static int parse_dtype(const char *name, const char *text, monarch_dtype *dtype)
{
    static const monarch_dtype all[] = {MONARCH_F32, MONARCH_F16, MONARCH_BF16};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(text, monarch_dtype_name(all[i])) == 0) {
            *dtype = all[i];
            return TOOL_OK;
        }
    }
    return fail(TOOL_USAGE, "%s: '%s' is not accepted; give f32, f16 or bf16", name, text);
}

const char *intermediates_name(monarch_intermediates intermediates)
{
    return intermediates == MONARCH_INTERMEDIATES_FP8 ? "fp8" : "default";
}

static int parse_intermediates(const char *name, const char *text, monarch_intermediates *kind)
{
    static const monarch_intermediates all[] = {MONARCH_INTERMEDIATES_DEFAULT,
                                                MONARCH_INTERMEDIATES_FP8};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(text, intermediates_name(all[i])) == 0) {
            *kind = all[i];
            return TOOL_OK;
        }
    }
    return fail(TOOL_USAGE, "%s: '%s' is not accepted; give default or fp8", name, text);
}

static int parse_scale(const char *name, const char *text, float *scale)
{
    double value = 0.0;
    int status = parse_number(name, text, -(double)FLT_MAX, (double)FLT_MAX, &value);
    if (!status && value != 0.0 && (float)value == 0.0f) {
        /* It would silently mean the default. */
        return fail(TOOL_USAGE, "%s: '%s' is not accepted; it is too small for a float", name,
                    text);
    }
    *scale = status ? *scale : (float)value;
    return status;
}

static int parse_int32(const char *name, const char *text, int64_t least, int64_t most,
                       int32_t *value)
{
    int64_t parsed = *value;
    int status = parse_integer(name, text, least, most, &parsed);
    *value = (int32_t)parsed;
    return status;
}

/* Option or key: the same code, another name in messages. */
static int take(int code, const char *name, const char *value, struct problem_options *options)
{
    switch (code) {
    case OPTION_BLOCK:
        return parse_integer(name, value, 0, max_extent, &options->block);
    case OPTION_STEPS:
        return parse_int32(name, value, 1, MONARCH_MAX_STEPS, &options->steps);
    case OPTION_PAD:
        return parse_pad(name, value, &options->pad);
    case OPTION_SCALE:
        return parse_scale(name, value, &options->scale);
    case OPTION_DTYPE:
        return parse_dtype(name, value, &options->dtype);
    case OPTION_INTERMEDIATES:
        return parse_intermediates(name, value, &options->intermediates);
    case OPTION_KV_HEADS:
        return parse_integer(name, value, 1, max_extent, &options->kv_heads);
    case OPTION_DEVICE:
        options->device = value;
        return TOOL_OK;
    case OPTION_VARIANT:
        options->variant = value;
        return TOOL_OK;
    default:
        return parse_int32(name, value, 1, MAX_THREADS, &options->threads);
    }
}

static const struct {
    const char *option;
    const char *key; /* NULL: not in a list file */
    int code;
} names[] = {
    {"--block", "block", OPTION_BLOCK},  {"--steps", "steps", OPTION_STEPS},
    {"--pad", "pad", OPTION_PAD},        {"--scale", "scale", OPTION_SCALE},
    {"--dtype", "dtype", OPTION_DTYPE},  {"--kv-heads", "kv_heads", OPTION_KV_HEADS},
    {"--device", NULL, OPTION_DEVICE},   {"--variant", NULL, OPTION_VARIANT},
    {"--threads", NULL, OPTION_THREADS}, {"--intermediates", "intermediates", OPTION_INTERMEDIATES},
};

int problem_option(int code, const char *value, struct problem_options *options)
{
    size_t i = 0;
    while (names[i].code != code) {
        i++;
    }
    return take(code, names[i].option, value, options);
}

int problem_key(const char *key, const char *value, struct problem_options *options)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].key && strcmp(names[i].key, key) == 0) {
            return take(names[i].code, key, value, options);
        }
    }
    return fail(TOOL_USAGE,
                "'%s' is not a key; accepted are shape, block, steps, pad, scale, dtype, "
                "intermediates and kv_heads",
                key);
}

monarch_problem make_problem(const struct problem_options *options,
                             const struct problem_shape *shape)
{
    monarch_problem problem = monarch_problem_default();
    problem.batch = shape->batch;
    problem.heads = shape->heads;
    problem.kv_heads = options->kv_heads;
    problem.tokens = shape->tokens;
    problem.head_dim = shape->head_dim;
    problem.value_dim = shape->value_dim;
    problem.block_size = options->block;
    problem.steps = options->steps;
    problem.scale = options->scale;
    problem.pad = options->pad;
    problem.intermediates = options->intermediates;
    monarch_problem_set_dtype(&problem, options->dtype);
    return problem;
}
