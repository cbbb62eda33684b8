# SPDX-License-Identifier: Apache-2.0
"""The library's errors as exceptions. str() of each is the library's message, word for word."""


class MonarchError(RuntimeError):
    """A call into the library that failed; `status` is the value of monarch_status."""

    status = None


class InvalidArgumentError(MonarchError, ValueError):
    """The call is wrong on every device."""

    status = 1


class UnsupportedError(MonarchError, NotImplementedError):
    """The call is right, but this device or build cannot do it."""

    status = 2


class OutOfMemoryError(MonarchError, MemoryError):
    """Host or device memory ran out."""

    status = 3


class NativeError(MonarchError):
    """A call into the driver or the operating system failed."""

    status = 4


class DeviceLostError(MonarchError):
    """The device is gone."""

    status = 5


class ForkedError(MonarchError):
    """The process forked after the library was first used."""

    status = 6


_BY_STATUS = {kind.status: kind for kind in MonarchError.__subclasses__()}


def from_library(error):
    """The exception for a binding.LibraryError."""
    kind = _BY_STATUS.get(error.status, MonarchError)
    result = kind(error.message)
    result.status = error.status
    return result
