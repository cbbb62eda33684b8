# SPDX-License-Identifier: Apache-2.0
"""Finds and loads libmonarch.so, once per process."""

import ctypes.util
import os
import threading
from pathlib import Path

from .binding import Library

_lock = threading.Lock()
_library = None


def _candidates():
    """Places to look in, in this order, each with how to name it in a message."""
    chosen = os.environ.get("MONARCH_LIBRARY")
    if chosen:
        yield Path(chosen), "MONARCH_LIBRARY"
        return  # a choice that fails must not turn into another library
    yield Path(__file__).resolve().parent / "lib" / "libmonarch.so", "the installed module"
    system = ctypes.util.find_library("monarch")
    if system:
        yield system, "the system"


def load(path=None):
    """The loaded library. `path`: a libmonarch.so, only for the first call of a process; without
    it the environment's MONARCH_LIBRARY, the one that pip installed with this module, or the
    system's. Raises FileNotFoundError, and ValueError for a second, different path."""
    global _library
    with _lock:
        if _library is not None:
            if path is not None and Path(path).resolve() != _library.path:
                raise ValueError(f"libmonarch is loaded already, from {_library.path}")
            return _library
        places = [(Path(path), "the caller")] if path is not None else _candidates()
        tried = []
        for place, source in places:
            if isinstance(place, str) or place.exists():
                _library = Library(place)
                _library.path = Path(place).resolve()
                return _library
            tried.append(f"{place} ({source})")
        raise FileNotFoundError("there is no libmonarch.so; looked at " + ", ".join(tried) +
                                "; `pip install ./bench` builds one into this module")
