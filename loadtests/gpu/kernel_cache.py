"""Compiled kernels in one file: what one call compiles, the next one need not.

    python -m loadtests.gpu.kernel_cache kernels.tar.gz

compiles them without a GPU, for one of the given capability: Triton brings all compilers, up to
machine code. Its folder holds absolute paths: TRITON_CACHE_DIR must be the same where the file is
used.
"""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["KernelCache", "compile_kernels"]

_MOST_BYTES = 16 * 2**20
"""The most that one file has that is brought back."""


class KernelCache:
    """Triton's folder of compiled kernels.

    Args:
        folder: TRITON_CACHE_DIR; an empty path is none, of which nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder if str(folder) not in ("", ".") else None
        self._packed: set[Path] = self._files()

    def unpack(self, archive: Path) -> bool:
        """Puts the kernels of a file there; False, with a reason on stderr, if that cannot be."""
        if self._folder is None:
            return False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(archive, "r:gz") as file:
                file.extractall(self._folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            print(f"{archive} cannot be used: {error}", file=sys.stderr, flush=True)
            return False
        self._packed = self._files()
        return True

    def pack(self, archive: Path, *, most_bytes: int = _MOST_BYTES) -> bool:
        """Writes all kernels into a file, if there are some that it or the unpacked one lacks.

        Returns:
            Whether it was written; not, with a reason on stderr, if it were too large.
        """
        files = self._files()
        if self._folder is None or files <= self._packed:
            return False
        beside = archive.with_suffix(".new")
        try:
            with tarfile.open(beside, "w:gz") as file:
                for path in sorted(files):
                    file.add(path, path.relative_to(self._folder))
            size = beside.stat().st_size
            if size > most_bytes:
                beside.unlink()
                print(f"{archive} would have {size} bytes: not kept", file=sys.stderr, flush=True)
                return False
            os.replace(beside, archive)
        except OSError as error:
            print(f"{archive} cannot be written: {error}", file=sys.stderr, flush=True)
            return False
        self._packed = files
        return True

    def _files(self) -> set[Path]:
        if self._folder is None:
            return set()
        # Of the launchers, too, which were compiled for this Python.
        return {
            path for path in self._folder.rglob("*") if path.is_file() and ".tmp" not in path.name
        }


def compile_kernels(capability: int, most_slots: int = 64) -> int:
    """Has the runners that the check uses compile and capture, on a device that is made up.

    Args:
        capability: of the device, as 90 for Hopper.
        most_slots: hypotheses of a step; kernels for more are the same.

    Returns:
        How often a kernel was asked for.
    """
    from dataclasses import replace

    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    from loadtests.bench.models import RANDOM_MODELS, BenchModel
    from loadtests.gpu.agreement import SEARCHES, cuda_runner
    from loadtests.gpu.simulated_device import ImmediateStream
    from model.engine.cuda import packing
    from model.network.transformer import Transformer

    class MadeUpDriver:
        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", capability, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int | None = None) -> int:
            return 0

    asked = 0

    def compile_only(kernel: Any, grid: object) -> Callable[..., None]:
        def launch(*args: Any, **options: Any) -> None:
            nonlocal asked
            asked += 1
            kernel.run(*args, grid=grid, warmup=True, **options)

        return launch

    triton.runtime.driver.set_active(MadeUpDriver())
    JITFunction.__getitem__ = compile_only
    packing._LARGEST_BUCKET = most_slots  # what a bucket has more is products, of the library
    config = replace(RANDOM_MODELS["paper-base"], max_positions=256, projection_bias=True)
    embedded = BenchModel.named("embedded", seed=0).load()
    base = Transformer(config).eval()
    for transformer, dtypes in (
        (embedded, (torch.float32, torch.bfloat16)),
        (base, (torch.bfloat16,)),
    ):
        for dtype in dtypes:
            runner = cuda_runner(
                transformer,
                dtype=dtype,
                max_slots=most_slots,
                searches=tuple(SEARCHES.values()),
                stream=ImmediateStream(),
            )
            runner.close()
    return asked


def main() -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu.kernel_cache")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--capability", type=int, default=90, help="of the GPU: 90 is Hopper's")
    arguments = parser.parse_args()
    folder = os.environ.get("TRITON_CACHE_DIR")
    if not folder:
        print("TRITON_CACHE_DIR must be set, as where the file is used", file=sys.stderr)
        return 2
    cache = KernelCache(Path(folder))
    print(f"{compile_kernels(arguments.capability)} launches")
    return 0 if cache.pack(arguments.archive) else 1


if __name__ == "__main__":
    sys.exit(main())
