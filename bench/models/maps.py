#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of attention maps, exact beside Monarch, of every layer: maps.py PREPARED TASK OUT.png

One head of each layer on one input of the task, with the model's exact activations: above the
exact attention matrix, below the Monarch matrix for T = 2. Darker is more weight; the square root
is drawn, so that small weights show. The Monarch matrix is what the library gives for a V of unit
vectors.
"""

import argparse
import os
import textwrap
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from task import Probe, monarch  # noqa: E402  (first: it finds libmonarch)

import matplotlib  # noqa: E402
import torch  # noqa: E402

import libmonarch  # noqa: E402
from evaluate import make  # noqa: E402

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


def collect(task, head, settings, most):
    """Layer to (exact map, Monarch map, relative error) of the first input."""
    found = {}

    def see(layer, query, key, value, mask, scaling, exact):
        if layer in found:
            return
        tokens = query.shape[2] if mask is None else int(mask[0].sum())
        tokens = min(tokens, most)
        q, k = (x[:1, head:head + 1, :tokens] for x in (query, key))
        unit = torch.eye(tokens, dtype=q.dtype).expand(1, 1, -1, -1)
        ours = monarch.monarch_attention(q, k, unit, scale=scaling, **settings)[0, 0]
        theirs = torch.nn.functional.scaled_dot_product_attention(q, k, unit, scale=scaling)[0, 0]
        v = value[0, head, :tokens]
        error = ((ours - theirs) @ v).norm() / (theirs @ v).norm()
        found[layer] = theirs, ours, error.item()

    Probe(task, see).run()
    return found


def draw(found, path, title):
    figure, axes = pyplot.subplots(2, len(found), figsize=(1.9 * len(found), 4.4), squeeze=False)
    for column, (layer, (theirs, ours, error)) in enumerate(sorted(found.items())):
        top = theirs.max().sqrt().item()
        for row, (matrix, name) in enumerate(((theirs, f"layer {layer}"),
                                              (ours, f"Monarch, error {error:.2f}"))):
            axis = axes[row, column]
            axis.imshow(matrix.sqrt().numpy(), cmap="gray_r", vmin=0, vmax=top)
            axis.set_title(name, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
    figure.suptitle("\n".join(textwrap.wrap(title, 26 * len(found))), fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=56)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("task", choices=("text", "reactions", "speech"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--head", type=int, default=5)
    parser.add_argument("--block", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=300, help="at most as many are drawn")
    parser.add_argument("--library", help="a libmonarch.so")
    args = parser.parse_args()
    if args.library:
        libmonarch.load(args.library)
    task = make(args.task, args.prepared)
    found = collect(task, args.head, dict(block_size=args.block, steps=args.steps), args.tokens)
    block = f"B = {args.block}" if args.block else "the library's B"
    draw(found, args.out, f"{task.title}; head {args.head}, T = {args.steps}, {block}; "
                          "above exact, below Monarch")


if __name__ == "__main__":
    main()
