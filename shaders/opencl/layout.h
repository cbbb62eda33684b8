/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_OPENCL_LAYOUT_H
#define MN_OPENCL_LAYOUT_H

/*
 * How the tiled kernels divide local memory, for the kernels and for the host that asks whether it
 * fits: all of it floats, in arrays of their own. Rows are longer than their features by `pad`, so
 * that rows read at once meet different banks.
 *
 *   queries         rows x (width + 4)
 *   tile            columns x (width + 4)      keys, then values
 *   probabilities   rows x (columns + 4)
 *   terms           2 x columns                  to take off the scores of a column
 *   partial         rows x tx                    of a row, by the work-items that share it
 */
#define MN_TILED_FLOATS(rows, columns, width, tx)                                                  \
    (((rows) + (columns)) * ((width) + 4) + (rows) * ((columns) + 4) + 2 * (columns) +             \
     (rows) * (tx))

/* The same for the kernels that hold all columns at once: slices of 32 features of 64 rows and of
   the columns, and then the probabilities in their place; two tiles of outputs' columns; a part of
   each row by each of 16 items; terms. */
#define MN_WHOLE_STEP 16
#define MN_WHOLE_SCORES(columns)                                                                   \
    ((64 + (columns)) * 36 > 64 * ((columns) + 4) ? (64 + (columns)) * 36 : 64 * ((columns) + 4))
#define MN_WHOLE_TILES(features)                                                                   \
    (2 * MN_WHOLE_STEP * (features) > 64 * 20 ? 2 * MN_WHOLE_STEP * (features) : 64 * 20)
#define MN_WHOLE_FLOATS(columns, features)                                                         \
    (MN_WHOLE_SCORES(columns) + MN_WHOLE_TILES(features) + 64 * 20 + 256)

/* The same for the kernels of processors: rows, two outputs, a tile of keys, of values and of keys
   transposed, probabilities, terms, and five numbers of each row. */
#define MN_VECTOR_COLUMNS 32
#define MN_VECTOR_FLOATS(rows, width)                                                              \
    ((3 * (rows) + 2 * MN_VECTOR_COLUMNS) * ((width) + 16) + MN_VECTOR_COLUMNS * (width) +         \
     (rows) * (MN_VECTOR_COLUMNS + 16) + 2 * MN_VECTOR_COLUMNS + 5 * (rows))

#endif
