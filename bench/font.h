/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_FONT_H
#define BENCH_FONT_H

#include <stdint.h>

/* A fixed-width bitmap font for printable ASCII; the last two rows are for descenders. */
enum { FONT_WIDTH = 5, FONT_HEIGHT = 9, FONT_ADVANCE = 6, FONT_FIRST = ' ', FONT_LAST = '~' };

/* FONT_HEIGHT rows of FONT_WIDTH bits, the highest on the left; '?' for other characters. */
const uint8_t *font_glyph(char character);

#endif
