/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_HOST_H
#define MN_CUDA_RING_HOST_H

#include "backends/cuda/loader.h"
#include "backends/cuda/variants.h"
#include "shaders/cuda/layout.h"

/* Whether rows fill their panels, nothing is masked, and biases can be divided by the scale. */
bool mn_cuda_has_panels(const mn_program *program);

/* Whether, moreover, the kernels apply that ask nothing about a block. They add products to biases
   divided by the scale. */
bool mn_cuda_is_whole(const mn_program *program);

/* Makes the tensor maps of a plan's ring launch, unless its tensors cannot be described by any;
   launch->ring.uses_maps tells. Needs a current context. */
monarch_status mn_cuda_ring_make_maps(const monarch_plan *plan, mn_cuda_launch *launch,
                                      monarch_error *error);

/* Puts the addresses of one execution into the maps of `ring`, which is aligned like one of them.
 */
CUresult mn_cuda_ring_bind(const mn_cuda_driver *driver, const mn_stage_params *block,
                           mn_ring_params *ring);

#endif
