#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which layers of a model to replace, and how: measures, then proposes.

    choose.py PREPARED TASK --budget LOSS [--device NAME] [--library FILE] [--out FILE.md]

Measures the error of every layer's attention output for each block size and T, on activations of
the exact model. Then replaces layers one after the other, least error per saved work first, each
with the cheapest choice that keeps the task's first metric within LOSS of the exact model's, and
prints the plan as the argument `layers` of libmonarch.transformers.convert.

For a model of your own: derive from task.Task (a model, probe() that runs it, score() that judges
it) and call `propose`.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from task import layer_errors  # noqa: E402  (first: it finds libmonarch)

import libmonarch  # noqa: E402
from evaluate import make, placed  # noqa: E402
from libmonarch.transformers import Settings  # noqa: E402
from speed import block_of  # noqa: E402


def work(tokens, block_size, steps):
    """Multiply-adds per feature and token of one head, in parts of exact attention's 2 N."""
    block = min(block_size or block_of(tokens, steps), tokens)
    blocks = -(-tokens // block)
    each = (steps - 1) * 2 * (block + blocks) + 3 * block + 2 * blocks
    return blocks * block * each / (2 * tokens ** 2)


def loss_of(task, exact, now):
    metric = task.metrics[0]
    sign = -1 if metric in task.smaller_better else 1
    return sign * (exact[metric] - now[metric])


def propose(task, budget, choices, tokens, device="", say=print):
    """{layer: Settings} whose loss of the first metric is at most `budget`, the errors, and the
    score. Scores the model at most once for every layer and choice."""
    task.restore()
    exact = task.score()
    errors = layer_errors(task, [{**choice, "device": device} for choice in choices])
    cheapest = sorted(range(len(choices)), key=lambda i: work(tokens, **choices[i]))
    plan, reached = {}, exact
    order = sorted(range(task.layers()), key=lambda n: min(errors[n, i] for i in cheapest))
    for layer in order:
        for index in cheapest:
            trial = {**plan, layer: Settings(**choices[index], device=device)}
            task.convert(trial)
            score = task.score()
            loss = loss_of(task, exact, score)
            say(f"layer {layer}, {choices[index]}: error {errors[layer, index]:.3f}, "
                f"{task.metrics[0]} {score[task.metrics[0]]:.4f}, loss {loss:+.4f}"
                f"{'' if loss <= budget else ', too much'}")
            if loss <= budget:
                plan, reached = trial, score
                break
    task.restore()
    return plan, errors, exact, reached


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("task", choices=("text", "reactions", "speech"))
    parser.add_argument("--budget", type=float, default=0.01, help="loss of the first metric")
    parser.add_argument("--tokens", type=int, default=512, help="that the work is counted for")
    parser.add_argument("--blocks", nargs="+", type=int)
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--library", help="a libmonarch.so")
    parser.add_argument("--out", type=Path, help="also write what is printed to this file")
    args = parser.parse_args()
    if args.library:
        libmonarch.load(args.library)
    lines = []

    def say(text):
        print(text, flush=True)
        lines.append(text)

    task = make(args.task, args.prepared).to(placed(args.device)[0])
    choices = [dict(block_size=b, steps=t) for b in args.blocks or task.blocks for t in args.steps]
    plan, _, exact, reached = propose(task, args.budget, choices, args.tokens,
                                      placed(args.device)[1], say)
    metric = task.metrics[0]
    saved = sum(1 - work(args.tokens, s.block_size, s.steps) for s in plan.values())
    say(f"{len(plan)} of {task.layers()} layers; {metric} {exact[metric]:.4f} -> "
        f"{reached[metric]:.4f}; {100 * saved / task.layers():.0f} % of the work of attention "
        f"saved at {args.tokens} tokens")
    say("convert(model, layers={" + ", ".join(
        f"{n}: Settings(block_size={s.block_size}, steps={s.steps})"
        for n, s in sorted(plan.items())) + "})")
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
