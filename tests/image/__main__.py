"""Builds images from Debian's packages, runs them, and says what they hold: `make check-image`.

Needs buildah, mmdebstrap and util-linux (Debian's names), root's rights, and pip's settings where
packages come from an index of one's own. Nothing of the project need be installed.

    python3 -m tests.image [slim] [cpu] [cuda] [--folder FOLDER] [--driver vfs]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.image.bases import bases
from tests.image.buildah import Buildah, Layer
from tests.image.pip_settings import pip_volumes
from tests.image.report import Report

_ROOT = Path(__file__).parents[2]
_MOST_BYTES = {"slim": 400_000_000, "cpu": 800_000_000, "cuda": 12_000_000_000}
_MOST_MOVED_BYTES = 20_000_000
"""By a change of the code."""
_LABELS = ("title", "description", "version", "licenses", "revision", "base.name")
_PREFIX = "org.opencontainers.image."
_RUN_SECONDS = 1800


def main() -> int:
    """Builds and checks; 1 if something is not as it must be."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="polyhead-images-", dir="/var/tmp") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        buildah, report = Buildah(folder, options.driver), Report()
        try:
            for target in options.targets or ("slim", "cpu"):
                print(f"{target}:", flush=True)
                _check(report, buildah, target)
        finally:
            buildah.unmount()
    return min(report.failures, 1)


def _check(report: Report, buildah: Buildah, target: str) -> None:
    """Builds a target, runs it, and builds it again after a change of the code."""
    image = f"localhost/polyhead-check/{target}"
    build = {
        "target": target,
        "arguments": bases(buildah),
        "labels": {f"{_PREFIX}revision": _revision()},
        "volumes": pip_volumes(buildah.folder),
    }
    buildah.build(_context(buildah.folder), f"{image}:latest", **build)
    layers = buildah.layers(f"{image}:latest")
    _check_size(report, target, layers)
    _check_labels(report, buildah, f"{image}:latest")
    report.failures += _run(buildah, f"{image}:latest", target)
    buildah.build(_context(buildah.folder, touched=True), f"{image}:changed", **build)
    _check_moved(report, layers, buildah.layers(f"{image}:changed"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.image", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *_MOST_BYTES], default=[])
    parser.add_argument("--folder", type=Path, help="keeps bases and layers there for a next time")
    parser.add_argument("--driver", default="overlay", choices=["overlay", "vfs"])
    options = parser.parse_args()
    missing = [name for name in ("buildah", "mmdebstrap", "unshare") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        lacking = ", ".join(missing) or "root's rights"
        parser.error(f"{lacking} must be there, but is not (apt-get install buildah mmdebstrap)")
    return options


def _context(folder: Path, *, touched: bool = False) -> Path:
    """A copy of what images are built from; with a change of the code."""
    context = folder / ("changed" if touched else "context")
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    lines = (_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in ["Dockerfile", ".dockerignore", *(ln[1:] for ln in lines if ln.startswith("!"))]:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=ignore)
        else:
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, context / name)
    if touched:
        with (context / "service/settings.py").open("a", encoding="utf-8") as file:
            file.write("\n# A change.\n")
    return context


def _run(buildah: Buildah, image: str, target: str) -> int:
    unshare = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    module = (sys.executable, "-m", "tests.image.run")
    command = [*unshare, *module, str(buildah.folder), buildah.driver, image, target]
    return subprocess.run(command, cwd=_ROOT, timeout=_RUN_SECONDS, check=False).returncode


def _check_size(report: Report, target: str, layers: list[Layer]) -> None:
    for layer in layers:
        print(f"  {layer.num_bytes / 1e6:9.1f} MB  {layer.made_by[:80]}")
    total, most = sum(layer.num_bytes for layer in layers), _MOST_BYTES[target]
    report.check(f"at most {most / 1e6:.0f} MB", total <= most, f"{total / 1e6:.1f} MB")


def _check_labels(report: Report, buildah: Buildah, image: str) -> None:
    labels = buildah.config(image)["Labels"]
    shown = {name: labels.get(_PREFIX + name, "") for name in _LABELS}
    report.check("labels of the Open Container Initiative", all(shown.values()), json.dumps(shown))


def _check_moved(report: Report, before: list[Layer], after: list[Layer]) -> None:
    known = {layer.digest for layer in before}
    moved = sum(layer.num_bytes for layer in after if layer.digest not in known)
    report.check(
        f"a change of the code moves at most {_MOST_MOVED_BYTES / 1e6:.0f} MB",
        0 < moved <= _MOST_MOVED_BYTES,
        f"{moved / 1e6:.1f} MB",
    )


def _revision() -> str:
    command = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return ran.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
