/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_ISA_H
#define MN_CPU_ISA_H

#include <stdbool.h>

/*
 * What the processor, and the system under it, can run. Decided by CPUID bits, never by model
 * names: virtual machines and emulators show the one without the other.
 */

/* AVX2 with FMA and F16C. */
bool mn_cpu_has_avx2(void);

/* The above and AVX-512 F, VL, BW and DQ. */
bool mn_cpu_has_avx512(void);

/* The features the variants ask about, by name in a fixed order; NULL past the end. */
const char *mn_cpu_feature(int index, bool *present);

#endif
