/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_HOST_H
#define MN_CUDA_RING_HOST_H

#include "backends/cuda/loader.h"
#include "backends/cuda/variants.h"
#include "shaders/cuda/layout.h"

/* Makes the tensor maps of a plan's ring launch, `block` being its parameters, or finds that there
   can be none. */
void mn_cuda_ring_make_maps(const monarch_plan *plan, const mn_stage_params *block, int panels,
                            mn_ring_params *ring);

/* Puts the addresses of one execution into the maps of `ring`, which starts at a multiple of 64. */
void mn_cuda_ring_bind(const mn_cuda_driver *driver, const mn_stage_params *block,
                       mn_ring_params *ring);

#endif
