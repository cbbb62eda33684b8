// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_COLUMNS_GLSL
#define MN_VULKAN_COLUMNS_GLSL

// What the variants with cooperative matrices share: the work-group's rows and a tile's columns on
// their way to shared memory. Loads are issued by fetch_...(), into registers, and waited for by
// put_...(). What is not whole is loaded when it is put, by a short loop: code that seldom runs
// must not take the registers of what always runs.
//
// All of shared memory is of words of 16 bytes, and rows are one word longer than their elements,
// so that rows read at once meet all banks. The includer says where in `pool` keys and values lie,
// and how many words it has; rows lie at its start.

#include "shaders/vulkan/halves.glsl"

shared uvec4 pool[POOL_WORDS];

// Eight features at a time.
const int EIGHTS = WIDTH / 8, OUT_EIGHTS = OUT / 8;
const int ROW_LOADS = (ROWS * EIGHTS + THREADS - 1) / THREADS;
const int KEY_LOADS = (COLUMNS * EIGHTS + THREADS - 1) / THREADS;
const int VALUE_LOADS = HAS_RESULT ? (COLUMNS * OUT_EIGHTS + THREADS - 1) / THREADS : 1;
uvec4 next_rows[ROW_LOADS], next_keys[KEY_LOADS], next_values[VALUE_LOADS];
bool whole_rows, whole_keys, whole_values; // whether they are whole, and in registers

// A subgroup's rows are its own.
void rows_barrier()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

void fetch_rows(rows_view view)
{
    whole_rows = is_whole(view, row0, ROWS, WIDTH);
    if (!whole_rows)
        return;
    uint64_t base = first_row(view, row0);
    [[unroll]] for (int n = 0; n < ROW_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < ROWS * EIGHTS)
            next_rows[n] = vectors_at(near_row(view, base, i / EIGHTS, i % EIGHTS * 16)).words;
    }
}

void put_rows(rows_view view)
{
    if (whole_rows) {
        [[unroll]] for (int n = 0; n < ROW_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < ROWS * EIGHTS)
                pool[i / EIGHTS * PITCH + i % EIGHTS] = next_rows[n];
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < ROWS * EIGHTS; i += THREADS)
            pool[i / EIGHTS * PITCH + i % EIGHTS] =
                load_eight(view, row0 + i / EIGHTS, i % EIGHTS * 8);
    }
}

void fetch_keys(rows_view view, int first)
{
    whole_keys = is_whole(view, first, COLUMNS, WIDTH);
    if (!whole_keys)
        return;
    uint64_t base = first_row(view, first);
    [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < COLUMNS * EIGHTS)
            next_keys[n] = vectors_at(near_row(view, base, i / EIGHTS, i % EIGHTS * 16)).words;
    }
}

void put_keys(rows_view view, int first)
{
    if (whole_keys) {
        [[unroll]] for (int n = 0; n < KEY_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * EIGHTS)
                pool[KEYS_AT + i / EIGHTS * PITCH + i % EIGHTS] = next_keys[n];
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * EIGHTS; i += THREADS)
            pool[KEYS_AT + i / EIGHTS * PITCH + i % EIGHTS] =
                load_eight(view, first + i / EIGHTS, i % EIGHTS * 8);
    }
}

void fetch_values(rows_view view, int first)
{
    whole_values = is_whole(view, first, COLUMNS, OUT);
    if (!whole_values)
        return;
    uint64_t base = first_row(view, first);
    [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
        int i = thread + n * THREADS;
        if (i < COLUMNS * OUT_EIGHTS)
            next_values[n] =
                vectors_at(near_row(view, base, i / OUT_EIGHTS, i % OUT_EIGHTS * 16)).words;
    }
}

void put_values(rows_view view, int first)
{
    if (whole_values) {
        [[unroll]] for (int n = 0; n < VALUE_LOADS; n++) {
            int i = thread + n * THREADS;
            if (i < COLUMNS * OUT_EIGHTS)
                pool[VALUES_AT + i / OUT_EIGHTS * OUT_PITCH + i % OUT_EIGHTS] = next_values[n];
        }
    } else {
        [[dont_unroll]] for (int i = thread; i < COLUMNS * OUT_EIGHTS; i += THREADS)
            pool[VALUES_AT + i / OUT_EIGHTS * OUT_PITCH + i % OUT_EIGHTS] =
                load_eight(view, first + i / OUT_EIGHTS, i % OUT_EIGHTS * 8);
    }
}

#endif
