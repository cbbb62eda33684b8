// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

// What the build asks a compiler, to learn whether it knows cooperative matrices.

layout(local_size_x = 32) in;
layout(constant_id = 0) const uint M = 16;

shared float16_t rows[256];

void main()
{
    coopmat<float16_t, gl_ScopeSubgroup, M, M, gl_MatrixUseA> a;
    coopMatLoad(a, rows, 0, M, gl_CooperativeMatrixLayoutRowMajor);
    coopMatStore(a, rows, 0, M, gl_CooperativeMatrixLayoutRowMajor);
}
