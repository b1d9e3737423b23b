"""Runs an image and checks how it behaves, in namespaces of its own: no network but loopback.

`unshare --net --pid --fork --kill-child --mount-proc python3 -m tests.image.run`, with the folder
and the driver of a storage, an image, and its target.
"""

from __future__ import annotations

import fcntl
import http.client
import socket
import struct
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.image.buildah import Buildah
from tests.image.contents import check_contents, tree, tree_changes
from tests.image.report import Report
from tests.image.service import ContainerService

__all__ = ["main"]

_START_SECONDS = 300
"""For a machine that has other work; what it took is told."""
_STOP_SECONDS = 10
"""What `docker stop` gives a container."""
_DATA = "/home/polyhead/.local"
"""What a user has stored, and, while the service runs, the operator's token."""
_WRITABLE = ("/tmp/", f"{_DATA}/")
# Made by buildah for a container, as other programs make them.
_OF_BUILDAH = ("/etc/hosts", "/etc/resolv.conf", "/run/.containerenv")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_GLOSSARY = {
    "name": "Invoices",
    "dictionaries": [{"source": "en", "target": "de", "entries": {"invoice": ["Faktura"]}}],
}


def main() -> int:
    """Checks all; 1 if something is not as it must be."""
    folder, driver, image, target = sys.argv[1:]
    buildah, report = Buildah(Path(folder), driver), Report()
    _raise_loopback()
    with buildah.container(image) as (container, root), tempfile.TemporaryDirectory() as scratch:
        check_contents(report, target, root)
        before = tree(root)
        service = ContainerService(
            buildah,
            container,
            buildah.config(image),
            Path(scratch),
            {"POLYHEAD_LOG_LEVEL": "debug"},
        )
        try:
            _check_running(report, service, buildah.config(image))
            _check_end(report, service)
        finally:
            service.close()
            if report.failures:
                print(service.output.read_text(errors="replace")[-2000:])
                print(service.errors.read_text(errors="replace")[-4000:], flush=True)
        health = buildah.config(image)["Healthcheck"]["Test"]
        report.check("not healthy when it has ended", service.execute(health[1:]) != 0)
        _check_files(report, tree_changes(before, tree(root)))
    return min(report.failures, 1)


def _check_running(report: Report, service: ContainerService, config: dict[str, object]) -> None:
    body = {"text": "Good evening.", "source": "en", "target": "de"}
    first = {}

    def answered() -> bool:
        status, answer = service.ask("POST", "/v1/translate", body)
        first.update(answer or {})
        return status == 200

    came = service.wait_for(answered, _START_SECONDS)
    seconds = time.monotonic() - service.started_at
    spent = service.cpu_seconds()
    report.check(
        "answers", came, f"first answer {seconds:.1f} s after its start, {spent:.1f} s of CPUs"
    )
    for line in service.output.read_text().splitlines():
        if line.lstrip().startswith("start "):
            print(f"    {line.strip()}")
    texts = [each["text"] for each in first.get("translations", ())]
    report.check("translates into German", texts == ["Guten Abend."], texts)
    body = {"text": "Guten Abend.", "source": "de", "target": "en"}
    _, back = service.ask("POST", "/v1/translate", body)
    texts = [each["text"] for each in (back or {}).get("translations", ())]
    report.check("translates into English", texts == ["Good evening."], texts)
    report.check("ready", service.wait_for(lambda: service.ask("GET", "/ready")[0] == 200, 60))
    report.check("runs as the image's user", str(service.user()) == config["User"], service.user())
    health = config["Healthcheck"]["Test"]  # type: ignore[index]
    report.check("healthy, by the image's own command", service.execute(health[1:]) == 0)
    status, _ = service.ask("POST", "/v1/glossaries", _GLOSSARY)
    report.check("stores what a client gives it", status in (200, 201), status)


def _check_end(report: Report, service: ContainerService) -> None:
    """SIGTERM while a long answer is being written."""
    nouns = ("house", "river", "garden", "school", "street", "forest", "window", "market")
    adjectives = ("old", "red", "small", "green")
    text = " ".join(f"The {each} {noun} is near the road." for each in adjectives for noun in nouns)
    body = {"text": text, "source": "en", "target": "de", "stream": True, "cache": False}
    with service.open("POST", "/v1/translate", body) as answer:
        began = answer.readline()
        service.terminate()
        ended_from = time.monotonic()
        rest = b""
        with suppress(http.client.IncompleteRead):
            while part := answer.read1():
                rest += part
    report.check(
        "SIGTERM: what is in work is answered",
        began.startswith(b"event: delta") and b"event: result" in rest,
        f"{rest.count(b'event: delta')} further parts after the signal",
    )
    status = service.wait(_STOP_SECONDS)
    seconds = time.monotonic() - ended_from
    report.check(
        f"ends within {_STOP_SECONDS} s, status 0", status == 0, f"{seconds:.1f} s, status {status}"
    )
    left = service.leftover()
    report.check("leaves no process", not left, left or "")


def _check_files(report: Report, changed: list[str]) -> None:
    outside = [
        path for path in changed if path not in _OF_BUILDAH and not f"{path}/".startswith(_WRITABLE)
    ]
    report.check("writes to /tmp and the data folder alone", not outside, outside or "")
    kept = [path for path in changed if path.startswith(f"{_DATA}/share/polyhead/")]
    report.check("keeps what clients stored in the data folder", bool(kept), ", ".join(kept))
    left = [path for path in changed if path.startswith("/tmp/")]
    report.check("leaves nothing in /tmp", not left, left or "")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


if __name__ == "__main__":
    sys.exit(main())
