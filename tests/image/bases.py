"""What the Dockerfile builds upon, from Debian's packages."""

from __future__ import annotations

import shlex
import subprocess

from tests.image.buildah import Buildah

__all__ = ["bases"]

_SUITE = "bookworm"
_BASE = ("python3", "ca-certificates", "usr-is-merged")
_BUILD_BASE = (*_BASE, "python3-venv", "g++")
# As in Debian's own slim images.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_LICENCES = "/usr/share/doc/*/copyright"
# With usr-is-merged nothing needs them.
_PURGED = ("usrmerge", "perl", "perl-modules-.*")
_SECONDS = 1800


def bases(buildah: Buildah) -> dict[str, str]:
    """The Dockerfile's arguments that name its bases, each by its digest.

    Raises:
        subprocess.CalledProcessError: one cannot be made.
    """
    return {
        "BASE": _base(buildah, "localhost/polyhead-check/base", _BASE),
        "BUILD_BASE": _base(buildah, "localhost/polyhead-check/build-base", _BUILD_BASE),
    }


def _base(buildah: Buildah, name: str, packages: tuple[str, ...]) -> str:
    image = f"{name}:{_SUITE}"
    if not buildah.has(image):
        archive = buildah.folder / "base.tar"
        excluded = [f"--dpkgopt=path-exclude={each}" for each in _LEFT_OUT]
        purge = f'chroot "$1" apt-get --yes purge {shlex.join(_PURGED)}'
        subprocess.run(
            [
                "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", *excluded,
                f"--dpkgopt=path-include={_LICENCES}",
                f"--customize-hook={purge}",
                _SUITE, str(archive),
            ],
            check=True,
            timeout=_SECONDS,
        )  # fmt: skip
        buildah.import_archive(archive, image)
        archive.unlink()
    return f"{name}@{buildah.digest(image)}"
