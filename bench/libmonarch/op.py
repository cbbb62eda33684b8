# SPDX-License-Identifier: Apache-2.0
"""MonarchAttention as a function of PyTorch tensors and as the operator monarch::attention."""

import torch

from . import binding, runtime
from .errors import InvalidArgumentError


def monarch_attention(q, k, v, mask=None, block_size=0, steps=1, pad="end", scale=None, device="",
                      variant="", intermediates="default"):
    """MonarchAttention, the structured stand-in for softmax(scale * q k') v.

    q: [batch, heads, tokens, dim]; k: the same with heads or a divisor of it; v: as k, with a dim
    of its own. All of one dtype (float32, float16 or bfloat16) on one device, CPU or CUDA. Any
    strides: nothing is copied unless the last dimension is not dense. A fifth dimension gives the
    blocks by hand: in [batch, heads, blocks, positions, dim] block and position have strides of
    their own, so blocks can be the columns of a grid of tokens without a copy.

    mask: [batch, tokens] ([batch, blocks, positions]), bool or uint8, 0 = masked key.
    block_size: 0 = chosen from the number of tokens. steps: rounds of the method, 1 or more.
    pad: "end" or "begin". scale: None = 1 / sqrt(dim). device: for tensors on the CPU, a device of
    the library's to run on ("cpu", "opencl:0", "vulkan"); those other than cpu take copies.
    variant: force an implementation by name. intermediates: "default" or "fp8", how the means of
    keys and values are handed from stage to stage; fp8 is less exact, and not on every device.

    Returns [batch, heads, tokens, dim of v], in the layout of q. On CUDA tensors the work is
    enqueued on the current stream. Raises a MonarchError with the library's message. There is no
    gradient: backward through the result raises NotImplementedError.
    """
    if scale is None:
        scale = 0.0  # the library's word for the default
    elif scale == 0:
        raise InvalidArgumentError("scale is 0; None stands for 1 / sqrt(dim)")
    return torch.ops.monarch.attention(q, k, v, mask, block_size, steps, pad, float(scale), device,
                                       variant, intermediates)


def _check(q, k, v, mask, pad, intermediates):
    """What the library cannot see from sizes and strides alone."""
    def wrong(text):
        raise InvalidArgumentError(text)

    if q.dim() not in (4, 5) or k.dim() != q.dim() or v.dim() != q.dim():
        wrong(f"q, k and v have {q.dim()}, {k.dim()} and {v.dim()} dimensions; 4, or 5 with "
              "blocks, are accepted, the same for all")
    if not q.dtype == k.dtype == v.dtype or q.dtype not in runtime.DTYPES:
        wrong(f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}; one of float32, float16 and "
              "bfloat16 for all is accepted")
    if not q.device == k.device == v.device:
        wrong(f"q, k and v are on {q.device}, {k.device} and {v.device}; one device is accepted")
    if q.device.type not in ("cpu", "cuda"):
        wrong(f"q is on {q.device}; cpu and cuda are accepted")
    if q.shape[0] != k.shape[0] or q.shape[2:] != k.shape[2:] or k.shape[:-1] != v.shape[:-1]:
        wrong(f"the shapes of q, k and v are {list(q.shape)}, {list(k.shape)} and "
              f"{list(v.shape)}; only heads of k and v, and dim of v, may differ from q's")
    if pad not in binding.PADS:
        wrong(f'pad is "{pad}"; "end" or "begin" is accepted')
    if intermediates not in binding.INTERMEDIATES:
        wrong(f'intermediates is "{intermediates}"; "default" or "fp8" is accepted')
    if mask is None:
        return
    if mask.shape != q.shape[:1] + q.shape[2:-1]:
        wrong(f"the shape of mask is {list(mask.shape)}; "
              f"{list(q.shape[:1] + q.shape[2:-1])} is accepted")
    if mask.dtype not in (torch.bool, torch.uint8):
        wrong(f"mask is {mask.dtype}; bool or uint8 is accepted")
    if mask.device != q.device:
        wrong(f"mask is on {mask.device}, q on {q.device}; one device is accepted")


def _output(q, v):
    """Uninitialised, dense, with the axes in q's order in memory where it can be."""
    if v.shape[-1] == q.shape[-1]:
        return torch.empty_like(_dense(q))
    return q.new_empty(*q.shape[:-1], v.shape[-1])


def _dense(x):
    """The last dimension side by side; sliced, transposed and expanded others stay as they are."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


@torch.library.custom_op("monarch::attention", mutates_args=())
def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None,
               block_size: int, steps: int, pad: str, scale: float, device: str,
               variant: str, intermediates: str = "default") -> torch.Tensor:
    _check(q, k, v, mask, pad, intermediates)
    out = _output(q, v)
    runtime.run(_dense(q), _dense(k), _dense(v), mask, out,
                (block_size, steps, pad, scale, intermediates), device, variant)
    return out


@_attention.register_fake
def _(q, k, v, mask, block_size, steps, pad, scale, device, variant, intermediates="default"):
    _check(q, k, v, mask, pad, intermediates)
    return _output(q, v)


def _no_gradient(ctx, gradient):
    raise NotImplementedError("monarch_attention has no gradient; use it under torch.no_grad(), "
                              "and exact attention for training")


_attention.register_autograd(_no_gradient)
