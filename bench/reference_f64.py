# SPDX-License-Identifier: Apache-2.0
"""MonarchAttention and exact attention of one head in float64, with PyTorch operators.

What bench/compare*.py check their results against; written from docs/algorithm.md alone.
"""

import torch

# Largest relative Frobenius error accepted of a result, as in bench/measure.c.
LIMITS = {"f32": 2e-6, "f16": 4 * 2.0 ** -11, "bf16": 4 * 2.0 ** -8}


def monarch_f64(q, k, v, block, steps, pad="end", scale=None, mask=None):
    """MonarchAttention of one head, [tokens, dim] each, on the device of the tensors; mask: None,
    or [tokens], 0 where the key is masked."""
    tokens, dim = q.shape
    block = min(block, tokens)
    blocks = -(-tokens // block)
    absent = blocks * block - tokens
    before = absent if pad == "begin" else 0
    scale = scale or dim ** -0.5

    def cut(x):
        x = torch.nn.functional.pad(x.double(), (0, 0, before, absent - before))
        return x.view(blocks, block, -1)

    kept = torch.ones(tokens, device=q.device) if mask is None else mask
    present = cut(kept.reshape(-1, 1) != 0)[..., 0] > 0
    # Whatever lies in masked keys and values, NaN included, has weight 0.
    q, k, v = cut(q), *(cut(x).masked_fill(~present[..., None], 0) for x in (k, v))
    empty = ~present.any(1)
    chosen = q.masked_fill(~present[..., None], 0)  # queries that count for others
    mean_query = chosen  # aR / cR, [k, j, D]
    for step in range(steps):
        scores = scale * mean_query @ k.transpose(1, 2)
        scores = scores.masked_fill(~present[:, None, :], -torch.inf)
        right = scores.softmax(-1).masked_fill(empty[:, None, None], 0)
        entropy = torch.special.xlogy(right, right).sum(-1)
        mean_key = right @ k
        scores = scale * torch.einsum("ljd,kjd->jlk", q, mean_key) - entropy.T[:, None, :]
        scores = scores.masked_fill(empty, -torch.inf)
        left = scores.softmax(-1).masked_fill(empty, 0)  # [j, l, k]
        if step == steps - 1:
            out = torch.einsum("jlk,kjd->ljd", left, right @ v)
            return out.reshape(blocks * block, -1)[before:before + tokens]
        # aR / cR by a softmax over l of log L: a cR that is merely small must not underflow.
        weight = scores.log_softmax(-1).masked_fill(~present.T[..., None], -torch.inf).softmax(1)
        # Where no query is left, R is uniform: as of a query of zeros.
        mean_query = torch.einsum("jlk,ljd->kjd", weight.nan_to_num(0), chosen)


def exact_f64(q, k, v, scale=None):
    """Softmax attention of some query rows of one head over all its keys."""
    scores = (scale or q.shape[1] ** -0.5) * q.double() @ k.double().T
    return scores.softmax(-1) @ v.double()


def relative_error(actual, wanted):
    """Frobenius norm of the difference over that of what was wanted; NaN stays NaN."""
    return ((actual.double() - wanted).norm() / wanted.norm()).item()
