// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ATTEND_GLSL
#define MN_VULKAN_ATTEND_GLSL

// Every stage is the same pass over a score matrix, in units of log2: for each row the largest
// score, the sum of 2^(score - largest), and that sum weighted by the rows of one or two operands.
//
//   FORM         rows            columns        score less     outputs
//   RIGHT        queries (k,j)   keys (k,i)     -              mean of keys, cL
//   RIGHT_VALUE  queries (k,j)   keys (k,i)     -              mean of keys, cL, mean of values
//   LEFT_STATS   queries (l,j)   key means k    cL             largest and log2 of the sum
//   LEFT_MEAN    key means k     queries (l,j)  cL, stats      mean of queries, cR if asked
//   LEFT_OUT     queries (l,j)   key means k    cL             mean of values
//
// A work-group holds ROWS rows and walks over the columns in tiles of COLUMNS, with an online
// softmax.

#define RIGHT 0
#define RIGHT_VALUE 1
#define LEFT_STATS 2
#define LEFT_MEAN 3
#define LEFT_OUT 4

#include "shaders/vulkan/stage.glsl"
#if defined(COOPMAT2)
#include "shaders/vulkan/attend_matrix.glsl"
#elif defined(COOPMAT)
#include "shaders/vulkan/attend_shared.glsl"
#else
#include "shaders/vulkan/attend_fma.glsl"
#endif

#endif
