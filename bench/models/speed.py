#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""End-to-end speed of converted models beside the same models on PyTorch's exact attention.

    speed.py --out FILE.csv [--device cuda|cpu] [--library FILE] [--seconds S] [--model NAME...]

Models have the published sizes and random weights: speed does not depend on the weights. Each row
is one forward of the whole model: median, 10th and 90th percentile of its time. On a GPU it is
timed twice, called as usual and as a replayed CUDA graph, in f16; on the CPU in f32. The attention
of the same shape is checked against MonarchAttention in float64 in the same run.
"""

import argparse
import csv
import datetime
import os
import time
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from task import monarch  # noqa: E402  (first: it finds libmonarch)

import torch  # noqa: E402
from transformers import RobertaConfig, RobertaModel, ViTConfig, ViTModel  # noqa: E402

import libmonarch  # noqa: E402
from reference_f64 import LIMITS, monarch_f64, relative_error  # noqa: E402

COLUMNS = ("date", "commit", "device", "hardware", "driver", "torch", "model", "batch", "tokens",
           "dtype", "attention", "block_size", "steps", "call", "ms", "ms_p10", "ms_p90",
           "tokens_per_s", "speedup", "rel_error")
GPU_TOKENS = 32768  # of a batch of the long encoder
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def vit(batch, device, dtype):
    """ViT-B/16 on images of 224 x 224: 197 tokens."""
    model = ViTModel(ViTConfig(), add_pooling_layer=False)
    return model, {"pixel_values": torch.randn(batch, 3, 224, 224, device=device, dtype=dtype)}


def roberta(batch, tokens, device):
    """RoBERTa-base with positions for as many tokens: 12 layers, 12 heads of 64."""
    config = RobertaConfig(max_position_embeddings=tokens + 2, vocab_size=50265, pad_token_id=1)
    model = RobertaModel(config, add_pooling_layer=False)
    return model, {"input_ids": torch.randint(5, 50265, (batch, tokens), device=device)}


def jobs(device, models):
    """(model, batch, tokens, choices of MonarchAttention)."""
    plain = [dict(block_size=0, steps=1), dict(block_size=0, steps=2)]
    gpu = device == "cuda"
    if "vit-b" in models:
        padded = [dict(block_size=14, steps=t, pad="begin") for t in (1, 2)]
        yield "vit-b", 64 if gpu else 1, 197, padded
    if "roberta-base" in models:
        for tokens in (384, 512):
            yield "roberta-base", 64 if gpu else 1, tokens, plain
    if "long-encoder" in models:
        for tokens in LENGTHS:
            yield "long-encoder", GPU_TOKENS // tokens if gpu else 1, tokens, plain
        if gpu:
            yield "long-encoder", 1, 8192, plain


def spread(times):
    times = sorted(times)
    return [1e3 * times[round(p * (len(times) - 1))] for p in (0.5, 0.1, 0.9)]


def time_calls(call, device, budget):
    """Times of single calls until `budget` seconds are over, at least 3, after a warm-up."""
    def sync():
        if device == "cuda":
            torch.cuda.synchronize()

    call()
    sync()
    times, end = [], time.perf_counter() + budget
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        call()
        sync()
        times.append(time.perf_counter() - start)
    return spread(times)


def as_graph(call):
    """The call captured into a CUDA graph, as a function that replays it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def check(batch, tokens, device, dtype, choice):
    """Error of one head of the attention of this shape on random input; raises past the limit."""
    q, k, v = (torch.randn(min(batch, 2), 12, tokens, 64, device=device, dtype=dtype)
               for _ in range(3))
    out = libmonarch.monarch_attention(q, k, v, **choice)
    block = choice["block_size"] or block_of(tokens, choice["steps"])
    wanted = monarch_f64(q[-1, 7], k[-1, 7], v[-1, 7], block, choice["steps"],
                         choice.get("pad", "end"))
    error = relative_error(out[-1, 7], wanted)
    if not error < LIMITS["f16" if dtype == torch.float16 else "f32"]:
        raise SystemExit(f"attention of {tokens} tokens, {choice}: relative error {error:.2e}")
    return error


def block_of(tokens, steps):
    """The block that the library chooses."""
    function = libmonarch.load().c.monarch_default_block_size
    import ctypes
    function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64, ctypes.c_int32]
    return function(tokens, steps)


@torch.inference_mode()
def measure(name, batch, tokens, choices, device, budget):
    dtype = torch.float16 if device == "cuda" else torch.float32
    torch.manual_seed(0)
    if name == "vit-b":
        model, inputs = vit(batch, device, dtype)
    else:
        model, inputs = roberta(batch, tokens, device)
    model = model.eval().to(device=device, dtype=dtype)
    exact = {}
    for choice in [None, *choices]:
        error = ""
        if choice is None:
            model.set_attn_implementation("sdpa")
        else:
            error = check(batch, tokens, device, dtype, choice)
            monarch.convert(model, **choice)

        def call():
            return model(**inputs).last_hidden_state

        ways = {"eager": call}
        if device == "cuda":
            try:
                ways["graph"] = as_graph(call)
            except torch.OutOfMemoryError:
                print(f"left out: {name}, {batch} x {tokens}, a graph: not enough memory")
        for way, function in ways.items():
            ms = time_calls(function, device, budget)
            if choice is None:
                exact[way] = ms[0]
            block = "" if choice is None else (choice["block_size"] or
                                               block_of(tokens, choice["steps"]))
            yield {"model": name, "batch": batch, "tokens": tokens, "dtype": str(dtype)[6:],
                   "attention": "exact" if choice is None else "monarch", "block_size": block,
                   "steps": "" if choice is None else choice["steps"], "call": way,
                   "ms": ms[0], "ms_p10": ms[1], "ms_p90": ms[2],
                   "tokens_per_s": batch * tokens / ms[0] * 1e3,
                   "speedup": exact[way] / ms[0] if way in exact else "",
                   "rel_error": error}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", nargs="+", default=["vit-b", "roberta-base", "long-encoder"])
    parser.add_argument("--library", help="a libmonarch.so")
    parser.add_argument("--commit", default="")
    parser.add_argument("--budget", type=float, default=0.3, help="seconds for each figure")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no shape after this")
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="tokens")
    args = parser.parse_args()
    if args.library:
        libmonarch.load(args.library)
    info = libmonarch.device_info(args.device)
    fixed = {"date": datetime.date.today().isoformat(), "commit": args.commit,
             "device": args.device, "hardware": info["name"], "driver": info["driver"],
             "torch": torch.__version__}
    begin = time.monotonic()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, batch, tokens, choices in jobs(args.device, args.model):
            if tokens > args.longest or time.monotonic() - begin > args.seconds:
                print(f"left out: {name}, {tokens} tokens")
                continue
            for row in measure(name, batch, tokens, choices, args.device, args.budget):
                writer.writerow({**fixed, **{key: f"{x:.5g}" if isinstance(x, float) else x
                                             for key, x in row.items()}})
                file.flush()
                print(f"{name:13} {batch:3} x {tokens:6} {row['attention']:7} T={row['steps']!s:1} "
                      f"B={row['block_size']!s:4} {row['call']:6} {row['ms']:9.3f} ms "
                      f"x{row['speedup'] or float('nan'):.2f}", flush=True)


if __name__ == "__main__":
    main()
