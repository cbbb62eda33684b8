# SPDX-License-Identifier: Apache-2.0
"""Lists of problems for the benchmarks in Python: the format of bench/problem_list.h."""

from dataclasses import dataclass, replace

DTYPES = ("f32", "f16", "bf16")
PADS = ("end", "begin")


class ListError(ValueError):
    """A line or option that is not a problem; the message says what would be accepted."""


@dataclass(frozen=True)
class Shape:
    """One problem to measure. Zero stands for the library's default."""

    batch: int = 1
    heads: int = 1
    tokens: int = 1
    head_dim: int = 1
    value_dim: int = 0
    kv_heads: int = 0
    block: int = 0
    steps: int = 1
    scale: float = 0.0
    pad: str = "end"
    dtype: str = "f16"

    def __str__(self):
        shape = f"{self.batch},{self.heads},{self.tokens},{self.head_dim}"
        if self.value_dim not in (0, self.head_dim):
            shape += f",{self.value_dim}"
        return f"{shape} block={self.block} steps={self.steps} {self.dtype} pad={self.pad}"


def with_sizes(text, defaults):
    """`defaults` with batch, heads, tokens, head_dim and perhaps value_dim of 'E,H,N,D[,Dv]'."""
    try:
        sizes = [int(word) for word in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (4, 5) or min(sizes) < 1:
        raise ListError(f'shape "{text}" is not E,H,N,D or E,H,N,D,Dv of numbers from 1 on')
    names = ("batch", "heads", "tokens", "head_dim", "value_dim")
    return replace(defaults, **dict(zip(names, sizes)))


def with_key(key, value, shape):
    """`shape` with one key of a line."""
    if key == "shape":
        return with_sizes(value, shape)
    if key in ("dtype", "pad"):
        accepted = DTYPES if key == "dtype" else PADS
        if value not in accepted:
            raise ListError(f'{key} "{value}" is not one of {", ".join(accepted)}')
        return replace(shape, **{key: value})
    if key not in ("block", "steps", "kv_heads", "scale"):
        raise ListError(f'"{key}" is none of shape, block, steps, pad, scale, dtype, kv_heads')
    try:
        return replace(shape, **{key: float(value) if key == "scale" else int(value)})
    except ValueError:
        raise ListError(f'{key} "{value}" is not a number') from None


def read_line(line, defaults):
    """The problem of one line, or None if it holds none."""
    words = line.split("#")[0].split()
    if not words:
        return None
    shape = defaults
    for word in words:
        key, _, value = word.partition("=")
        shape = with_key(key, value, shape)
    if not any(word.startswith("shape=") for word in words):
        raise ListError("shape=E,H,N,D is missing")
    return shape


def read_list(path, defaults=Shape()):
    """All problems of a file."""
    shapes = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                shape = read_line(line, defaults)
            except ListError as error:
                raise ListError(f"{path}:{number}: {error}") from None
            if shape:
                shapes.append(shape)
    return shapes
