/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_OPENCL_LAYOUT_H
#define MN_OPENCL_LAYOUT_H

/*
 * How the tiled kernels divide local memory, for the kernels and for the host that asks whether it
 * fits: all of it floats. Rows are longer than what they hold by a pad, so that rows read at once
 * meet different banks. A large array holds one after the other
 *
 *   for the scores    rows x DEPTH of the queries, columns x DEPTH of the keys
 *   for the outputs   columns x rows of the probabilities, and behind them
 *                     two numbers of each row by each of its tx items, then
 *                     chunk x width of one or two operands
 *   at the end        rows x width of an output
 *
 * and others two numbers of each column and of each row.
 */
#define MN_TILED_DEPTH 32 /* features at a time */
#define MN_TILED_PAD 4

#define MN_TILED_SCORES(rows, columns) (((rows) + (columns)) * (MN_TILED_DEPTH + MN_TILED_PAD))
#define MN_TILED_PROBABILITIES(rows, columns) ((columns) * ((rows) + 2 * MN_TILED_PAD))
#define MN_TILED_CHUNKS(width, chunk) (2 * (chunk) * ((width) + MN_TILED_PAD))
#define MN_TILED_PARTIAL(rows, tx) (2 * (tx) * ((rows) + 2 * MN_TILED_PAD))
#define MN_TILED_LARGER(a, b) ((a) > (b) ? (a) : (b))
#define MN_TILED_OUTPUTS(rows, columns, width, tx, chunk)                                          \
    (MN_TILED_PROBABILITIES(rows, columns) +                                                       \
     MN_TILED_LARGER(MN_TILED_CHUNKS(width, chunk), MN_TILED_PARTIAL(rows, tx)))
#define MN_TILED_POOL(rows, columns, width, tx, chunk)                                             \
    MN_TILED_LARGER(MN_TILED_LARGER(MN_TILED_SCORES(rows, columns),                                \
                                    MN_TILED_OUTPUTS(rows, columns, width, tx, chunk)),            \
                    (rows) * ((width) + MN_TILED_PAD))
#define MN_TILED_FLOATS(rows, columns, width, tx, chunk)                                           \
    (MN_TILED_POOL(rows, columns, width, tx, chunk) + 2 * (columns) + 2 * (rows))

/* The same for the kernels of processors: rows, two outputs, a tile of keys, of values and of keys
   transposed, probabilities, terms, and five numbers of each row. */
#define MN_VECTOR_COLUMNS 32
#define MN_VECTOR_FLOATS(rows, width)                                                              \
    ((3 * (rows) + 2 * MN_VECTOR_COLUMNS) * ((width) + 16) + MN_VECTOR_COLUMNS * (width) +         \
     (rows) * (MN_VECTOR_COLUMNS + 16) + 2 * MN_VECTOR_COLUMNS + 5 * (rows))

#endif
