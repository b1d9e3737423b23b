"""Compiles the C++ sources on first use and finds the result again afterwards.

One library for each instruction set: what a machine cannot run is never loaded there. The file's
name holds a digest of the sources, the flags and the C library's version, so a library always
belongs to its sources. What lies where others may write is neither loaded nor written there.

A wheel brings portable libraries, which ask little of the C library (portable.h) and whose names do
not hold its version: where they lie beside their sources, nothing is compiled.

`python -m model.engine.native.build` compiles all that a machine of this architecture may load, for
an image that goes to other machines.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from model.errors import BackendUnavailableError, InvalidRequestError

__all__ = [
    "INSTRUCTION_SET_VARIABLE",
    "InstructionSet",
    "NativeBuildError",
    "build",
    "build_portable",
    "compile_library",
    "detect",
    "find_compiler",
    "instruction_sets",
    "library_path",
    "usable_sets",
]

INSTRUCTION_SET_VARIABLE = "POLYHEAD_INSTRUCTION_SET"
"""Names an instruction set in place of this machine's best, in the environment."""

_SOURCE_DIRECTORY = Path(__file__).parent
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = (
    "-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden",
    # Floating-point flags and errno are nobody's business here, and they cost vectorisation. The
    # order of additions stays as written: results must not depend on the batch.
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-Wno-psabi", "-pthread",
    # Loads that ARM's compiler moves to the front leave too few registers for sums.
    "-fno-schedule-insns",
    # A loop of products that begins within a cache line takes up to a tenth longer on Zen 3.
    "-falign-loops=64",
)  # fmt: skip
_PORTABLE_FLAGS = ("-DPH_PORTABLE", "-s")
_BUILD_SECONDS = 300


class NativeBuildError(BackendUnavailableError):
    """The library could not be compiled here."""


class InstructionSet(StrEnum):
    """What a library is compiled for, the best of an architecture first."""

    AVX512_BF16 = "avx512-bf16"
    AVX512_VNNI = "avx512-vnni"
    AVX_VNNI = "avx-vnni"
    AVX2 = "avx2"
    NEON_I8MM = "neon-i8mm"
    NEON_DOTPROD = "neon-dotprod"
    BASELINE = "baseline"
    """Whatever the compiler assumes of this architecture."""


_AVX512 = (
    "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma",
    "-mprefer-vector-width=512",
)  # fmt: skip
_MACHINE_FLAGS: dict[InstructionSet, tuple[str, ...]] = {
    InstructionSet.AVX512_BF16: (*_AVX512, "-mavx512bf16"),
    InstructionSet.AVX512_VNNI: _AVX512,
    InstructionSet.AVX_VNNI: ("-mavx2", "-mfma", "-mavxvnni"),
    InstructionSet.AVX2: ("-mavx2", "-mfma"),
    InstructionSet.NEON_I8MM: ("-march=armv8.2-a+dotprod+i8mm",),
    InstructionSet.NEON_DOTPROD: ("-march=armv8.2-a+dotprod",),
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
    InstructionSet.AVX_VNNI: {"avx2", "fma", "avx_vnni"},
    InstructionSet.AVX2: {"avx2", "fma"},
    InstructionSet.NEON_I8MM: {"asimddp", "i8mm"},
    InstructionSet.NEON_DOTPROD: {"asimddp"},
}  # fmt: skip
_NEON = (InstructionSet.NEON_I8MM, InstructionSet.NEON_DOTPROD)


def detect(cpuinfo: Path = Path("/proc/cpuinfo")) -> InstructionSet:
    """The best instruction set of this machine, or the one that POLYHEAD_INSTRUCTION_SET names.

    Raises:
        InvalidRequestError: it names none that this machine has.
    """
    best, *_ = usable = usable_sets(cpuinfo)
    named = os.environ.get(INSTRUCTION_SET_VARIABLE) or best
    if named not in usable:
        raise InvalidRequestError(
            f"{INSTRUCTION_SET_VARIABLE} must be one of {', '.join(usable)}, which this machine "
            f"has, but is {named!r}"
        )
    return InstructionSet(named)


def usable_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[InstructionSet]:
    """All instruction sets that this machine has, best first."""
    lines = []
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    listed = (set(line.split()) for line in lines if line.startswith(("flags", "Features")))
    flags = next(listed, set[str]())
    return [each for each in instruction_sets() if _REQUIRED.get(each, set()) <= flags]


def instruction_sets(machine: str | None = None) -> list[InstructionSet]:
    """All that machines of an architecture (None: this one) may have, best first."""
    machine = machine or platform.machine()
    if machine in ("x86_64", "AMD64"):
        return [each for each in InstructionSet if each not in _NEON]
    return [*_NEON, InstructionSet.BASELINE] if machine == "aarch64" else [InstructionSet.BASELINE]


def find_compiler(machine: str | None = None) -> str:
    """The path of the C++ compiler for an architecture (None: this one).

    Raises:
        NativeBuildError: there is none.
    """
    native = machine in (None, platform.machine())
    names = _COMPILERS if native else (f"{machine}-linux-gnu-g++",)
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise NativeBuildError(f"no C++ compiler was found (looked for {', '.join(names)})")
    return compiler


def build(instruction_set: InstructionSet | None = None) -> Path:
    """The compiled library for `instruction_set` (None: this machine's best); compiles if need be.

    Raises:
        NativeBuildError: there is no compiler, it failed, or no directory can be written to by this
            user and by nobody else.
    """
    wanted = instruction_set or detect()
    if (found := library_path(wanted)) is not None:
        return found
    problems = []
    for directory in _directories():
        try:
            _make_private(directory)
            return _compile(wanted, directory / _file_name(wanted))
        except OSError as error:
            problems.append(f"{directory}: {error.strerror or error}")
    raise NativeBuildError(
        f"the compiled engine needs a directory to write to: {'; '.join(problems)}"
    )


def build_portable(machine: str, directory: Path) -> list[Path]:
    """Compiles into `directory` all that machines of an architecture may load, whichever they are.

    Installed as `build` beside the sources, the libraries are found there.

    Args:
        machine: the architecture, as uname spells it; Debian's cross-compiler makes another's.

    Raises:
        NativeBuildError: there is no compiler, or it failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    compiler = find_compiler(machine)
    libraries = []
    for each in instruction_sets(machine):
        target = directory / _file_name(each, portable_to=machine)
        source = _SOURCE_DIRECTORY / "interface.cc"
        compile_library(source, target, each, compiler=compiler, flags=_PORTABLE_FLAGS)
        libraries.append(target)
    return libraries


def library_path(instruction_set: InstructionSet) -> Path | None:
    """Where the compiled library lies, if it has been compiled and can be trusted."""
    names = (
        _file_name(instruction_set, portable_to=platform.machine()),
        _file_name(instruction_set),
    )
    paths = (directory / name for directory in _directories() for name in names)
    return next(filter(_is_sound, paths), None)


def _directories() -> list[Path]:
    """Beside the sources, as byte code is; else the user's cache."""
    # Without HOME there may be no home directory at all.
    home = [Path(os.path.expanduser("~/.cache/polyhead"))]
    return [_SOURCE_DIRECTORY / "build", *(path for path in home if path.is_absolute())]


def _file_name(instruction_set: InstructionSet, *, portable_to: str | None = None) -> str:
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    # Machines that share a home directory may have different C libraries.
    surroundings = _PORTABLE_FLAGS if portable_to else platform.libc_ver()
    digest.update(" ".join((*_FLAGS, *_MACHINE_FLAGS[instruction_set], *surroundings)).encode())
    machine = portable_to or platform.machine()
    return f"polyhead-{digest.hexdigest()[:16]}-{instruction_set}-{machine}.so"


def _sources() -> list[Path]:
    return sorted([*_SOURCE_DIRECTORY.glob("*.h"), *_SOURCE_DIRECTORY.glob("*.cc")])


# ---- Whom to believe: what a library contains is run ---------------------------------------------


def _make_private(directory: Path) -> None:
    """Makes a directory that only its owner writes to.

    Raises:
        OSError: it cannot be made, or others may write to the one that is there.
    """
    # What lies beside the sources is for all who may read those.
    beside_sources = directory.is_relative_to(_SOURCE_DIRECTORY)
    directory.mkdir(mode=0o755 if beside_sources else 0o700, parents=True, exist_ok=True)
    if not _is_private(directory):
        raise PermissionError("others may write to it, so what it holds cannot be trusted")


def _is_private(directory: Path) -> bool:
    """Whether it is trusted, and nobody else can put another one in its place.

    Who can do that to the sources could as well change what is compiled.
    """
    real, sources = directory.resolve(), _SOURCE_DIRECTORY.resolve()
    above = {*real.parents} - {sources, *sources.parents}
    return _is_trusted(real.stat()) and all(_is_guarded(parent.stat()) for parent in above)


def _is_guarded(info: os.stat_result) -> bool:
    """Whether nobody but root and this user can rename what of theirs lies in the directory.

    A user's own group may write to it: at a umask of 002 it has no other member.
    """
    writable = 0o002 if info.st_gid in (0, os.getegid()) else 0o022
    sticky = info.st_mode & stat.S_ISVTX  # as /tmp is: each may rename only what is their own
    return info.st_uid in (0, os.geteuid()) and bool(sticky or not info.st_mode & writable)


def _is_trusted(info: os.stat_result) -> bool:
    """Whether it belongs to root, this user or the sources' owner, and nobody else may write to it.

    Those who may write to the sources may: they could as well change what is compiled.
    """
    sources = _SOURCE_DIRECTORY.stat()
    shared = sources.st_mode & (0o022 if info.st_gid == sources.st_gid else 0o002)
    return info.st_uid in (0, os.geteuid(), sources.st_uid) and not info.st_mode & 0o022 & ~shared


def _is_sound(library: Path) -> bool:
    """Whether it is there, a file and no link to one, and trusted like its directory."""
    try:
        info = library.lstat()
        return stat.S_ISREG(info.st_mode) and _is_trusted(info) and _is_private(library.parent)
    except OSError:
        return False


# ---- Compiling -----------------------------------------------------------------------------------


def _compile(instruction_set: InstructionSet, target: Path) -> Path:
    with _locked(target.parent / "lock"):
        if _is_sound(target):
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            unfinished = Path(scratch) / target.name
            compile_library(_SOURCE_DIRECTORY / "interface.cc", unfinished, instruction_set)
            _write_out(unfinished)
            unfinished.replace(target)
    return target


def compile_library(
    source: Path,
    target: Path,
    instruction_set: InstructionSet,
    *,
    compiler: str | None = None,
    flags: tuple[str, ...] = (),
) -> None:
    """Compiles a C++ source, and what it includes, to a shared library, as the engine is.

    Args:
        source, target, instruction_set: what is compiled, to where and for what.
        compiler: its path; this machine's if None.
        flags: more of them.

    Raises:
        NativeBuildError: there is no compiler, or it failed.
    """
    all_flags = (*_FLAGS, *_MACHINE_FLAGS[instruction_set], *flags)
    _run([compiler or find_compiler(), *all_flags, str(source), "-o", str(target)])


def _write_out(library: Path) -> None:
    """Onto the disk before its name is: a crash of the machine must not leave half a library."""
    library.chmod(library.stat().st_mode & 0o755)  # whatever the umask
    with library.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process compiles, the others wait and find what it made.

    Raises:
        OSError: there can be no lock here, or it is not given up in time.
    """
    with path.open("w") as lock:
        deadline = time.monotonic() + _BUILD_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another process has been compiling for {_BUILD_SECONDS} s"
                    ) from None
                time.sleep(0.1)
        yield


def _run(command: list[str]) -> None:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace",
        process_group=0,
    ) as compiler:  # fmt: skip
        try:
            _, messages = compiler.communicate(timeout=_BUILD_SECONDS)
        except BaseException as error:
            os.killpg(compiler.pid, signal.SIGKILL)  # the compiler itself is the driver's child
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise NativeBuildError(
                f"the C++ compiler must be done within {_BUILD_SECONDS} s, but was not"
            ) from None
    if compiler.returncode:
        last_lines = "\n".join(messages.splitlines()[-5:])
        raise NativeBuildError(f"the C++ compiler failed: {last_lines}")


if __name__ == "__main__":
    for each in instruction_sets():
        print(build(each))
