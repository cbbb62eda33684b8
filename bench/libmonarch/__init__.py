# SPDX-License-Identifier: Apache-2.0
"""MonarchAttention for PyTorch through libmonarch.

    from libmonarch import monarch_attention
    out = monarch_attention(q, k, v, mask, block_size=64, steps=2)

libmonarch.transformers turns models of Hugging Face transformers over. Needs PyTorch 2.4 or newer;
only libmonarch.binding does without.
"""

from .errors import (DeviceLostError, ForkedError, InvalidArgumentError, MonarchError, NativeError,
                     OutOfMemoryError, UnsupportedError)
from .library import load

__all__ = ["monarch_attention", "load", "clear_plans", "device_info", "version", "MonarchError",
           "InvalidArgumentError", "UnsupportedError", "OutOfMemoryError", "NativeError",
           "DeviceLostError", "ForkedError"]


def __getattr__(name):
    # Late, so that the binding can be used where there is no PyTorch.
    if name == "monarch_attention":
        from .op import monarch_attention
        return monarch_attention
    if name in ("clear_plans", "device_info", "version"):
        from . import runtime
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
