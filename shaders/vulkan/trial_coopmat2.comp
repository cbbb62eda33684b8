// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

// What the build asks a compiler, to learn whether it knows matrices that can be reduced.

layout(local_size_x = 32) in;
layout(constant_id = 0) const uint M = 16;

shared float rows[256];

float larger(const in float a, const in float b)
{
    return max(a, b);
}

void main()
{
    coopmat<float, gl_ScopeSubgroup, M, M, gl_MatrixUseAccumulator> a;
    coopMatLoad(a, rows, 0, M, gl_CooperativeMatrixLayoutRowMajor);
    coopMatReduceNV(a, a, gl_CooperativeMatrixReduceRowNV, larger);
    coopMatStore(a, rows, 0, M, gl_CooperativeMatrixLayoutRowMajor);
}
