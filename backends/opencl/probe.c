/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"
#include "core/error.h"
#include "core/log.h"

/*
 * Whether the instructions of variant matrix, or matrix_intel, are there and right: a kernel of one
 * sub-group is compiled and run when a problem that they suit is first asked about, and what it
 * gives is compared with what it should. A driver that does not take them, or another result, makes
 * the device go without.
 */

enum { SIDE = 16, POWERS = 32, BUFFERS = 4 };

/* Whole numbers that f16 holds, without symmetry. */
static int value_of(int matrix, int row, int column)
{
    return (row * (matrix ? 5 : 3) + column * (matrix ? 7 : 11) + matrix) % 13 - 6;
}

/* f16 of a whole number below 16. */
static uint16_t half_of(int value)
{
    static const uint16_t halves[] = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600};
    return (uint16_t)(halves[value < 0 ? -value : value] | (value < 0 ? 0x8000 : 0));
}

typedef struct probe {
    mn_opencl_device *device;
    cl_command_queue queue;
    cl_kernel kernel;
    cl_mem buffers[BUFFERS]; /* a, b, product, powers */
    uint16_t matrices[2][SIDE][SIDE];
    float product[SIDE][SIDE], powers[POWERS];
} probe;

static monarch_status make(probe *p, monarch_error *error)
{
    const mn_opencl_driver *driver = p->device->driver;
    const size_t sizes[BUFFERS] = {sizeof p->matrices[0], sizeof p->matrices[1], sizeof p->product,
                                   sizeof p->powers};
    cl_program program;
    cl_int result = CL_SUCCESS;
    MN_TRY(mn_opencl_retain(p->device, error));
    if (p->device->limits.subgroup_matrix)
        MN_TRY(mn_opencl_find_program(
            p->device, MN_OPENCL_MATRIX_INTEL,
            "-cl-std=CL3.0 -DMN_PROBE -DMN_FORM=0 -DMN_DTYPE=1 -DMN_WIDTH=32", &program, error));
    else
        MN_TRY(mn_opencl_find_program(p->device, MN_OPENCL_MATRIX_PROBE,
                                      "-cl-std=CL1.2 -DMN_DTYPE=1", &program, error));
    p->queue = driver->create_command_queue(p->device->context, p->device->handle, 0, &result);
    MN_TRY(mn_opencl_check(result, "clCreateCommandQueue", error));
    p->kernel = driver->create_kernel(program, "matrix_probe", &result);
    MN_TRY(mn_opencl_check(result, "clCreateKernel", error));
    for (int i = 0; i < BUFFERS; i++) {
        p->buffers[i] =
            driver->create_buffer(p->device->context, CL_MEM_READ_WRITE, sizes[i], NULL, &result);
        MN_TRY(mn_opencl_check(result, "clCreateBuffer", error));
        MN_TRY(mn_opencl_check(
            driver->set_kernel_arg(p->kernel, (cl_uint)i, sizeof(cl_mem), &p->buffers[i]),
            "clSetKernelArg", error));
    }
    return MONARCH_OK;
}

static monarch_status run(probe *p, monarch_error *error)
{
    const mn_opencl_driver *driver = p->device->driver;
    const size_t size = p->device->limits.subgroup_matrix ? SIDE : POWERS; /* one sub-group */
    for (int m = 0; m < 2; m++) {
        for (int r = 0; r < SIDE; r++)
            for (int c = 0; c < SIDE; c++)
                p->matrices[m][r][c] = half_of(value_of(m, r, c));
        MN_TRY(mn_opencl_check(driver->enqueue_write_buffer(p->queue, p->buffers[m], CL_TRUE, 0,
                                                            sizeof p->matrices[m], p->matrices[m],
                                                            0, NULL, NULL),
                               "clEnqueueWriteBuffer", error));
    }
    MN_TRY(mn_opencl_check(
        driver->enqueue_nd_range_kernel(p->queue, p->kernel, 1, NULL, &size, &size, 0, NULL, NULL),
        "clEnqueueNDRangeKernel", error));
    MN_TRY(
        mn_opencl_check(driver->enqueue_read_buffer(p->queue, p->buffers[2], CL_TRUE, 0,
                                                    sizeof p->product, p->product, 0, NULL, NULL),
                        "clEnqueueReadBuffer", error));
    return mn_opencl_check(driver->enqueue_read_buffer(p->queue, p->buffers[3], CL_TRUE, 0,
                                                       sizeof p->powers, p->powers, 0, NULL, NULL),
                           "clEnqueueReadBuffer", error);
}

static monarch_status compare(const probe *p, monarch_error *error)
{
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
            int sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += value_of(0, r, k) * value_of(1, c, k);
            if (p->product[r][c] != (float)sum)
                return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                               "the self test's product has %g at row %d, column %d instead of %d",
                               (double)p->product[r][c], r, c, sum);
        }
    for (int i = 0; i < POWERS; i++)
        if (p->powers[i] != ldexpf(1.0f, i ^ 1))
            return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                           "the self test's exchange between lanes gave %g to lane %d",
                           (double)p->powers[i], i);
    return MONARCH_OK;
}

static void end(probe *p)
{
    const mn_opencl_driver *driver = p->device->driver;
    const monarch_instance *instance = p->device->base.instance;
    for (int i = 0; i < BUFFERS; i++)
        if (p->buffers[i])
            mn_opencl_warn(instance, driver->release_mem_object(p->buffers[i]),
                           "clReleaseMemObject");
    if (p->kernel)
        mn_opencl_warn(instance, driver->release_kernel(p->kernel), "clReleaseKernel");
    if (p->queue)
        mn_opencl_warn(instance, driver->release_command_queue(p->queue), "clReleaseCommandQueue");
}

static mn_opencl_answer ask(mn_opencl_device *device, mn_reason *reason)
{
    probe p = {.device = device};
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = make(&p, &error);
    if (status == MONARCH_OK)
        status = run(&p, &error);
    if (status == MONARCH_OK)
        status = compare(&p, &error);
    end(&p);
    if (status == MONARCH_OK)
        return MN_OPENCL_YES;
    snprintf(reason->text, sizeof reason->text, "%.*s", (int)sizeof reason->text - 1,
             error.message);
    mn_log(device->base.instance, MONARCH_LOG_WARNING,
           "opencl:%u goes without its matrix units: %s", device->base.info.index, error.message);
    /* Memory may be there the next time; whatever else went wrong is a matter of the device. */
    return status == MONARCH_ERROR_OUT_OF_MEMORY ? MN_OPENCL_UNASKED : MN_OPENCL_NO;
}

bool mn_opencl_has_matrix(const monarch_device *base, mn_reason *reason)
{
    mn_opencl_device *device = mn_opencl_device_of(base);
    pthread_mutex_lock(&device->probe_mutex);
    if (device->probed == MN_OPENCL_UNASKED)
        device->probed = ask(device, &device->probe_reason);
    bool yes = device->probed == MN_OPENCL_YES;
    if (!yes)
        *reason = device->probe_reason;
    pthread_mutex_unlock(&device->probe_mutex);
    return yes;
}
