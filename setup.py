"""The wheel that brings the compiled engine (`make wheel`); all else stands in pyproject.toml.

Without POLYHEAD_WHEEL_MACHINE, x86_64 or aarch64, a wheel holds the sources alone.
"""

import os
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

MACHINE = os.environ.get("POLYHEAD_WHEEL_MACHINE")


class BuildWithEngine(build_py):
    """Compiles the engine into what is packed."""

    def run(self) -> None:
        """Copies the packages, and compiles beside them."""
        super().run()
        # Build front ends leave the folder of the project out.
        sys.path.insert(0, str(Path(__file__).parent))
        from model.engine.native.build import build_portable

        build_portable(MACHINE, Path(self.build_lib, "model", "engine", "native", "build"))


class PlatformWheel(bdist_wheel):
    """A wheel for one kind of machine, and for any Python 3: nothing in it links with Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """The tag; auditwheel puts the oldest system in it that the libraries run on."""
        return "py3", "none", f"linux_{MACHINE}"


class BinaryDistribution(Distribution):
    """What is installed where compiled code goes."""

    def has_ext_modules(self) -> bool:
        """Always: the engine, though it is no extension of Python."""
        return True


if MACHINE:
    setup(
        distclass=BinaryDistribution,
        cmdclass={"build_py": BuildWithEngine, "bdist_wheel": PlatformWheel},
    )
else:
    setup()
