# SPDX-License-Identifier: Apache-2.0
"""Builds the C library by Meson into the Python module; pyproject.toml tells the rest.

Options for Meson, where the defaults do not suit:
    MONARCH_MESON_ARGS="-Dsm_archs=90a -Dopencl=disabled" pip install ./bench
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def version():
    header = (ROOT / "include/monarch/version.h").read_text()
    return re.search(r'MONARCH_VERSION_STRING "([^"]+)"', header).group(1)


class BuildLibrary(build_py):
    """Copies the module, then compiles libmonarch.so next to it."""

    def run(self):
        super().run()
        build = Path(self.get_finalized_command("build").build_temp).resolve() / "meson"
        shutil.rmtree(build, ignore_errors=True)
        options = shlex.split(os.environ.get("MONARCH_MESON_ARGS", ""))
        subprocess.run(["meson", "setup", build, ROOT, "--buildtype=release", "-Dtests=false",
                        "-Dbench=false", *options], check=True)
        shared = self.shared_library(build)
        subprocess.run(["ninja", "-C", build, shared], check=True)
        target = Path(self.build_lib) / "libmonarch" / "lib"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(build / shared, target / "libmonarch.so")

    @staticmethod
    def shared_library(build):
        """The name of the library's file as Ninja knows it, e.g. libmonarch.so.0.1.0."""
        listing = subprocess.run(["ninja", "-C", build, "-t", "targets", "all"], check=True,
                                 capture_output=True, text=True).stdout
        return re.search(r"^(libmonarch\.so[0-9.]*): c_LINKER", listing, re.MULTILINE).group(1)


class Binary(Distribution):
    """A wheel for one platform, for any Python 3."""

    def has_ext_modules(self):
        return True


def commands():
    result = {"build_py": BuildLibrary}
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # before setuptools 70.1
        from wheel.bdist_wheel import bdist_wheel

    class AnyPython(bdist_wheel):
        """The library is no extension module: its wheel does not depend on Python's version."""

        def get_tag(self):
            return ("py3", "none", super().get_tag()[2])

    result["bdist_wheel"] = AnyPython
    return result


setup(version=version(), cmdclass=commands(), distclass=Binary)
