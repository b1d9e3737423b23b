"""What goes to a machine with a GPU for a limited time and comes back, within its bounds.

    python -m loadtests.gpu.carry tree check --to /tmp/tree --with wheels test.tsv kernels.tar.gz
    python -m loadtests.gpu.carry tree train --to /tmp/tree --with text/en-de tokenizer.model
    python -m loadtests.gpu.carry pack MODEL --to $OUT

`tree` copies of this checkout what a purpose needs, and no more. `pack` makes numbered parts of a
folder, `cat NAME.tar.?? | tar -x`, which are put there when all are written.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from loadtests.report import as_table

__all__ = ["PURPOSES", "Bounds", "TooMuchError", "copy_tree", "pack"]

_ROOT = Path(__file__).parents[2]
_MIB = 2**20


class TooMuchError(Exception):
    """What is to be carried does not fit; the message says what must be and what was."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that is carried in one direction."""

    mib: float = 64.0
    """All files together."""
    files: int = 8
    file_mib: float = 16.0


@dataclass(frozen=True, kw_only=True)
class _Purpose:
    wanted: tuple[str, ...]
    """Patterns of paths; a star goes through folders."""
    unwanted: tuple[str, ...] = ()


_COMMON = ("pyproject.toml", "LICENSE", "model/*.py", "loadtests/*.py", "loadtests/gpu/*")
PURPOSES = {
    "check": _Purpose(
        wanted=(
            *_COMMON, "model/pretrained/en-de/*", "model/engine/native/*", "loadtests/bench/*.cc",
            "loadtests/texts/*", "tests/__init__.py", "tests/tiny_model.py",
            "tests/unit/__init__.py", "tests/unit/model/__init__.py",
            "tests/unit/model/engine/*.py",
        ),
        unwanted=("tests/unit/model/engine/native/*", "loadtests/simulation/*"),
    ),
    "train": _Purpose(
        wanted=(*_COMMON, "model/training/recipes/*", "model/engine/native/*"),
        unwanted=("loadtests/simulation/*",),
    ),
}  # fmt: skip


def copy_tree(
    purpose: str, target: Path, more: Sequence[Path] = (), *, bounds: Bounds = Bounds()
) -> dict[str, int]:
    """Copies what a purpose needs into a new folder; nothing if it does not fit.

    Args:
        purpose: of PURPOSES.
        target: is created.
        more: files and folders that are laid beside it, by their names.
        bounds: of which only `mib` counts.

    Returns:
        Bytes by top folder.

    Raises:
        FileNotFoundError: one of `more` is not there.
        TooMuchError: it is more than `bounds`.
    """
    for each in more:
        each.stat()  # of a folder that is missing, no files would be found
    wanted = PURPOSES[purpose]
    pairs = [(_ROOT / name, Path(name)) for name in _tracked() if _matches(name, wanted)]
    for each in more:
        files = [each] if each.is_file() else sorted(p for p in each.rglob("*") if p.is_file())
        pairs += [(file, Path(each.name) / file.relative_to(each)) for file in files]
    sizes: dict[str, int] = {}
    for source, name in pairs:
        top = name.parts[0] if len(name.parts) < 3 else "/".join(name.parts[:2])
        sizes[top] = sizes.get(top, 0) + source.stat().st_size
    if sum(sizes.values()) > bounds.mib * _MIB:
        raise TooMuchError(
            f"what is carried must be at most {bounds.mib:g} MiB, but is "
            f"{sum(sizes.values()) / _MIB:.1f}:\n{_table(sizes)}"
        )
    for source, name in pairs:
        to = target / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)
    return sizes


def pack(folder: Path, output: Path, *, bounds: Bounds = Bounds()) -> list[Path]:
    """Writes a folder's files into `NAME.tar.aa`, `NAME.tar.ab`, ...; parts of before are replaced.

    Args:
        folder: NAME.
        output: has other files, which count.

    Raises:
        TooMuchError: with what is there it is more than `bounds`; parts of before stay.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.add(folder, folder.name)
    data, size = packed.getbuffer(), int(bounds.file_mib * _MIB)
    parts = [data[begin : begin + size] for begin in range(0, len(data), size)]
    names = [output / f"{folder.name}.tar.{_suffix(number)}" for number in range(len(parts))]
    for path in output.glob(f"{folder.name}.tar.??.new"):
        path.unlink()  # of a call that was ended
    before = sorted(output.glob(f"{folder.name}.tar.??"))
    others = [path for path in output.rglob("*") if path.is_file() and path not in before]
    total = len(data) + sum(path.stat().st_size for path in others)
    if total > bounds.mib * _MIB or len(parts) + len(others) > bounds.files:
        raise TooMuchError(
            f"{output} must have at most {bounds.files} files and {bounds.mib:g} MiB, but would "
            f"have {len(parts) + len(others)} and {total / _MIB:.1f}"
        )
    written = [name.with_name(f"{name.name}.new") for name in names]
    for path, part in zip(written, parts, strict=True):
        path.write_bytes(part)
    # Whoever ends this process hardly ever does it within these.
    for path, name in zip(written, names, strict=True):
        path.rename(name)
    for path in set(before) - set(names):
        path.unlink()
    return names


def _suffix(number: int) -> str:
    """As `split` counts."""
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def _tracked() -> list[str]:
    """The files of this checkout that git knows; without git, all."""
    with suppress(OSError, subprocess.CalledProcessError):
        ran = subprocess.run(
            ["git", "-C", str(_ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return [name for name in ran.stdout.split("\0") if name and (_ROOT / name).is_file()]
    return [str(path.relative_to(_ROOT)) for path in _ROOT.rglob("*") if path.is_file()]


def _matches(name: str, purpose: _Purpose) -> bool:
    def among(patterns: Iterable[str]) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    return among(purpose.wanted) and not among(purpose.unwanted)


def _table(sizes: dict[str, int]) -> str:
    rows = [[name, f"{size / _MIB:.1f}"] for name, size in sorted(sizes.items())]
    return as_table((["", "MiB"], [*rows, ["all", f"{sum(sizes.values()) / _MIB:.1f}"]]))


def main() -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu.carry")
    parser.add_argument("--most-mib", type=float, default=Bounds.mib)
    parser.add_argument("--most-files", type=int, default=Bounds.files)
    parser.add_argument("--most-file-mib", type=float, default=Bounds.file_mib)
    commands = parser.add_subparsers(dest="command", required=True)
    tree = commands.add_parser("tree")
    tree.add_argument("purpose", choices=list(PURPOSES))
    tree.add_argument("--to", type=Path, required=True)
    tree.add_argument("--with", dest="more", type=Path, nargs="*", default=[])
    packing = commands.add_parser("pack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    bounds = Bounds(
        mib=arguments.most_mib, files=arguments.most_files, file_mib=arguments.most_file_mib
    )
    try:
        if arguments.command == "tree":
            sizes = copy_tree(arguments.purpose, arguments.to, arguments.more, bounds=bounds)
            print(_table(sizes))
        else:
            print(*pack(arguments.folder, arguments.to, bounds=bounds), sep="\n")
    except (TooMuchError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
