#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time the cuda device beside FlashAttention-2 and cuDNN, on the same tensors in one run.

Needs PyTorch with CUDA. Kernel times come from replays of CUDA graphs (graph_timing.py), the floor
from passes over the device's memory measured in the same run. What the timed graphs wrote is
checked in the same run: all of it for elements that were not written, heads picked by the seed
against a float64 evaluation (reference_f64.py); an error above the limit of the tool stops the
program. The peers compute exact attention and are checked against it. Writes a csv and a table for
the docs.
"""

import argparse
import secrets
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

try:
    import torch
except ImportError:
    sys.exit("compare.py: needs PyTorch; python3 -c 'import torch' fails here")

import graph_timing
from compare_report import gpu_slug, markdown, markdown_row, provenance, write_csv
from monarch_ctypes import DTYPES, PADS, CudaDevice, Library, LibraryError, Problem, Tensor
from problem_list import ListError, Shape, read_list, with_sizes
from reference_f64 import LIMITS, exact_f64, monarch_f64, relative_error

ROOT = Path(__file__).resolve().parent.parent
TORCH_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
PEERS = {"fa2": "FLASH_ATTENTION", "cudnn": "CUDNN_ATTENTION"}
MOST_SETS = 96
EXACT_ROWS = 256  # query rows of a peer's result that are compared
HOST_CALLS = 1000
HOST_MOST_US = 200  # above that, waiting for the kernels of all these calls takes too long


class Data:
    """Sets of normally distributed tensors that together do not fit the L2 cache."""

    def __init__(self, shape, seed):
        self.shape = shape
        salt = zlib.crc32(repr(self.key(shape)).encode())
        self.generator = torch.Generator(device="cuda").manual_seed(seed ^ salt)
        query = (shape.batch, shape.heads, shape.tokens, shape.head_dim)
        key = (shape.batch, shape.kv_heads or shape.heads, shape.tokens, shape.head_dim)
        self.sizes = [query, key, key[:3] + (self.value_dim(),), query[:3] + (self.value_dim(),)]
        dtype = TORCH_DTYPES[shape.dtype]
        elements = sum(torch.Size(size).numel() for size in self.sizes)
        self.bytes = elements * dtype.itemsize
        self.count = self.sets(self.bytes)
        self.q, self.k, self.v = ([self.normal(size, dtype) for _ in range(self.count)]
                                  for size in self.sizes[:3])
        self.out = [torch.empty(self.sizes[3], dtype=dtype, device="cuda")
                    for _ in range(self.count)]

    @staticmethod
    def key(shape):
        """What decides the contents: the same for all blocks and steps."""
        return (shape.batch, shape.heads, shape.kv_heads, shape.tokens, shape.head_dim,
                shape.value_dim, shape.dtype)

    def value_dim(self):
        return self.shape.value_dim or self.shape.head_dim

    @staticmethod
    def sets(size):
        """So many that they exceed twice the cache; at least two where memory allows."""
        cache = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        torch.cuda.empty_cache()
        room = int(0.7 * torch.cuda.mem_get_info()[0])
        # Beside the sets: what a peer returns, the workspace, a copy of one result.
        affordable = (room - size) // size
        if affordable < 1:
            raise MemoryError(f"needs {2 * size / 1e9:.1f} GB of the {room / 1e9:.1f} GB to spare")
        return min(affordable, MOST_SETS, max(2, 2 * cache // size + 1))

    def normal(self, size, dtype):
        return torch.randn(size, dtype=dtype, device="cuda", generator=self.generator)

    def index(self, limit):
        return torch.randint(limit, (1,), device="cuda", generator=self.generator).item()

    def head(self, head):
        """The key head that a query head reads."""
        return head // (self.shape.heads // (self.shape.kv_heads or self.shape.heads))


def descriptor(shape):
    tensor = Tensor(dtype=DTYPES[shape.dtype])
    return Problem(batch=shape.batch, heads=shape.heads, kv_heads=shape.kv_heads,
                   tokens=shape.tokens, head_dim=shape.head_dim, value_dim=shape.value_dim,
                   block_size=shape.block, steps=shape.steps, scale=shape.scale,
                   pad=PADS[shape.pad], q=tensor, k=tensor, v=tensor, out=tensor)


def check_heads(shape, block, data, index, heads):
    """The largest relative error of some heads of one set."""
    worst = 0.0
    for _ in range(heads):
        batch, head = data.index(shape.batch), data.index(shape.heads)
        q, k, v = data.q[index][batch, head], data.k[index], data.v[index]
        wanted = monarch_f64(q, k[batch, data.head(head)], v[batch, data.head(head)], block,
                             shape.steps, shape.pad, shape.scale or None)
        error = relative_error(data.out[index][batch, head], wanted)
        worst = error if not error <= worst else worst  # NaN counts as worst
    return worst


def checked(shape, variant, block, data, heads):
    """Checks what a replay wrote to `out`, all NaN before; returns the error, or stops."""
    for index, out in enumerate(data.out):
        if not torch.isfinite(out).all():
            missing = (~torch.isfinite(out)).sum().item()
            sys.exit(f"{shape}, {variant}: {missing} elements of set {index} are not finite")
    error = check_heads(shape, block, data, data.index(data.count), heads)
    if not error <= LIMITS[shape.dtype]:
        sys.exit(f"{shape}, {variant}: relative error {error:.3g}, more than the "
                 f"{LIMITS[shape.dtype]:.3g} accepted of {shape.dtype}")
    return error


def checked_timing(timer, shape, variant, block, call, data, options, seconds):
    """The Timing of a call and its error, which replays of a graph made and did not change."""
    timer.run(call, data.count)
    graph = timer.capture(call, data.count, data.count)
    for out in data.out:
        out.fill_(torch.nan)
    torch.cuda.synchronize()
    timer.replay(graph)
    error = checked(shape, variant, block, data, options.heads)
    index = data.index(data.count)
    before = data.out[index].clone()
    timing = timer.time(call, data.count, seconds, graph)
    if not torch.equal(before, data.out[index]):
        sys.exit(f"{shape}, {variant}: set {index} came out differently after the timing")
    return timing, error


def measure_library(device, timer, shape, variant, data, options, seconds):
    """A row for one variant (None = the library's choice)."""
    plan = device.plan(descriptor(shape), variant)
    try:
        calls = [plan.args(*tensors) for tensors in zip(data.q, data.k, data.v, data.out)]
        used, resolved = plan.variant(), plan.problem()

        def call(index):
            plan.enqueue(calls[index])

        for out in data.out:
            out.fill_(torch.nan)
        host = None
        if options.once:
            timing = timer.once(call, data.count)
            error = checked(shape, used, resolved.block_size, data, options.heads)
        else:
            timing, error = checked_timing(timer, shape, used, resolved.block_size, call, data,
                                           options, seconds)
            if timing.median <= HOST_MOST_US:
                host = 1e6 * plan.host_seconds(calls[0], HOST_CALLS)
        return {"variant": used, "block": resolved.block_size, "us": timing.median,
                "us_p10": timing.p10, "us_p90": timing.p90, "samples": timing.samples,
                "executions": timing.executions, "host_us": host, "rel_error": error}
    finally:
        plan.close()


def attention(shape, backend):
    """Exact attention by one backend of PyTorch, as a function of q, k, v."""
    grouped = {"enable_gqa": True} if shape.kv_heads not in (0, shape.heads) else {}

    def call(q, k, v):
        with torch.nn.attention.sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(
                q, k, v, scale=shape.scale or None, **grouped)

    return call


def peer_error(shape, call, data):
    """Relative error of some rows of one head against exact attention in f64."""
    index, batch, head = data.index(data.count), data.index(shape.batch), data.index(shape.heads)
    q, k, v = data.q[index], data.k[index], data.v[index]
    rows = torch.randperm(shape.tokens, device="cuda", generator=data.generator)[:EXACT_ROWS]
    wanted = exact_f64(q[batch, head, rows], k[batch, data.head(head)], v[batch, data.head(head)],
                       shape.scale or None)
    return relative_error(call(q, k, v)[batch, head, rows], wanted)


def measure_peer(timer, shape, peer, data, seconds):
    """The Timing of a peer, or None after a message if it refuses the shape or is wrong."""
    call = attention(shape, getattr(torch.nn.attention.SDPBackend, PEERS[peer]))
    results = [None] * data.count  # kept, so that each set has memory of its own to write to

    def once(index):
        results[index] = call(data.q[index], data.k[index], data.v[index])

    try:
        error = peer_error(shape, call, data)
        if not error <= LIMITS[shape.dtype]:
            print(f"{shape}: {peer} left out: relative error {error:.3g}", flush=True)
            return None
        return timer.time(once, data.count, seconds)
    except RuntimeError as refusal:  # PyTorch raises it for "no available kernel" and for memory
        reason = " ".join(str(refusal).split())[:160]
        print(f"{shape}: {peer} left out: {reason}", flush=True)
        return None


class Run:
    """One run over many problems, with a limit of time."""

    def __init__(self, options):
        self.options = options
        self.end = time.monotonic() + options.seconds
        self.timer = graph_timing.GraphTimer()
        self.device = CudaDevice(Library(options.library), self.timer.stream.cuda_stream)
        graph_timing.warm_up(self.timer)
        self.bandwidth = graph_timing.stream_bandwidth(self.timer)
        self.common = provenance(options, self.device, self.bandwidth)
        self.data, self.peers = None, {}
        self.left = 0  # measurements to come, for sharing out the time

    def share(self):
        """Seconds for the next measurement; half is for captures, random numbers and checks."""
        share = 0.5 * (self.end - time.monotonic()) / max(1, self.left)
        self.left -= 1
        return min(1.0, max(0.02, share))

    def load(self, shape):
        if self.data is None or Data.key(self.data.shape) != Data.key(shape):
            self.data = None  # freed first
            self.data = Data(shape, self.options.seed)

    def peer(self, shape, peer):
        """A peer's Timing; it depends on neither block nor steps, so it is measured once."""
        key = (peer, *Data.key(shape), shape.scale)
        if key not in self.peers:
            self.peers[key] = measure_peer(self.timer, shape, peer, self.data, self.share())
        return self.peers[key]

    def variants(self, shape):
        """The variants to measure: None is the library's choice."""
        if not self.options.variants:
            return [self.options.variant]
        able = []
        for name in self.device.variants():
            reason = self.device.refusal(descriptor(shape), name)
            if reason:
                print(f"{shape}: {name} left out: {reason}", flush=True)
            else:
                able.append(name)
        return able

    def problem(self, shape):
        """The rows of one problem."""
        variants = self.variants(shape)
        self.load(shape)
        rows = []
        for variant in variants:
            row = measure_library(self.device, self.timer, shape, variant, self.data,
                                  self.options, self.share())
            rows.append({**self.common, "dtype": shape.dtype, "batch": shape.batch,
                         "heads": shape.heads, "tokens": shape.tokens, "head_dim": shape.head_dim,
                         "value_dim": self.data.value_dim(),
                         "kv_heads": shape.kv_heads or shape.heads, "pad": shape.pad,
                         "steps": shape.steps, "sets": self.data.count,
                         "floor_us": 1e6 * self.data.bytes / self.bandwidth.rate, **row})
        for peer in PEERS if self.options.peers else ():
            timing = self.peer(shape, peer)
            for row in rows if timing else ():
                row.update({f"{peer}_us": timing.median, f"{peer}_p10": timing.p10,
                            f"{peer}_p90": timing.p90})
        return rows

    def problems(self, shapes):
        variants = len(self.device.variants()) if self.options.variants else 1
        self.left = len(shapes) * variants
        if self.options.peers:
            self.left += len(PEERS) * len({Data.key(shape) for shape in shapes})
        rows = []
        print(markdown([]), end="", flush=True)
        for shape in shapes:
            try:
                found = self.problem(shape)
            except (MemoryError, torch.OutOfMemoryError) as error:
                print(f"{shape}: left out: {' '.join(str(error).split())[:160]}", flush=True)
                continue
            for row in found:
                print(markdown_row(row), flush=True)
            rows += found
        return rows


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, default=ROOT / "build/libmonarch.so")
    parser.add_argument("--list", type=Path, default=ROOT / "bench/shapes/performance.txt",
                        help="problems, one a line (default: %(default)s)")
    parser.add_argument("--shape", action="append", help="E,H,N,D[,Dv] instead of a list")
    parser.add_argument("--block", type=int, default=0, help="of --shape (default: chosen)")
    parser.add_argument("--steps", type=int, default=1, help="of --shape")
    parser.add_argument("--pad", choices=PADS, default="end", help="of --shape")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES,
                        help="run every problem in these instead of its own")
    parser.add_argument("--variant", help="force a variant")
    parser.add_argument("--variants", action="store_true", help="each variant that can")
    parser.add_argument("--once", action="store_true",
                        help="one execution of each, for problems of many seconds")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--heads", type=int, default=1, help="heads checked of each result")
    parser.add_argument("--seconds", type=float, default=75.0, help="for the whole run, about")
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    parser.add_argument("--commit", help="what the library was built from (default: asks git)")
    parser.add_argument("--out", type=Path, help="folder for GPU.csv and GPU.md")
    options = parser.parse_args()
    try:
        base = Shape(block=options.block, steps=options.steps, pad=options.pad)
        shapes = ([with_sizes(text, base) for text in options.shape] if options.shape
                  else read_list(options.list))
    except (ListError, OSError) as error:
        parser.error(str(error))
    if options.dtype:  # a problem that the list has in several types would come twice
        shapes = list(dict.fromkeys(replace(shape, dtype=dtype) for shape in shapes
                                    for dtype in options.dtype))
    return options, shapes


def main():
    options, shapes = parse()
    if not torch.cuda.is_available():
        sys.exit("compare.py: PyTorch sees no CUDA device; compare_cpu.py is for the cpu device")
    torch.cuda.init()
    torch.zeros(1, device="cuda")  # makes the context that the library shares
    start = time.monotonic()
    try:
        with torch.inference_mode():
            run = Run(options)
            print(run.common["gpu"], run.common["driver"], f"seed {options.seed}",
                  f"memory {run.bandwidth.rate / 1e9:.0f} GB/s ({run.bandwidth.way})", flush=True)
            rows = run.problems(shapes)
            run.data = None
            run.device.close()
    except (LibraryError, RuntimeError, OSError) as error:
        sys.exit(f"compare.py: {error}")
    if not rows:
        sys.exit("compare.py: nothing was measured")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        name = gpu_slug(run.common["gpu"])
        write_csv(options.out / f"{name}.csv", rows)
        (options.out / f"{name}.md").write_text(markdown(rows), encoding="utf-8")
    print(f"{len(rows)} rows, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
