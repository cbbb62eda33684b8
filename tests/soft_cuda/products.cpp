/* SPDX-License-Identifier: Apache-2.0 */
#include "products.h"

#include <string.h>

#include "machine.h"
#include "number.h"

namespace soft
{

namespace
{

float f16_table[1 << 16];

const float *make_table()
{
    for (int i = 0; i < 1 << 16; i++)
        f16_table[i] = test_f16_to_float((uint16_t)i);
    return f16_table;
}

float value(type t, uint16_t bits)
{
    return t == type::f16 ? f16_value(bits) : bf16_value(bits);
}

/* The two elements of a register. */
float half_of(type t, uint32_t pair, int which)
{
    return value(t, (uint16_t)(pair >> 16 * which));
}

/* a is 16 x 16: what lane 4g + t holds of it. */
void unpack_a(type t, const uint32_t *x, int lane, float (*a)[16])
{
    const int g = lane / 4, column = lane % 4 * 2;
    for (int i = 0; i < 2; i++) {
        a[g][column + i] = half_of(t, x[0], i);
        a[g + 8][column + i] = half_of(t, x[1], i);
        a[g][column + 8 + i] = half_of(t, x[2], i);
        a[g + 8][column + 8 + i] = half_of(t, x[3], i);
    }
}

struct product {
    type t;
    float (*d)[4];
    const uint32_t *a;
    uint32_t b0, b1;
};

void multiply_lanes(void *const *lanes)
{
    float a[16][16], b[8][16];
    const type t = static_cast<product *>(lanes[0])->t;
    for (int lane = 0; lane < 32; lane++) {
        const product *p = static_cast<product *>(lanes[lane]);
        unpack_a(t, p->a, lane, a);
        for (int i = 0; i < 2; i++) {
            b[lane / 4][lane % 4 * 2 + i] = half_of(t, p->b0, i);
            b[lane / 4][lane % 4 * 2 + 8 + i] = half_of(t, p->b1, i);
        }
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            const float *row = a[lane / 4 + i / 2 * 8], *column = b[lane % 4 * 2 + i % 2];
            float sum = 0.0f;
            for (int k = 0; k < 16; k++)
                sum += row[k] * column[k];
            (*static_cast<product *>(lanes[lane])->d)[i] += sum;
        }
}

struct group_product {
    type t;
    float (*d)[4];
    int blocks;
    const uint32_t *a;
    uint64_t a_descriptor, b_descriptor;
    bool summed, add;
};

/* Element (row, column) of a panel; a descriptor may begin within its first row. */
float panel_element(type t, uint64_t descriptor, int row, int column)
{
    const uint32_t begin = (uint32_t)(descriptor & 0x3fff) << 4;
    const uint32_t apart = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    uint32_t offset = begin + row / 8 * apart + row % 8 * 128 + column * 2;
    offset ^= (offset >> 7 & 7) << 4;
    if (descriptor >> 62 != 1)
        fail("a descriptor of another form than panels have");
    uint16_t bits;
    memcpy(&bits, own_place(offset, 2), 2);
    return value(t, bits);
}

void multiply_warps(void *const *threads)
{
    static float a[4][16][16], b[256][16]; /* one thread runs kernels */
    const group_product *first = static_cast<group_product *>(threads[0]);
    const int columns = first->blocks * 8;
    for (int i = 0; i < 128; i++) {
        const group_product *p = static_cast<group_product *>(threads[i]);
        if (p->a)
            unpack_a(p->t, p->a, i % 32, a[i / 32]);
        else if (p->a_descriptor != first->a_descriptor)
            fail("threads of a warpgroup name different matrices");
        if (p->b_descriptor != first->b_descriptor)
            fail("threads of a warpgroup name different matrices");
    }
    for (int row = 0; row < 64 && !first->a; row++)
        for (int k = 0; k < 16; k++)
            a[row / 16][row % 16][k] = panel_element(first->t, first->a_descriptor, row, k);
    for (int n = 0; n < columns; n++)
        for (int k = 0; k < 16; k++)
            b[n][k] = first->summed ? panel_element(first->t, first->b_descriptor, k, n)
                                    : panel_element(first->t, first->b_descriptor, n, k);
    for (int i = 0; i < 128; i++) {
        const group_product *p = static_cast<group_product *>(threads[i]);
        for (int n = 0; n < p->blocks; n++)
            for (int e = 0; e < 4; e++) {
                const float *row = a[i / 32][i % 32 / 4 + e / 2 * 8];
                const float *column = b[8 * n + i % 4 * 2 + e % 2];
                float sum = 0.0f;
                for (int k = 0; k < 16; k++)
                    sum += row[k] * column[k];
                p->d[n][e] = (p->add ? p->d[n][e] : 0.0f) + sum;
            }
    }
}

struct matrices {
    uint32_t (*x)[4];
    uint32_t address;
};

const char *matrix_row(void *const *lanes, int matrix, int row)
{
    const uint32_t address = static_cast<matrices *>(lanes[matrix * 8 + row])->address;
    if (address % 16 != 0)
        fail("a row of a matrix that does not begin at a multiple of 16 bytes");
    return place_of(address, 16);
}

void load_lanes(void *const *lanes)
{
    for (int matrix = 0; matrix < 4; matrix++)
        for (int row = 0; row < 8; row++) {
            const char *from = matrix_row(lanes, matrix, row);
            for (int i = 0; i < 4; i++)
                memcpy(&(*static_cast<matrices *>(lanes[row * 4 + i])->x)[matrix], from + 4 * i, 4);
        }
}

void load_lanes_transposed(void *const *lanes)
{
    for (int matrix = 0; matrix < 4; matrix++)
        for (int row = 0; row < 8; row++) {
            uint16_t from[8];
            memcpy(from, matrix_row(lanes, matrix, row), 16);
            for (int column = 0; column < 8; column++) {
                uint32_t &x = (*static_cast<matrices *>(lanes[column * 4 + row / 2])->x)[matrix];
                const int shift = row % 2 * 16;
                x = (x & ~(0xffffu << shift)) | (uint32_t)from[column] << shift;
            }
        }
}

void store_lanes(void *const *lanes)
{
    for (int matrix = 0; matrix < 4; matrix++)
        for (int row = 0; row < 8; row++) {
            char *to = const_cast<char *>(matrix_row(lanes, matrix, row));
            for (int i = 0; i < 4; i++)
                memcpy(to + 4 * i, &(*static_cast<matrices *>(lanes[row * 4 + i])->x)[matrix], 4);
        }
}

} // namespace

const float *const f16_values = make_table();

void multiply(type t, float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    product p = {t, &d, a, b0, b1};
    with_warp("mma", &p, multiply_lanes);
}

void multiply_group(type t, float (*d)[4], int blocks, const uint32_t *a, uint64_t a_descriptor,
                    uint64_t b_descriptor, bool summed, bool add)
{
    group_product p = {t, d, blocks, a, a_descriptor, b_descriptor, summed, add};
    with_warpgroup("wgmma", &p, multiply_warps);
}

void load_matrices(uint32_t (&x)[4], uint32_t address, bool transposed)
{
    matrices mine = {&x, address};
    if (transposed)
        with_warp("ldmatrix.trans", &mine, load_lanes_transposed);
    else
        with_warp("ldmatrix", &mine, load_lanes);
}

void store_matrices(uint32_t address, const uint32_t (&x)[4])
{
    matrices mine = {const_cast<uint32_t(*)[4]>(&x), address};
    with_warp("stmatrix", &mine, store_lanes);
}

} // namespace soft
