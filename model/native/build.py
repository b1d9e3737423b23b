"""Compiles the C++ sources on first use and finds the result again afterwards.

One library for each instruction set: what a machine cannot run is never loaded there. The file's
name holds a digest of the sources and the flags, so a library always belongs to its sources.

`python -m model.native.build` compiles all that a machine of this architecture may load, for an
image or a package that goes to other machines.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from enum import StrEnum
from pathlib import Path

from model.errors import BackendUnavailableError

__all__ = [
    "InstructionSet",
    "NativeBuildError",
    "build",
    "detect",
    "find_compiler",
    "instruction_sets",
    "library_path",
]

_SOURCE_DIRECTORY = Path(__file__).parent
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = (
    "-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden",
    # Floating-point flags and errno are nobody's business here, and they cost vectorisation. The
    # order of additions stays as written: results must not depend on the batch.
    "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-pthread",
)  # fmt: skip
_BUILD_SECONDS = 300


class NativeBuildError(BackendUnavailableError):
    """The library could not be compiled here."""


class InstructionSet(StrEnum):
    """What a library is compiled for, best first."""

    AVX512_BF16 = "avx512-bf16"
    AVX512_VNNI = "avx512-vnni"
    AVX2 = "avx2"
    BASELINE = "baseline"
    """Whatever the compiler assumes of this architecture."""


_AVX512 = (
    "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma",
    "-mprefer-vector-width=512",
)  # fmt: skip
_MACHINE_FLAGS: dict[InstructionSet, tuple[str, ...]] = {
    InstructionSet.AVX512_BF16: (*_AVX512, "-mavx512bf16"),
    InstructionSet.AVX512_VNNI: _AVX512,
    InstructionSet.AVX2: ("-mavx2", "-mfma"),
    InstructionSet.BASELINE: (),
}
# As /proc/cpuinfo spells them; the kernel lists only what it lets programs use.
_REQUIRED = {
    InstructionSet.AVX512_BF16: {
        "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16", "fma",
    },
    InstructionSet.AVX512_VNNI: {
        "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "fma",
    },
    InstructionSet.AVX2: {"avx2", "fma"},
}  # fmt: skip


def detect(cpuinfo: Path = Path("/proc/cpuinfo")) -> InstructionSet:
    """The best instruction set of this machine."""
    if len(instruction_sets()) == 1 or not cpuinfo.exists():
        return InstructionSet.BASELINE
    lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set[str]())
    for instruction_set, required in _REQUIRED.items():
        if required <= flags:
            return instruction_set
    return InstructionSet.BASELINE


def instruction_sets() -> list[InstructionSet]:
    """All that machines of this architecture may have, best first."""
    if platform.machine() in ("x86_64", "AMD64"):
        return list(InstructionSet)
    return [InstructionSet.BASELINE]


def find_compiler() -> str:
    """The path of the C++ compiler.

    Raises:
        NativeBuildError: there is none.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise NativeBuildError(f"no C++ compiler was found (looked for {', '.join(_COMPILERS)})")
    return compiler


def build(instruction_set: InstructionSet | None = None) -> Path:
    """The compiled library for `instruction_set` (None: this machine's best); compiles if need be.

    Raises:
        NativeBuildError: there is no compiler, it failed, or no directory can be written to.
    """
    wanted = instruction_set or detect()
    if (found := library_path(wanted)) is not None:
        return found
    problems = []
    for directory in _directories():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return _compile(wanted, directory / _file_name(wanted))
        except OSError as error:
            problems.append(f"{directory}: {error.strerror or error}")
    raise NativeBuildError(
        f"the compiled engine needs a directory to write to: {'; '.join(problems)}"
    )


def library_path(instruction_set: InstructionSet) -> Path | None:
    """Where the compiled library lies, if it has been compiled."""
    for directory in _directories():
        path = directory / _file_name(instruction_set)
        if path.is_file():
            return path
    return None


def _directories() -> list[Path]:
    """Beside the sources, as byte code is; else the user's cache."""
    # Without HOME there may be no home directory at all.
    home = [Path(os.path.expanduser("~/.cache/polyhead"))]
    return [_SOURCE_DIRECTORY / "build", *(path for path in home if path.is_absolute())]


def _file_name(instruction_set: InstructionSet) -> str:
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update(" ".join((*_FLAGS, *_MACHINE_FLAGS[instruction_set])).encode())
    return f"polyhead-{digest.hexdigest()[:16]}-{instruction_set}-{platform.machine()}.so"


def _sources() -> list[Path]:
    return sorted([*_SOURCE_DIRECTORY.glob("*.h"), *_SOURCE_DIRECTORY.glob("*.cc")])


def _compile(instruction_set: InstructionSet, target: Path) -> Path:
    compiler = find_compiler()
    # One process compiles, the others wait and find what it made.
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            unfinished = Path(scratch) / target.name
            command = [
                compiler, *_FLAGS, *_MACHINE_FLAGS[instruction_set],
                str(_SOURCE_DIRECTORY / "runner.cc"), "-o", str(unfinished),
            ]  # fmt: skip
            _run(command)
            unfinished.replace(target)
    return target


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NativeBuildError(
            f"the C++ compiler must be done within {_BUILD_SECONDS} s, but was not"
        ) from None
    if done.returncode:
        last_lines = "\n".join(done.stderr.splitlines()[-5:])
        raise NativeBuildError(f"the C++ compiler failed: {last_lines}")


if __name__ == "__main__":
    for each in instruction_sets():
        print(build(each))
