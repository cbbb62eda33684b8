# SPDX-License-Identifier: Apache-2.0
"""Kernel time on a CUDA device from replays of CUDA graphs, with PyTorch.

A sample is one replay of a graph that holds many executions, divided by their number, so what it
costs to start a graph and to read an event hardly counts. The executions go around several sets of
tensors, so that inputs come from memory where one set would stay in the L2 cache.
"""

import statistics
import time
from dataclasses import dataclass

import torch

GRAPH_SECONDS = 2e-3  # least time of one replay: the two events around it cost about 2 us
MOST_EXECUTIONS = 4096  # in one graph
LEAST_SAMPLES, LEAST_LONG_SAMPLES, MOST_SAMPLES = 7, 3, 300
LONG_SECONDS = 0.2
STREAM_BYTES = (1 << 30, 4 << 30)  # of each of two tensors
STREAM_WARM_UP, STREAM_SAMPLES = 3, 20


@dataclass
class Timing:
    """Microseconds for one execution."""

    median: float
    p10: float
    p90: float
    samples: int
    executions: int  # in each sample


def summary(seconds, executions):
    ordered = sorted(1e6 * s for s in seconds)

    def at(share):
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Timing(statistics.median(ordered), at(0.1), at(0.9), len(ordered), executions)


class GraphTimer:
    """Captures and replays graphs on one stream of its own."""

    def __init__(self):
        self.stream = torch.cuda.Stream()

    def capture(self, call, sets, executions):
        """A graph of call(0), call(1), ..., the argument going around the sets."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=self.stream):
            for i in range(executions):
                call(i % sets)
        return graph

    def run(self, call, sets):
        """Each set once, without a graph: first calls load kernels, which no capture may."""
        torch.cuda.synchronize()  # the tensors were made on another stream
        with torch.cuda.stream(self.stream):
            for i in range(sets):
                call(i)
        torch.cuda.synchronize()

    def once(self, call, sets):
        """The Timing of each set once, without a graph, and with what a first call costs."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(self.stream)
        self.run(call, sets)
        end.record(self.stream)
        torch.cuda.synchronize()
        return summary([1e-3 * start.elapsed_time(end) / sets], sets)

    def replay(self, graph, count=1):
        """Seconds of each of `count` replays, one behind the other."""
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
                  for _ in range(count)]
        with torch.cuda.stream(self.stream):
            for start, end in events:
                start.record()
                graph.replay()
                end.record()
        torch.cuda.synchronize()
        return [1e-3 * start.elapsed_time(end) for start, end in events]

    def time(self, call, sets, seconds, graph=None):
        """The Timing of call(set). `graph`: one that holds each set once, if there is one."""
        self.run(call, sets)
        graph = graph or self.capture(call, sets, sets)
        rounds = min(self.replay(graph, 2))
        factor = max(1, min(round(GRAPH_SECONDS / rounds + 0.5), MOST_EXECUTIONS // sets))
        executions = factor * sets
        if factor > 1:
            graph = self.capture(call, sets, executions)
        taken = self.replay(graph)  # warm-up
        least = LEAST_LONG_SAMPLES if taken[0] > LONG_SECONDS else LEAST_SAMPLES
        batch = max(1, min(16, int(0.02 / taken[0])))
        samples = []
        end = time.monotonic() + seconds
        while len(samples) < least or (len(samples) < MOST_SAMPLES and time.monotonic() < end):
            samples += self.replay(graph, batch)
        return summary([s / executions for s in samples], executions)


@dataclass
class Bandwidth:
    """How fast the device's memory was seen to be: bytes per second, read and written together."""

    rate: float
    way: str  # what reached that


def stream_ways(source, target):
    """(name, bytes moved, call) of passes over memory that do next to nothing else."""
    half = source.nbytes // 2
    bf16, f32 = ((source.view(dtype), target.view(dtype))
                 for dtype in (torch.bfloat16, torch.float32))
    first, second, total = (part.view(torch.float32)
                            for part in (source[:half], source[half:], target[:half]))
    return [("copy", 2 * source.nbytes, lambda _: target.copy_(source)),
            ("negation in bf16", 2 * source.nbytes, lambda _: torch.neg(bf16[0], out=bf16[1])),
            ("negation in f32", 2 * source.nbytes, lambda _: torch.neg(f32[0], out=f32[1])),
            ("sum in f32", 3 * half, lambda _: torch.add(first, second, out=total))]


def stream_bandwidth(timer):
    """The Bandwidth of the fastest replay of the fastest way; a copy alone is often not it."""
    room = torch.cuda.mem_get_info()[0] // 3
    largest = min(STREAM_BYTES[-1], room >> 20 << 20)
    source = torch.empty(largest, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    found = []
    for size in sorted({min(size, largest) for size in STREAM_BYTES}):
        for name, moved, call in stream_ways(source[:size], target[:size]):
            timer.run(call, 1)
            graph = timer.capture(call, 1, 1)
            timer.replay(graph, STREAM_WARM_UP)
            rate = moved / min(timer.replay(graph, STREAM_SAMPLES))
            found.append(Bandwidth(rate, f"{size / 2**30:.3g} GiB {name}"))
    return max(found, key=lambda bandwidth: bandwidth.rate)


def warm_up(timer, seconds=0.5):
    """Work until the clocks have risen."""
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        timer.run(lambda _: a @ a, 20)
