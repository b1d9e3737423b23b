"""Compilation in the place of launches, and what it finds out of each kernel."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

__all__ = ["LIMITS", "Compiled", "Limits", "compiling_for", "excess"]


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A kernel in one of its variants."""

    kernel: str
    variant: str
    """Its constants, as it was launched."""
    registers: int
    """Those of each thread."""
    shared: int
    """Bytes of a program."""
    spilled: int
    """Bytes of a thread for which there is no register."""
    seconds: float
    """CPU time."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a kernel may take at most."""

    shared: int
    spilled: int = 0
    seconds: float = 30.0


LIMITS = {80: Limits(shared=163 * 1024 // 2), 90: Limits(shared=227 * 1024 // 2)}
"""By compute capability, times ten: two programs fit on a multiprocessor."""


def excess(found: Compiled, limits: Limits) -> list[str]:
    """What is beyond the limits, in words."""
    return [
        f"{what} {value:,.0f}, at most {most:,.0f}"
        for what, value, most in (
            ("shared memory", found.shared, limits.shared),
            ("spilled bytes", found.spilled, limits.spilled),
            ("seconds", found.seconds, limits.seconds),
        )
        if value > most
    ]


class _MadeUpDriver:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self._capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        # Triton keeps apart what it has compiled for different devices.
        return self._capability

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


@contextlib.contextmanager
def compiling_for(capability: int) -> Iterator[list[Compiled]]:
    """Where kernels are compiled instead of launched; gives a list that grows with each variant.

    Args:
        capability: times ten, such as 90.
    """
    found: list[Compiled] = []

    def instead(kernel: JITFunction, grid: object) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            compiled = _compile(kernel, grid, arguments, options)
            if compiled is not None:
                found.append(compiled)

        return launch

    before = JITFunction.__getitem__
    triton.runtime.driver.set_active(_MadeUpDriver(capability))
    triton.knobs.nvidia.dump_ptxas_log = True
    JITFunction.__getitem__ = instead
    try:
        yield found
    finally:
        JITFunction.__getitem__ = before


def _compile(
    kernel: JITFunction, grid: object, arguments: tuple[Any, ...], options: dict[str, Any]
) -> Compiled | None:
    """None if the same has been compiled before."""
    started = _cpu_seconds()
    with contextlib.redirect_stdout(io.StringIO()) as log:
        made = kernel.run(*arguments, grid=grid, warmup=True, **options)
    text = log.getvalue()
    if not text:
        return None
    # Where registers do not suffice, or an array is indexed, a thread has a stack.
    stack = sum(map(int, re.findall(r"(\d+) bytes stack frame", text)))
    return Compiled(
        kernel=kernel.__name__,
        variant=" ".join(f"{name}={value}" for name, value in options.items()),
        registers=max(map(int, re.findall(r"Used (\d+) registers", text))),
        shared=made.metadata.shared,
        spilled=stack,
        seconds=_cpu_seconds() - started,
    )


def _cpu_seconds() -> float:
    """CPU time of this process and of those that it has waited for: ptxas is one."""
    return sum(os.times()[:4])
