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

/* The same for the kernels of processors: rows, two outputs, a tile of keys, of values and of keys
   transposed, probabilities, terms, and five numbers of each row. */
#define MN_VECTOR_COLUMNS 32
#define MN_VECTOR_FLOATS(rows, width)                                                              \
    ((3 * (rows) + 2 * MN_VECTOR_COLUMNS) * ((width) + 16) + MN_VECTOR_COLUMNS * (width) +         \
     (rows) * (MN_VECTOR_COLUMNS + 16) + 2 * MN_VECTOR_COLUMNS + 5 * (rows))

#endif
