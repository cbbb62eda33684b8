/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in functions of cl_intel_subgroup_matrix_multiply_accumulate that device code uses, as
   the extension's specification declares them for sub-groups of 16; for check_kernels.py, which
   compiles variant matrix_intel and does not run it. */
float8 __attribute__((overloadable))
intel_sub_group_f16_f16_matrix_mad_k16(short8 a, int8 b, float8 acc);
float8 __attribute__((overloadable))
intel_sub_group_bf16_bf16_matrix_mad_k16(short8 a, int8 b, float8 acc);
