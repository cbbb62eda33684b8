#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python module bench/libmonarch: values, layouts, errors, torch.compile, threads, fork.

    test_module.py [--library FILE] [--device NAME]... [unittest's options]

Devices: cpu (the default), opencl and vulkan take tensors on the CPU, cuda takes them on the GPU.
Every result is compared with MonarchAttention in float64; inputs are random, and the result's
memory is filled with NaN before.
"""

import os
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import torch  # noqa: E402

import libmonarch  # noqa: E402
from libmonarch import monarch_attention  # noqa: E402
from reference_f64 import LIMITS, monarch_f64, relative_error  # noqa: E402

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
DEVICES = ["cpu"]


def place(device):
    """Where tensors lie for a device, and what the function is told."""
    return ("cuda", "") if device.startswith("cuda") else ("cpu", device)


def poison_free_memory(device, size):
    """Fills what the allocator will hand out next with NaN."""
    where, _ = place(device)
    blocks = [torch.full((size,), torch.nan, device=where) for _ in range(4)]
    del blocks


def tensors(seed, shape, dtype, where, key_heads=None, value_dim=None):
    generator = torch.Generator().manual_seed(seed)
    batch, heads, tokens, dim = shape

    def one(h, d):
        return torch.randn(batch, h, tokens, d, generator=generator).to(dtype).to(where)

    key_heads = key_heads or heads
    return one(heads, dim), one(key_heads, dim), one(key_heads, value_dim or dim)


class Module(unittest.TestCase):
    def assert_close(self, out, q, k, v, dtype, mask=None, **settings):
        """`out` against the reference, head by head, within the limit of the benchmarks."""
        self.assertEqual(out.shape, q.shape[:-1] + v.shape[-1:])
        self.assertEqual(out.dtype, q.dtype)
        group = q.shape[1] // k.shape[1]
        worst = 0.0
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                wanted = monarch_f64(q[b, h], k[b, h // group], v[b, h // group],
                                     mask=None if mask is None else mask[b], **settings)
                if mask is not None and not mask[b].any():
                    self.assertTrue((out[b, h] == 0).all())
                    continue
                worst = max(worst, relative_error(out[b, h], wanted))
        self.assertLess(worst, LIMITS[dtype], self.case)

    def each(self, dtypes=DTYPES):
        for device in DEVICES:
            for name in dtypes:
                self.case = f"on {device}, {name}"
                yield device, name, *place(device)

    def test_values(self):
        for device, name, where, told in self.each():
            for steps, pad, block in ((1, "end", 16), (2, "begin", 14), (3, "end", 7)):
                q, k, v = tensors(1, (2, 3, 100, 32), DTYPES[name], where, value_dim=24)
                poison_free_memory(device, q.numel())
                out = monarch_attention(q, k, v, None, block, steps, pad, device=told)
                self.assert_close(out, q, k, v, name, block=block, steps=steps, pad=pad)

    def test_scale_and_groups(self):
        for device, name, where, told in self.each(["f32"]):
            q, k, v = tensors(2, (1, 6, 65, 16), DTYPES[name], where, key_heads=2)
            out = monarch_attention(q, k, v, block_size=8, scale=0.5, device=told)
            self.assert_close(out, q, k, v, name, block=8, steps=1, scale=0.5)

    def test_mask_hides_nan(self):
        for device, name, where, told in self.each(["f32", "f16"]):
            q, k, v = tensors(3, (3, 2, 60, 16), DTYPES[name], where)
            mask = torch.rand(3, 60, generator=torch.Generator().manual_seed(3)) > 0.4
            mask[0, 8:16] = False  # a whole block
            mask[2] = False  # a whole sequence
            mask = mask.to(where)
            hidden = ~mask[:, None, :, None]
            k, v = (x.masked_fill(hidden, torch.nan) for x in (k, v))
            for kind in (torch.bool, torch.uint8):
                out = monarch_attention(q, k, v, mask.to(kind), block_size=8, steps=2, device=told)
                self.assert_close(out, q, k, v, name, mask=mask, block=8, steps=2)

    def test_layouts(self):
        """Views of packed QKV, with gaps, expanded: the result is that of packed copies."""
        for device, name, where, told in self.each(["f32", "f16"]):
            generator = torch.Generator().manual_seed(4)
            packed = torch.randn(2, 50, 3, 4, 40, generator=generator).to(DTYPES[name]).to(where)
            q, k, v = (packed[:, :, i, :, :32].transpose(1, 2) for i in range(3))
            v = v[:1].expand(2, -1, -1, -1)
            out = monarch_attention(q, k, v, block_size=10, steps=2, device=told)
            self.assert_close(out, q, k, v, name, block=10, steps=2)
            again = monarch_attention(*(x.clone(memory_format=torch.contiguous_format)
                                        for x in (q, k, v)), block_size=10, steps=2, device=told)
            self.assertTrue(torch.allclose(out, again, rtol=0, atol=0.01))
            # The layout of q is kept, so that heads go side by side without a copy.
            dense = torch.empty_like(packed[:, :, 0]).transpose(1, 2)
            result = monarch_attention(dense, dense, dense, device=told)
            self.assertEqual(result.stride(), dense.stride())

    def test_transposed_features_are_copied(self):
        q, k, v = tensors(5, (1, 2, 24, 24), torch.float32, "cpu")
        turned = q.transpose(2, 3).contiguous().transpose(2, 3)
        self.assertNotEqual(turned.stride(-1), 1)
        self.assertTrue(torch.equal(monarch_attention(turned, k, v), monarch_attention(q, k, v)))

    def test_grid_by_strides(self):
        """Five dimensions: a block is a column of a grid of tokens, with no copy of it."""
        for device, name, where, told in self.each(["f32"]):
            q, k, v = tensors(6, (2, 2, 70, 16), torch.float32, where)
            mask = torch.rand(2, 70, generator=torch.Generator().manual_seed(6)).to(where) > 0.2

            def columns(x, at):
                return x.unflatten(at, (7, 10)).transpose(at, at + 1)

            out = monarch_attention(columns(q, 2), columns(k, 2), columns(v, 2), columns(mask, 1),
                                    steps=2, device=told)
            self.assertEqual(out.shape, (2, 2, 10, 7, 16))
            flat = [columns(x, 2).flatten(2, 3) for x in (q, k, v)]
            self.assert_close(out.flatten(2, 3), *flat, name, mask=columns(mask, 1).flatten(1, 2),
                              block=7, steps=2)

    def test_fp8_intermediates(self):
        q, k, v = (torch.randn(1, 2, 64, 16) for _ in range(3))
        usual = monarch_attention(q, k, v, block_size=8)
        told = monarch_attention(q, k, v, block_size=8, intermediates="default")
        self.assertTrue(torch.equal(told, usual))
        out = monarch_attention(q, k, v, block_size=8, intermediates="fp8")
        change = float((out - usual).norm() / usual.norm())
        self.assertTrue(1e-3 < change < 0.1, change)

    def test_empty(self):
        for shape in ((0, 2, 8, 4), (2, 2, 0, 4)):
            q = torch.randn(shape)
            self.assertEqual(monarch_attention(q, q, q).shape, shape)

    def test_errors(self):
        q = torch.randn(1, 2, 8, 4)
        wrong = [
            (dict(steps=65), "problem.steps is 65"),
            (dict(block_size=-1), "problem.block_size is -1"),
            (dict(pad="middle"), 'pad is "middle"'),
            (dict(scale=0.0), "scale is 0"),
            (dict(intermediates="fp4"), 'intermediates is "fp4"'),
            (dict(mask=torch.ones(1, 7)), "the shape of mask is \\[1, 7\\]"),
            (dict(mask=torch.ones(1, 8)), "mask is torch.float32"),
            (dict(device="cpu:x"), "cpu:x"),
        ]
        for settings, words in wrong:
            with self.subTest(words=words):
                with self.assertRaisesRegex(libmonarch.InvalidArgumentError, words):
                    monarch_attention(q, q, q, **settings)
        for k, words in ((q[0], "4, 3 and 3"), (q.double(), "float64"), (q[:, :, :7], "shapes")):
            with self.assertRaisesRegex(libmonarch.InvalidArgumentError, words):
                monarch_attention(q, k, k)
        with self.assertRaisesRegex(libmonarch.UnsupportedError, "cpu:9"):
            monarch_attention(q, q, q, device="cpu:9")
        with self.assertRaisesRegex(libmonarch.UnsupportedError, "no_such_variant"):
            monarch_attention(q, q, q, variant="no_such_variant")
        self.assertTrue(issubclass(libmonarch.InvalidArgumentError, ValueError))

    def test_no_gradient(self):
        q = torch.randn(1, 1, 16, 4, requires_grad=True)
        with self.assertRaisesRegex(NotImplementedError, "no gradient"):
            monarch_attention(q, q, q).sum().backward()

    def test_operator(self):
        """What PyTorch checks of an operator: schema, shapes without data, no aliasing."""
        for device, name, where, told in self.each(["f32"]):
            packed = torch.randn(2, 20, 3, 2, 8, device=where)
            views = [packed[:, :, i].transpose(1, 2) for i in range(3)]
            mask = torch.ones(2, 20, dtype=torch.bool, device=where)
            torch.library.opcheck(torch.ops.monarch.attention.default,
                                  (*views, mask, 5, 2, "end", 0.0, told, ""))

    def test_compile(self):
        for device, name, where, told in self.each(["f32"]):
            q, k, v = tensors(7, (1, 2, 40, 16), torch.float32, where)

            def layer(x):
                return monarch_attention(x + 1, k, v, block_size=8, steps=2, device=told) * 2

            compiled = torch.compile(layer, fullgraph=True)(q)
            self.assertTrue(torch.allclose(compiled, layer(q), rtol=1e-6, atol=1e-6))

    def test_threads(self):
        q, k, v = tensors(8, (2, 4, 128, 32), torch.float32, "cpu")
        wanted = monarch_attention(q, k, v, steps=2)
        wrong = []

        def work():
            for _ in range(20):
                if not torch.equal(monarch_attention(q, k, v, steps=2), wanted):
                    wrong.append(1)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertFalse(wrong)

    def test_fork(self):
        """A child makes an instance of its own: what the parent made cannot be used in it."""
        q, k, v = tensors(9, (1, 2, 32, 8), torch.float32, "cpu")
        wanted = monarch_attention(q, k, v)
        child = os.fork()
        if child == 0:
            same = torch.equal(monarch_attention(q, k, v), wanted)
            os._exit(0 if same else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_plans_can_be_freed(self):
        for device, name, where, told in self.each(["f32"]):
            q, k, v = tensors(10, (1, 2, 32, 8), torch.float32, where)
            first = monarch_attention(q, k, v, device=told)
            libmonarch.clear_plans()
            self.assertTrue(torch.equal(monarch_attention(q, k, v, device=told), first))


class Cuda(unittest.TestCase):
    """Streams and graphs, where there is a GPU and it was asked for."""

    def setUp(self):
        if not any(device.startswith("cuda") for device in DEVICES):
            self.skipTest("no --device cuda")

    def test_stream_order(self):
        """The work of the call lies on the current stream, between what is before and after it."""
        q, k, v = tensors(11, (4, 12, 2048, 64), torch.float16, "cuda")
        wanted = monarch_attention(q, k, v)
        side = torch.cuda.Stream()
        late = torch.empty_like(q)
        with torch.cuda.stream(side):
            torch.cuda._sleep(20_000_000)
            late.copy_(q)
            out = monarch_attention(late, k, v)
            late.zero_()
        side.synchronize()
        self.assertTrue(torch.equal(out, wanted))

    def test_graph(self):
        q, k, v = tensors(12, (2, 4, 500, 64), torch.float16, "cuda")
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            monarch_attention(q, k, v, steps=2)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = monarch_attention(q, k, v, steps=2)
        q.copy_(torch.randn_like(q))
        graph.replay()
        self.assertTrue(torch.equal(out, monarch_attention(q, k, v, steps=2)))

    def test_compile_with_graphs(self):
        q, k, v = tensors(13, (2, 4, 300, 64), torch.float16, "cuda")
        layer = torch.compile(lambda x: monarch_attention(x, k, v, steps=2) + 1, fullgraph=True,
                              mode="reduce-overhead")
        for _ in range(4):
            q.normal_()
            self.assertTrue(torch.equal(layer(q), monarch_attention(q, k, v, steps=2) + 1))


def main():
    arguments = sys.argv[1:]
    devices = []
    while arguments[:1] in (["--library"], ["--device"]):
        option, value, *arguments = arguments
        if option == "--library":
            libmonarch.load(value)
        else:
            devices.append(value)
    DEVICES[:] = devices or DEVICES
    unittest.main(argv=[sys.argv[0], *arguments], verbosity=1)


if __name__ == "__main__":
    main()
