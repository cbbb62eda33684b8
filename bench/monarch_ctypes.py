# SPDX-License-Identifier: Apache-2.0
"""The name under which the benchmarks know the binding of the Python module."""

from libmonarch.binding import *  # noqa: F401,F403
