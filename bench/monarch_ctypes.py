# SPDX-License-Identifier: Apache-2.0
"""The part of libmonarch's C interface that the benchmarks need, by ctypes.

Structures mirror include/monarch/*.h; struct_size lets the library check them.
"""

import ctypes as c
from pathlib import Path

F32, F16, BF16 = 0, 1, 2
DTYPES = {"f32": F32, "f16": F16, "bf16": BF16}
HOST = 1


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("message", c.c_char * 508)]


class Strides(c.Structure):
    _fields_ = [(name, c.c_int64) for name in ("batch", "head", "block", "token", "feature")]


class Tensor(c.Structure):
    _fields_ = [("dtype", c.c_int), ("strides", Strides)]


class Problem(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32), ("steps", c.c_int32),
        *[(name, c.c_int64) for name in ("batch", "heads", "kv_heads", "tokens", "head_dim",
                                         "value_dim", "block_size")],
        ("scale", c.c_float), ("pad", c.c_int), ("has_mask", c.c_int32), ("reserved", c.c_int32),
        *[(name, Tensor) for name in ("q", "k", "v", "out")],
        ("mask_strides", Strides),
    ]


class Memory(c.Structure):
    _fields_ = [("kind", c.c_int), ("handle", c.c_uint64), ("offset", c.c_uint64),
                ("size", c.c_uint64)]


class Args(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_int32),
                *[(name, Memory) for name in ("q", "k", "v", "mask", "out", "workspace")]]


class Params(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("cpu_threads", c.c_int32), ("backends", c.c_char_p),
                *[(name, c.c_void_p) for name in ("allocate", "release", "allocator_user", "log",
                                                  "log_user")]]


class Options(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("alignment", c.c_uint32), ("variant", c.c_char_p)]


class DeviceInfo(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("index", c.c_uint32), ("backend", c.c_char * 16),
                ("name", c.c_char * 128), ("driver", c.c_char * 64), ("features", c.c_char * 128),
                ("variants", c.c_char * 256), ("compute_units", c.c_uint32),
                ("subgroup_size", c.c_uint32), ("memory", c.c_uint64),
                ("local_memory", c.c_uint64), ("max_buffer", c.c_uint64)]


class StageInfo(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("kind", c.c_int), ("groups", c.c_int64),
                ("rows", c.c_int64), ("columns", c.c_int64), ("flops", c.c_double),
                ("bytes", c.c_double), ("variant", c.c_char * 32)]


def sized(structure):
    structure.struct_size = c.sizeof(structure)
    return structure


class Library:
    """One loaded library; every failing call raises RuntimeError with the library's message."""

    def __init__(self, path):
        self.c = c.CDLL(str(Path(path).resolve()))
        self.c.monarch_host_memory.restype = Memory
        self.c.monarch_host_memory.argtypes = [c.c_void_p, c.c_uint64]
        self.c.monarch_buffer_memory.restype = Memory
        self.c.monarch_buffer_memory.argtypes = [c.c_void_p, c.c_uint64]

    def call(self, name, *args):
        error = Error()
        if getattr(self.c, name)(*args, c.byref(error)) != 0:
            raise RuntimeError(error.message.decode())


class Plan:
    """A plan on one device with a queue and a workspace of its own."""

    def __init__(self, library, device, problem, variant=None):
        self.library = library
        self.plan, self.queue, self.workspace = c.c_void_p(), c.c_void_p(), c.c_void_p()
        options = sized(Options(variant=variant.encode() if variant else None))
        library.call("monarch_plan_create", device, c.byref(sized(problem)), c.byref(options),
                     c.byref(self.plan))
        library.call("monarch_queue_create", device, c.byref(self.queue))
        library.call("monarch_plan_workspace_create", self.plan, c.byref(self.workspace))

    def args(self, q, k, v, out):
        """Arguments for host tensors that have data_ptr()."""
        memory = [self.library.c.monarch_host_memory(t.data_ptr(), 0) for t in (q, k, v)]
        args = Args(q=memory[0], k=memory[1], v=memory[2],
                    out=self.library.c.monarch_host_memory(out.data_ptr(), 0),
                    workspace=self.library.c.monarch_buffer_memory(self.workspace, 0))
        return sized(args)

    def execute(self, args):
        self.library.call("monarch_plan_execute", self.plan, self.queue, c.byref(args))
        self.library.call("monarch_queue_wait", self.queue)

    def time(self, args, count):
        seconds = (c.c_double * count)()
        self.library.call("monarch_plan_time", self.plan, self.queue, c.byref(args), count, seconds)
        return list(seconds)

    def problem(self):
        problem = sized(Problem())
        self.library.call("monarch_plan_problem", self.plan, c.byref(problem))
        return problem

    def variant(self):
        info = sized(StageInfo())
        self.library.call("monarch_plan_stage", self.plan, 0, c.byref(info))
        return info.variant.decode()

    def close(self):
        self.library.c.monarch_buffer_destroy(c.byref(self.workspace))
        self.library.c.monarch_queue_destroy(c.byref(self.queue))
        self.library.c.monarch_plan_destroy(c.byref(self.plan))


class Device:
    """One device of an instance of its own."""

    def __init__(self, library, name, threads=0):
        self.library = library
        self.instance, self.handle = c.c_void_p(), c.c_void_p()
        params = sized(Params(cpu_threads=threads))
        library.call("monarch_instance_create", c.byref(params), c.byref(self.instance))
        library.call("monarch_instance_find", self.instance, name.encode(), c.byref(self.handle))
        self.info = sized(DeviceInfo())
        library.call("monarch_device_info_get", self.handle, c.byref(self.info))

    def plan(self, problem, variant=None):
        return Plan(self.library, self.handle, problem, variant)

    def close(self):
        self.library.c.monarch_instance_destroy(c.byref(self.instance))
