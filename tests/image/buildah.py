"""Images and containers of a storage of their own, by Debian's buildah."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Buildah", "Layer"]

_STEP_SECONDS = 3600


@dataclass(frozen=True)
class Layer:
    """What one instruction has added to an image."""

    digest: str
    num_bytes: int
    """Size of the files, not compressed."""
    made_by: str
    """The instruction; empty for a base that was imported."""


@dataclass(frozen=True)
class Buildah:
    """The program, with a storage in a folder. Containers see the networks of who starts them."""

    folder: Path
    driver: str
    """How layers are stored: overlay, or vfs where the kernel mounts no overlay here."""

    def command(self, *arguments: str) -> list[str]:
        """The command line of a call."""
        storage = ["--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run"]
        return ["buildah", *storage, "--storage-driver", self.driver, *arguments]

    def __call__(self, *arguments: str) -> str:
        """What a call prints; its messages go to standard error.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        ran = subprocess.run(
            self.command(*arguments), stdout=subprocess.PIPE, text=True, check=True,
            timeout=_STEP_SECONDS,
        )  # fmt: skip
        return ran.stdout.strip()

    def unmount(self) -> None:
        """Ends what the storage has mounted, so that its folder can be removed."""
        place = self.folder / "storage" / self.driver
        if place.is_mount():
            subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=_STEP_SECONDS)

    def has(self, image: str) -> bool:
        """Whether there is an image of this name."""
        return any(image in (each["names"] or []) for each in self._images())

    def build(
        self,
        context: Path,
        image: str,
        *,
        target: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        volumes: Mapping[Path, str],
    ) -> None:
        """Builds a target of the folder's Dockerfile, with images that are here alone.

        Args:
            context: the folder.
            image: the name of the result.
            target: the stage.
            arguments, labels: as `--build-arg` and `--label` take them.
            volumes: what the instructions see besides, read-only: files and folders, and where.
        """
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        given += [f"--label={name}={value}" for name, value in labels.items()]
        given += [f"--volume={path}:{place}:ro" for path, place in volumes.items()]
        self(
            "bud", "--pull-never", "--isolation", "chroot", "--network", "host", "--layers",
            "--format", "docker", "--target", target, "--tag", image, *given, str(context),
        )  # fmt: skip

    def import_archive(self, archive: Path, image: str) -> None:
        """Makes an image of one layer of a tar archive of a root folder."""
        container = self("from", "scratch")
        self("add", container, str(archive), "/")
        self("commit", "--format", "docker", "--rm", container, image)

    def digest(self, image: str) -> str:
        """The digest of an image's manifest, by which a name can be pinned."""
        [found] = [each for each in self._images() if image in (each["names"] or [])]
        return str(found["digest"])

    def config(self, image: str) -> dict[str, Any]:
        """How an image is run: Cmd, Entrypoint, Env, Healthcheck, Labels, User, WorkingDir."""
        config: dict[str, Any] = self._inspected(image)["Docker"]["config"]
        return config

    def layers(self, image: str) -> list[Layer]:
        """The layers of an image, the base's first."""
        description = self._inspected(image)["Docker"]
        instructions = [
            step.get("created_by", "")
            for step in description["history"]
            if not step.get("empty_layer", False)
        ]
        digests = description["rootfs"]["diff_ids"]
        sizes = self._sizes(image)
        return [
            Layer(digest, size, instruction)
            for digest, size, instruction in zip(digests, sizes, instructions, strict=True)
        ]

    @contextmanager
    def container(self, image: str) -> Iterator[tuple[str, Path]]:
        """A container of an image, removed in the end: its name, and its root folder here."""
        name = self("from", "--pull-never", image)
        try:
            yield name, Path(self("mount", name))
        finally:
            self("rm", name)

    def _sizes(self, image: str) -> list[int]:
        """The bytes of each layer, as a tar archive."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            self("push", "--quiet", "--disable-compression", image, f"dir:{scratch}/image")
            manifest = json.loads(Path(scratch, "image/manifest.json").read_text())
        return [int(layer["size"]) for layer in manifest["layers"]]

    def _inspected(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("inspect", "--type", "image", image))
        return found

    def _images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("images", "--json") or "[]") or []
        return found
