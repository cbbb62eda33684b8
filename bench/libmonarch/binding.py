# SPDX-License-Identifier: Apache-2.0
"""The part of libmonarch's C interface that Python needs, by ctypes, for any kind of tensor.

Structures mirror include/monarch/*.h; struct_size lets the library check them.
"""

import ctypes as c
import time
from pathlib import Path

F32, F16, BF16 = 0, 1, 2
DTYPES = {"f32": F32, "f16": F16, "bf16": BF16}
PADS = {"end": 0, "begin": 1}
INTERMEDIATES = {"default": 0, "fp8": 1}
UNSUPPORTED = 2


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
        ("scale", c.c_float), ("pad", c.c_int), ("has_mask", c.c_int32), ("intermediates", c.c_int),
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


class LibraryError(RuntimeError):
    """A call that failed; its message is the library's."""

    def __init__(self, name, error):
        self.message = error.message.decode()
        super().__init__(f"{name}: {self.message}")
        self.status = error.status


class Library:
    """One loaded library; every failing call raises LibraryError."""

    def __init__(self, path):
        # A name that is no file is left for the loader to find.
        self.c = c.CDLL(str(Path(path).resolve() if Path(path).exists() else path))
        for name in ("monarch_host_memory", "monarch_buffer_memory", "monarch_cuda_memory"):
            function = getattr(self.c, name, None)
            if function:
                address = c.c_uint64 if name == "monarch_cuda_memory" else c.c_void_p
                function.restype, function.argtypes = Memory, [address, c.c_uint64]

    def call(self, name, *args):
        error = Error()
        if getattr(self.c, name)(*args, c.byref(error)) != 0:
            raise LibraryError(name, error)


class Plan:
    """A plan with a workspace of its own, and a queue of its own unless one is given."""

    def __init__(self, device, problem, variant=None, queue=None):
        self.device, self.library = device, device.library
        self.plan, self.queue, self.workspace = c.c_void_p(), queue or c.c_void_p(), c.c_void_p()
        self.owns_queue = queue is None
        options = sized(Options(variant=variant.encode() if variant else None))
        call = self.library.call
        call("monarch_plan_create", device.handle, c.byref(sized(problem)), c.byref(options),
             c.byref(self.plan))
        if self.owns_queue:
            call("monarch_queue_create", device.handle, c.byref(self.queue))
        call("monarch_plan_workspace_create", self.plan, c.byref(self.workspace))

    def args(self, q, k, v, out):
        """Arguments for tensors that have data_ptr() and nbytes, in the device's memory."""
        memory = [self.device.memory(t) for t in (q, k, v, out)]
        args = Args(q=memory[0], k=memory[1], v=memory[2], out=memory[3],
                    workspace=self.library.c.monarch_buffer_memory(self.workspace, 0))
        return sized(args)

    def enqueue(self, args):
        self.library.call("monarch_plan_execute", self.plan, self.queue, c.byref(args))

    def wait(self):
        self.library.call("monarch_queue_wait", self.queue)

    def execute(self, args):
        self.enqueue(args)
        self.wait()

    def time(self, args, count):
        seconds = (c.c_double * count)()
        self.library.call("monarch_plan_time", self.plan, self.queue, c.byref(args), count, seconds)
        return list(seconds)

    def host_seconds(self, args, calls, batch=50):
        """What the caller's thread spends in one execute call, ctypes included: the mean over
        `calls`. It waits for the device after each batch, outside the count, as a full queue of
        the driver would make the caller wait for kernels."""
        execute, error = self.library.c.monarch_plan_execute, Error()
        parameters = (self.plan, self.queue, c.byref(args), c.byref(error))
        spent = 0.0
        for _ in range(max(1, calls // batch)):
            self.wait()
            start = time.perf_counter()
            for _ in range(batch):
                execute(*parameters)
            spent += time.perf_counter() - start
        self.wait()
        return spent / (max(1, calls // batch) * batch)

    def problem(self):
        problem = sized(Problem())
        self.library.call("monarch_plan_problem", self.plan, c.byref(problem))
        return problem

    def variant(self):
        """The variant of the stages, joined by '+' where they differ."""
        names = []
        for i in range(self.library.c.monarch_plan_stage_count(self.plan)):
            info = sized(StageInfo())
            self.library.call("monarch_plan_stage", self.plan, i, c.byref(info))
            if info.variant.decode() not in names:
                names.append(info.variant.decode())
        return "+".join(names)

    def close(self):
        self.library.c.monarch_buffer_destroy(c.byref(self.workspace))
        if self.owns_queue:
            self.library.c.monarch_queue_destroy(c.byref(self.queue))
        self.library.c.monarch_plan_destroy(c.byref(self.plan))


class Device:
    """One device of an instance of its own."""

    def __init__(self, library, name, threads=0):
        self.library = library
        self.instance, self.handle = c.c_void_p(), c.c_void_p()
        # Only this backend: another that takes long to open says nothing here.
        params = sized(Params(cpu_threads=threads, backends=name.split(":")[0].encode()))
        library.call("monarch_instance_create", c.byref(params), c.byref(self.instance))
        self.open(name)
        self.info = sized(DeviceInfo())
        library.call("monarch_device_info_get", self.handle, c.byref(self.info))

    def open(self, name):
        self.library.call("monarch_instance_find", self.instance, name.encode(),
                          c.byref(self.handle))

    def memory(self, tensor):
        return self.library.c.monarch_host_memory(tensor.data_ptr(), tensor.nbytes)

    def plan(self, problem, variant=None):
        return Plan(self, problem, variant)

    def variants(self):
        return self.info.variants.decode().split()

    def refusal(self, problem, variant=None):
        """Why the device cannot run this problem, or None if it can."""
        try:
            self.library.call("monarch_problem_supported", self.handle, c.byref(sized(problem)),
                              variant.encode() if variant else None)
        except LibraryError as error:
            if error.status != UNSUPPORTED:
                raise
            return str(error).split(": ", 1)[1]
        return None

    def close(self):
        self.library.c.monarch_instance_destroy(c.byref(self.instance))


class CudaDevice(Device):
    """The current CUDA context of this thread and a stream, both another library's."""

    def __init__(self, library, stream):
        """`stream`: a CUstream as a number, on which all plans of this device run."""
        if not hasattr(library.c, "monarch_cuda_device_wrap"):
            raise RuntimeError("this build of the library has no CUDA backend")
        self.queue = c.c_void_p()
        super().__init__(library, "cuda")
        library.call("monarch_cuda_queue_wrap", self.handle, c.c_void_p(stream),
                     c.byref(self.queue))

    def open(self, name):
        context = c.c_void_p()
        if c.CDLL("libcuda.so.1").cuCtxGetCurrent(c.byref(context)) != 0 or not context.value:
            raise RuntimeError("this thread has no current CUDA context")
        self.library.call("monarch_cuda_device_wrap", self.instance, context, c.byref(self.handle))

    def memory(self, tensor):
        return self.library.c.monarch_cuda_memory(tensor.data_ptr(), tensor.nbytes)

    def plan(self, problem, variant=None):
        return Plan(self, problem, variant, self.queue)

    def close(self):
        self.library.c.monarch_queue_destroy(c.byref(self.queue))
        self.library.c.monarch_cuda_device_destroy(c.byref(self.handle))
        super().close()
