/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in functions of OpenCL C that device code uses, for clang's nvptx64 target, which has
 * none: check_kernels.py compiles variant matrix to PTX and that to machine code, and runs neither.
 */
#define FUNCTION __attribute__((overloadable, always_inline))

size_t FUNCTION get_local_id(uint axis)
{
    return axis == 0 ? __nvvm_read_ptx_sreg_tid_x() : __nvvm_read_ptx_sreg_tid_y();
}

size_t FUNCTION get_group_id(uint axis)
{
    return axis == 0 ? __nvvm_read_ptx_sreg_ctaid_x() : __nvvm_read_ptx_sreg_ctaid_y();
}

size_t FUNCTION get_num_groups(uint axis)
{
    return axis == 0 ? __nvvm_read_ptx_sreg_nctaid_x() : __nvvm_read_ptx_sreg_nctaid_y();
}

void FUNCTION barrier(cl_mem_fence_flags flags)
{
    __asm volatile("bar.sync 0;" ::: "memory");
}

float FUNCTION fma(float a, float b, float c)
{
    return __nvvm_fma_rn_f(a, b, c);
}

float FUNCTION fmax(float a, float b)
{
    return __nvvm_fmax_f(a, b);
}

float FUNCTION fmin(float a, float b)
{
    return __nvvm_fmin_f(a, b);
}

float FUNCTION fabs(float a)
{
    return as_float(as_uint(a) & 0x7fffffff);
}

float FUNCTION copysign(float a, float b)
{
    return as_float((as_uint(a) & 0x7fffffff) | (as_uint(b) & 0x80000000));
}

float FUNCTION exp2(float a)
{
    return __nvvm_ex2_approx_f(a);
}

float FUNCTION log2(float a)
{
    return __nvvm_lg2_approx_f(a);
}

int FUNCTION min(int a, int b)
{
    return a < b ? a : b;
}

long FUNCTION min(long a, long b)
{
    return a < b ? a : b;
}

long FUNCTION max(long a, long b)
{
    return a > b ? a : b;
}

int FUNCTION clamp(int a, int low, int high)
{
    return a < low ? low : a > high ? high : a;
}

int FUNCTION isnan(float a)
{
    return a != a;
}

float FUNCTION vload_half(size_t offset, const __global half *p);
float2 FUNCTION vload_half2(size_t offset, const half *p);
void FUNCTION vstore_half_rte(float data, size_t offset, __global half *p);
void FUNCTION vstorea_half4_rte(float4 data, size_t offset, __global half *p);
