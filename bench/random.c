/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "convert.h"
#include "report.h"

enum { QUANTILES = 1 << 16, CHUNK = 1 << 20 };

/* The output function of the SplitMix64 generator: a good hash of a counter. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint64_t draw(uint64_t key, uint64_t index)
{
    return mix(key + (index + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        seed = mix((uint64_t)time(NULL));
    }
    return seed >> 32; /* short enough to be typed again */
}

int64_t random_below(uint64_t seed, uint64_t salt, int64_t limit)
{
    return (int64_t)(draw(mix(seed), salt) % (uint64_t)limit);
}

/* Upper half of the table; the lower one is its mirror image. */
static void fill_quantiles(float *table)
{
    const double density = 0.39894228040143268;
    double x = 0.0;
    for (int i = QUANTILES / 2; i < QUANTILES; i++) {
        double above = 1.0 - (i + 0.5) / QUANTILES;
        /* Newton's method from the left neighbour never overshoots, the function being concave. */
        for (int step = 0; step < 8; step++) {
            double tail = 0.5 * erfc(x * sqrt(0.5));
            x += (tail - above) / (density * exp(-0.5 * x * x));
        }
        table[i] = (float)x;
        table[QUANTILES - 1 - i] = (float)-x;
    }
}

static void fill_chunk(const float *table, const uint16_t *halves, uint64_t key, uint64_t first,
                       void *chunk, int64_t count)
{
    float *single = chunk;
    uint16_t *half = chunk;
    uint64_t bits = 0;
    for (int64_t i = 0; i < count; i++) {
        bits = i % 4 == 0 ? draw(key, (first + (uint64_t)i) / 4) : bits >> 16;
        if (halves) {
            half[i] = halves[bits & 0xffffu];
        } else {
            single[i] = table[bits & 0xffffu];
        }
    }
}

static monarch_status fill_buffer(struct session *session, monarch_buffer *buffer,
                                  monarch_dtype dtype, int64_t count, uint64_t key,
                                  const float *table, const uint16_t *halves, void *chunk,
                                  monarch_error *error)
{
    uint64_t width = monarch_dtype_size(dtype);
    monarch_status status = MONARCH_OK;
    for (int64_t at = 0; at < count && !status; at += CHUNK) {
        int64_t part = count - at < CHUNK ? count - at : CHUNK;
        fill_chunk(table, dtype == MONARCH_F32 ? NULL : halves, key, (uint64_t)at, chunk, part);
        status = monarch_buffer_write(session->queue, buffer, (uint64_t)at * width, chunk,
                                      (uint64_t)part * width, error);
    }
    return status;
}

int random_fill(struct session *session, monarch_buffer *buffer, monarch_dtype dtype, int64_t count,
                uint64_t seed, uint64_t stream)
{
    monarch_error error = {0};
    float *table = malloc(QUANTILES * sizeof *table);
    uint16_t *halves = malloc(QUANTILES * sizeof *halves);
    void *chunk = malloc(CHUNK * sizeof(float));
    int status = TOOL_OK;
    if (!table || !halves || !chunk) {
        status = fail_memory("random values", CHUNK * sizeof(float));
    } else {
        fill_quantiles(table);
        if (dtype != MONARCH_F32) {
            convert_from_f32(dtype, table, halves, QUANTILES);
        }
        uint64_t key = draw(mix(seed), stream);
        monarch_status result =
            fill_buffer(session, buffer, dtype, count, key, table, halves, chunk, &error);
        status = result ? fail_library(result, &error) : TOOL_OK;
    }
    free(table);
    free(halves);
    free(chunk);
    return status;
}
