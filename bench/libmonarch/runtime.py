# SPDX-License-Identifier: Apache-2.0
"""Plans, queues and memory behind the operator: what turns PyTorch tensors into one execution.

A plan is made the first time that a shape, a layout and a device come together, and kept: later
calls only enqueue. Tensors are used where they lie. On cuda devices the work goes to PyTorch's
current stream and the workspace comes from PyTorch's allocator, so that both are right under
stream capture too. Any thread may call; executions on one queue take turns.
"""

import ctypes as c
import os
import threading

import torch

from . import binding
from .binding import (Args, DeviceInfo, LibraryError, Memory, Options, Params, Problem, Strides,
                      Tensor, sized)
from .errors import from_library
from .library import load

DTYPES = {torch.float32: binding.F32, torch.float16: binding.F16, torch.bfloat16: binding.BF16}
HOST, BUFFER, CUDA = 1, 2, 3  # monarch_memory_kind
WIDE = 16  # bytes; tensors of PyTorch start at such addresses unless they are slices


def _call(name, *args):
    try:
        load().call(name, *args)
    except LibraryError as error:
        raise from_library(error) from None


class _Queue:
    """A queue of the library's and the lock that gives it to one thread at a time."""

    def __init__(self, device, stream=None):
        self.handle, self.lock = c.c_void_p(), threading.Lock()
        if stream is None:
            _call("monarch_queue_create", device, c.byref(self.handle))
        else:
            _call("monarch_cuda_queue_wrap", device, c.c_void_p(stream), c.byref(self.handle))


class _Plan:
    """A plan and the size of its workspace. On devices that see neither host memory nor PyTorch's,
    also buffers for the tensors."""

    def __init__(self, device, problem, alignment, variant):
        self.handle = c.c_void_p()
        options = sized(Options(alignment=alignment, variant=variant.encode() or None))
        _call("monarch_plan_create", device, c.byref(sized(problem)), c.byref(options),
              c.byref(self.handle))
        size, unit = c.c_uint64(), c.c_uint64()
        load().c.monarch_plan_workspace(self.handle, c.byref(size), c.byref(unit))
        self.workspace, self.unit = size.value, unit.value
        self.buffers = None


class Runtime:
    """One instance of the library: its devices, queues and plans, made when first asked for."""

    def __init__(self):
        self.lock = threading.RLock()
        self.instance = None
        self.devices, self.queues, self.plans = {}, {}, {}

    def device(self, name):
        with self.lock:
            if self.instance is None:
                instance = c.c_void_p()
                params = sized(Params(cpu_threads=torch.get_num_threads()))
                _call("monarch_instance_create", c.byref(params), c.byref(instance))
                self.instance = instance
            if name not in self.devices:
                handle = c.c_void_p()
                _call("monarch_instance_find", self.instance, name.encode(), c.byref(handle))
                self.devices[name] = handle
            return self.devices[name]

    def queue(self, name, stream=None):
        key = (name, stream)
        found = self.queues.get(key)
        if found is None:
            with self.lock:
                if key not in self.queues:
                    self.queues[key] = _Queue(self.device(name), stream)
                found = self.queues[key]
        return found

    def plan(self, key, name, problem, alignment, variant):
        found = self.plans.get(key)
        if found is None:
            with self.lock:
                if key not in self.plans:
                    self.plans[key] = _Plan(self.device(name), problem(), alignment, variant)
                found = self.plans[key]
        return found

    def clear(self):
        """Destroys all plans, after the work that may use them."""
        with self.lock:
            for queue in self.queues.values():
                with queue.lock:
                    _call("monarch_queue_wait", queue.handle)
            plans, self.plans = self.plans, {}
            for plan in plans.values():
                for buffer in (plan.buffers or {}).values():
                    load().c.monarch_buffer_destroy(c.byref(buffer))
                load().c.monarch_plan_destroy(c.byref(plan.handle))


_runtime = Runtime()


def _after_fork():
    # What the parent made belongs to the parent; a child that calls gets an instance of its own.
    global _runtime
    _runtime = Runtime()


os.register_at_fork(after_in_child=_after_fork)


def clear_plans():
    """Frees every plan that calls have left behind. Not while a CUDA graph that holds executions
    is still to be launched."""
    _runtime.clear()


def device_info(name):
    """Backend, name, driver and variants of a device as text."""
    info = sized(DeviceInfo())
    _call("monarch_device_info_get", _runtime.device(name), c.byref(info))
    return {field: getattr(info, field).decode()
            for field in ("backend", "name", "driver", "variants")}


def version():
    load().c.monarch_version_string.restype = c.c_char_p
    return load().c.monarch_version_string().decode()


def _strides(tensor, blocked):
    """Those of [batch, heads, tokens, dim], or with `blocked` [batch, heads, blocks, positions,
    dim]: the library's five."""
    s = tensor.stride()
    return Strides(s[0], s[1], s[2], s[3], 1) if blocked else Strides(s[0], s[1], 0, s[2], 1)


def _mask_strides(mask, blocked):
    s = mask.stride()
    return Strides(s[0], 0, s[1], s[2], 0) if blocked else Strides(s[0], 0, 0, s[1], 0)


def _problem(q, k, v, mask, out, settings):
    block_size, steps, pad, scale, intermediates = settings
    blocked = q.dim() == 5
    tensor = [Tensor(DTYPES[x.dtype], _strides(x, blocked)) for x in (q, k, v, out)]
    return Problem(
        steps=steps, batch=q.shape[0], heads=q.shape[1], kv_heads=k.shape[1],
        tokens=q.shape[2] * q.shape[3] if blocked else q.shape[2], head_dim=q.shape[-1],
        value_dim=v.shape[-1], block_size=q.shape[3] if blocked else block_size, scale=scale,
        pad=binding.PADS[pad], intermediates=binding.INTERMEDIATES[intermediates],
        has_mask=mask is not None, q=tensor[0], k=tensor[1], v=tensor[2],
        out=tensor[3],
        mask_strides=Strides() if mask is None else _mask_strides(mask, blocked))


def run(q, k, v, mask, out, settings, device, variant):
    """Writes `out`. settings = (block_size, steps, pad, scale,
    intermediates); all shapes are checked already.
    device: a name of the library's for tensors on the CPU; others run where they are."""
    if q.is_cuda:
        kind, name = CUDA, f"cuda:{q.get_device()}"
        stream = torch.cuda.current_stream(q.device).cuda_stream
    else:
        kind, name, stream = HOST, device or "cpu", None
    tensors = (q, k, v, out) if mask is None else (q, k, v, out, mask)
    if kind == HOST and not name.startswith("cpu"):
        _run_staged(tensors, settings, name, variant)
        return
    pointers = [x.data_ptr() for x in tensors]
    wide = not (pointers[0] | pointers[1] | pointers[2] | pointers[3]) % WIDE
    key = (name, wide, settings, variant, q.dtype, *((x.shape, x.stride()) for x in tensors))
    plan = _runtime.plan(key, name, lambda: _problem(q, k, v, mask, out, settings),
                         WIDE if wide else 0, variant)
    args = sized(Args())
    if plan.workspace:
        scratch = torch.empty(plan.workspace + plan.unit, dtype=torch.uint8, device=q.device)
        start = scratch.data_ptr()
        args.workspace = Memory(kind, start + -start % plan.unit, 0, plan.workspace)
    for field, pointer in zip(("q", "k", "v", "out", "mask"), pointers):
        setattr(args, field, Memory(kind, pointer, 0, 0))
    queue = _runtime.queue(name, stream)
    with queue.lock:
        _call("monarch_plan_execute", plan.handle, queue.handle, c.byref(args))


def _run_staged(tensors, settings, name, variant):
    """On a device with memory of its own that PyTorch knows nothing of: in and out by copies."""
    q, k, v, out = tensors[:4]
    packed = [x.contiguous() for x in tensors]
    if len(packed) == 4:
        packed.append(None)
    key = (name, settings, variant, q.dtype, *(None if x is None else x.shape for x in packed))
    make = lambda: _problem(*packed[:3], packed[4], packed[3], settings)  # noqa: E731
    plan = _runtime.plan(key, name, make, 0, variant)
    queue, library = _runtime.queue(name), load()
    library.c.monarch_buffer_memory.restype = Memory
    fields = {"q": packed[0], "k": packed[1], "v": packed[2], "out": packed[3]}
    if packed[4] is not None:
        fields["mask"] = packed[4].view(torch.uint8)
    with queue.lock:
        if plan.buffers is None:
            sizes = {field: x.nbytes for field, x in fields.items()}
            plan.buffers = _make_buffers(_runtime.device(name), {**sizes,
                                                                 "workspace": plan.workspace})
        args = sized(Args())
        for field, buffer in plan.buffers.items():
            setattr(args, field, library.c.monarch_buffer_memory(buffer, c.c_uint64(0)))
        for field, x in fields.items():
            if field != "out":
                _call("monarch_buffer_write", queue.handle, plan.buffers[field], c.c_uint64(0),
                      c.c_void_p(x.data_ptr()), c.c_uint64(x.nbytes))
        _call("monarch_plan_execute", plan.handle, queue.handle, c.byref(args))
        _call("monarch_buffer_read", queue.handle, plan.buffers["out"], c.c_uint64(0),
              c.c_void_p(packed[3].data_ptr()), c.c_uint64(packed[3].nbytes))
    if packed[3] is not out:
        out.copy_(packed[3])


def _make_buffers(device, sizes):
    buffers = {}
    for field, size in sizes.items():
        buffers[field] = c.c_void_p()
        _call("monarch_buffer_create", device, c.c_uint64(size), c.byref(buffers[field]))
    return buffers
