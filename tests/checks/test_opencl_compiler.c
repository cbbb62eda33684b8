/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a compiler of OpenCL C is relied on for, apart from the library: row sums of a tile in local
 * memory in the form that the library's kernels keep to, which must be right on every device.
 *
 * PoCL (3.1 and 6.0, on processors) makes wrong code of another form: between two barriers, a
 * condition that differs between work-items and holds a loop, then another loop. The library's
 * kernels have no such place. Whether the driver here still fails is printed, and is no failure.
 */

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

enum { ROWS = 64, COLUMNS = 32, ITEMS = 256, GROUPS = 4 };

/* Both kernels: out[row] = sum of 2^(x - largest) over the row, times the sum of all its elements.
 */
static const char source[] =
    "#define ROWS 64\n"
    "#define COLUMNS 32\n"
    "#define ITEMS 256\n"
    "__kernel void risky(const __global float *in, __global float *out)\n"
    "{\n"
    "    __local float tile[ROWS * (COLUMNS + 1)], largest[ROWS], sums[ITEMS];\n"
    "    int item = get_local_id(0), row = item / 4, part = item % 4;\n"
    "    in += get_group_id(0) * ROWS * COLUMNS;\n"
    "    for (int i = item; i < ROWS * COLUMNS; i += ITEMS)\n"
    "        tile[i / COLUMNS * (COLUMNS + 1) + i % COLUMNS] = in[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    if (item < ROWS) {\n"
    "        float m = -INFINITY;\n"
    "        for (int c = 0; c < COLUMNS; c++)\n"
    "            m = fmax(m, tile[item * (COLUMNS + 1) + c]);\n"
    "        largest[item] = m;\n"
    "    }\n"
    "    float sum = 0.0f;\n"
    "    for (int c = part; c < COLUMNS; c += 4)\n"
    "        sum += tile[row * (COLUMNS + 1) + c];\n"
    "    sums[item] = sum;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    if (part == 0) {\n"
    "        float powers = 0.0f;\n"
    "        for (int c = 0; c < COLUMNS; c++)\n"
    "            powers += exp2(tile[row * (COLUMNS + 1) + c] - largest[row]);\n"
    "        out[get_group_id(0) * ROWS + row] =\n"
    "            powers * (sums[item] + sums[item + 1] + sums[item + 2] + sums[item + 3]);\n"
    "    }\n"
    "}\n"
    "__kernel void kept(const __global float *in, __global float *out)\n"
    "{\n"
    "    __local float tile[ROWS * (COLUMNS + 1)], largest[ITEMS], sums[ITEMS], powers[ITEMS];\n"
    "    int item = get_local_id(0), row = item / 4, part = item % 4;\n"
    "    in += get_group_id(0) * ROWS * COLUMNS;\n"
    "    for (int i = 0; i < ROWS * COLUMNS / ITEMS; i++) {\n"
    "        int e = i * ITEMS + item;\n"
    "        tile[e / COLUMNS * (COLUMNS + 1) + e % COLUMNS] = in[e];\n"
    "    }\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    float m = -INFINITY, sum = 0.0f, power = 0.0f;\n"
    "    for (int c = 0; c < COLUMNS / 4; c++) {\n"
    "        m = fmax(m, tile[row * (COLUMNS + 1) + 4 * c + part]);\n"
    "        sum += tile[row * (COLUMNS + 1) + 4 * c + part];\n"
    "    }\n"
    "    largest[item] = m;\n"
    "    sums[item] = sum;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    int first = row * 4;\n"
    "    m = fmax(fmax(largest[first], largest[first + 1]),\n"
    "             fmax(largest[first + 2], largest[first + 3]));\n"
    "    for (int c = 0; c < COLUMNS / 4; c++)\n"
    "        power += exp2(tile[row * (COLUMNS + 1) + 4 * c + part] - m);\n"
    "    powers[item] = power;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    if (part == 0)\n"
    "        out[get_group_id(0) * ROWS + row] =\n"
    "            (powers[first] + powers[first + 1] + powers[first + 2] + powers[first + 3]) *\n"
    "            (sums[first] + sums[first + 1] + sums[first + 2] + sums[first + 3]);\n"
    "}\n";

static float in[GROUPS][ROWS][COLUMNS];
static double expected[GROUPS][ROWS], scale[GROUPS][ROWS];

static void fill(void)
{
    uint64_t seed = fixture_seed();
    for (int g = 0; g < GROUPS; g++)
        for (int r = 0; r < ROWS; r++) {
            double largest = -1e30, sum = 0.0, powers = 0.0, size = 0.0;
            for (int c = 0; c < COLUMNS; c++) {
                in[g][r][c] = 4.0f * fixture_uniform(&seed);
                largest = fmax(largest, (double)in[g][r][c]);
                sum += (double)in[g][r][c];
                size += fabs((double)in[g][r][c]);
            }
            for (int c = 0; c < COLUMNS; c++)
                powers += exp2((double)in[g][r][c] - largest);
            expected[g][r] = powers * sum;
            scale[g][r] = powers * size;
        }
}

/* Largest error of a kernel, relative to what it adds up; inf where a result is no number. */
static double error_of(cl_context context, cl_command_queue queue, cl_program program,
                       const char *name)
{
    static float out[GROUPS][ROWS];
    double worst = 0.0;
    cl_int result;
    const size_t global = GROUPS * ITEMS, local = ITEMS;
    cl_kernel kernel = clCreateKernel(program, name, &result);
    assert_int_equal(result, CL_SUCCESS);
    cl_mem from = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof in, in, &result);
    fixture_poison(out, sizeof out);
    cl_mem to = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof out, out, &result);
    assert_int_equal(clSetKernelArg(kernel, 0, sizeof from, &from), CL_SUCCESS);
    assert_int_equal(clSetKernelArg(kernel, 1, sizeof to, &to), CL_SUCCESS);
    assert_int_equal(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL),
                     CL_SUCCESS);
    assert_int_equal(clEnqueueReadBuffer(queue, to, CL_TRUE, 0, sizeof out, out, 0, NULL, NULL),
                     CL_SUCCESS);
    for (int g = 0; g < GROUPS; g++)
        for (int r = 0; r < ROWS; r++) {
            double error = fabs((double)out[g][r] - expected[g][r]) / scale[g][r];
            worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
    clReleaseMemObject(from);
    clReleaseMemObject(to);
    clReleaseKernel(kernel);
    return worst;
}

static void try_device(cl_device_id device)
{
    char name[128] = "";
    const char *text = source;
    cl_int result;
    clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name, name, NULL);
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &result);
    assert_int_equal(result, CL_SUCCESS);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &result);
    assert_int_equal(result, CL_SUCCESS);
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &result);
    assert_int_equal(clBuildProgram(program, 1, &device, "-cl-std=CL1.2", NULL, NULL), CL_SUCCESS);
    double kept = error_of(context, queue, program, "kept");
    double risky = error_of(context, queue, program, "risky");
    print_message("%s: error %.2g in the form that is kept to; %.2g in the other, %s\n", name, kept,
                  risky,
                  risky < 1e-5 ? "which is right here" : "which this driver compiles wrongly");
    assert_true(kept < 1e-5);
    clReleaseProgram(program);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
}

static void test_devices(void **state)
{
    (void)state;
    cl_platform_id platforms[8];
    cl_uint platform_count = 0;
    int tried = 0;
    fill();
    if (clGetPlatformIDs(8, platforms, &platform_count) != CL_SUCCESS)
        platform_count = 0;
    for (cl_uint i = 0; i < platform_count && i < 8; i++) {
        cl_device_id devices[8];
        cl_uint count = 0;
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 8, devices, &count) != CL_SUCCESS)
            continue;
        for (cl_uint d = 0; d < count && d < 8; d++, tried++)
            try_device(devices[d]);
    }
    if (tried == 0) {
        print_message("skipped: there is no OpenCL device\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_devices)};
    return cmocka_run_group_tests_name("opencl_compiler", tests, NULL, NULL);
}
