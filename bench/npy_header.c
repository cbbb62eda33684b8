/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "report.h"

/*
 * The header is a Python dictionary such as
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1, 12, 384, 64), }
 * with exactly these three keys, in any order.
 */
struct parser {
    const char *path;
    const char *at;
    const char *end;
};

static int malformed(const struct parser *parser, const char *what)
{
    return fail(TOOL_USAGE, "%s: is not a .npy file that can be read: %s in its header",
                parser->path, what);
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && strchr(" \t\n\r", *parser->at) && *parser->at) {
        parser->at++;
    }
}

static int accept(struct parser *parser, const char *token)
{
    skip_space(parser);
    size_t length = strlen(token);
    if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, token, length) != 0) {
        return 0;
    }
    parser->at += length;
    return 1;
}

/* A quoted string without escapes, which no valid header needs. */
static int parse_string(struct parser *parser, char *text, size_t capacity)
{
    skip_space(parser);
    if (parser->at == parser->end || (*parser->at != '\'' && *parser->at != '"')) {
        return 0;
    }
    char quote = *parser->at++;
    const char *start = parser->at;
    while (parser->at < parser->end && *parser->at != quote) {
        if (*parser->at < ' ' || *parser->at > '~') {
            return 0;
        }
        parser->at++;
    }
    size_t length = (size_t)(parser->at - start);
    if (parser->at == parser->end || length >= capacity) {
        return 0;
    }
    memcpy(text, start, length);
    text[length] = '\0';
    parser->at++;
    return 1;
}

static int parse_extent(struct parser *parser, int64_t *extent)
{
    skip_space(parser);
    const char *start = parser->at;
    int64_t value = 0;
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9') {
        int digit = *parser->at++ - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *extent = value;
    if (parser->at == start) {
        return 0;
    }
    accept(parser, "L"); /* Python 2 wrote long integers so */
    return 1;
}

static int parse_shape(struct parser *parser, struct npy_header *header)
{
    if (!accept(parser, "(")) {
        return malformed(parser, "no tuple as 'shape'");
    }
    header->rank = 0;
    while (!accept(parser, ")")) {
        if (header->rank == NPY_MAX_RANK) {
            return malformed(parser, "more than 8 dimensions");
        }
        if (!parse_extent(parser, &header->shape[header->rank])) {
            return malformed(parser, "a dimension that is no whole number");
        }
        header->rank++;
        if (!accept(parser, ",") && parser->at < parser->end && *parser->at != ')') {
            return malformed(parser, "no ')' after 'shape'");
        }
    }
    return TOOL_OK;
}

static int parse_type(struct parser *parser, struct npy_header *header)
{
    static const struct {
        const char *text;
        enum npy_type type;
    } known[] = {{"<f4", NPY_F32}, {"<f2", NPY_F16}, {"|b1", NPY_BOOL}, {"|u1", NPY_U8}};
    char text[64];
    if (!parse_string(parser, text, sizeof text)) {
        return fail(TOOL_USAGE,
                    "%s: holds records; accepted are arrays of float32, float16, "
                    "bool or uint8",
                    parser->path);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(text, known[i].text) == 0) {
            header->type = known[i].type;
            return TOOL_OK;
        }
    }
    return fail(TOOL_USAGE,
                "%s: holds elements of type '%s'; accepted are '<f4' (float32) and "
                "'<f2' (float16) for tensors, '|b1' (bool) and '|u1' (uint8) for a mask",
                parser->path, text);
}

static int parse_order(struct parser *parser)
{
    if (accept(parser, "True")) {
        return fail(TOOL_USAGE,
                    "%s: is in Fortran order; accepted is C order, which "
                    "numpy.ascontiguousarray gives",
                    parser->path);
    }
    return accept(parser, "False") ? TOOL_OK
                                   : malformed(parser, "neither True nor False as 'fortran_order'");
}

static int parse_entry(struct parser *parser, struct npy_header *header, unsigned *seen)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[32];
    if (!parse_string(parser, key, sizeof key) || !accept(parser, ":")) {
        return malformed(parser, "no dictionary");
    }
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(key, keys[i]) == 0 && !(*seen & 1u << i)) {
            *seen |= 1u << i;
            return i == 0   ? parse_type(parser, header)
                   : i == 1 ? parse_order(parser)
                            : parse_shape(parser, header);
        }
    }
    return malformed(parser, "an unknown or repeated key");
}

int npy_parse_header(const char *path, const char *text, size_t size, struct npy_header *header)
{
    struct parser parser = {path, text, text + size};
    unsigned seen = 0;
    memset(header, 0, sizeof *header);
    if (!accept(&parser, "{")) {
        return malformed(&parser, "no dictionary");
    }
    while (!accept(&parser, "}")) {
        int status = parse_entry(&parser, header, &seen);
        if (status) {
            return status;
        }
        if (!accept(&parser, ",") && (parser.at == parser.end || *parser.at != '}')) {
            return malformed(&parser, "no '}'");
        }
    }
    if (seen != 7u) {
        return malformed(&parser, "not all of 'descr', 'fortran_order' and 'shape'");
    }
    skip_space(&parser);
    return parser.at == parser.end ? TOOL_OK : malformed(&parser, "text after '}'");
}
