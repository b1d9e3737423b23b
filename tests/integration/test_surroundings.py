"""The service where people run it: users, disks, networks, locales and clocks unlike a developer's.

In a single process, which starts in seconds; and once on Ray, for all that differs there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.clients import busy
from tests.integration.service_process import ROOT, ServiceProcess, wait_for
from tests.surroundings import Surroundings, inside, refused, sent_away

Start = Callable[..., ServiceProcess]

_UNKNOWN_USER = 54_321
_PROXY = "http://192.0.2.1:3128"
"""An address of a network that has no machines: who asks it gets no answer."""
_PROXIES = {
    name: _PROXY
    for small in ("http_proxy", "https_proxy", "all_proxy")
    for name in (small, small.upper())
}
_END_SECONDS = 60.0
_COMMAND_SECONDS = 240


@pytest.fixture(scope="module")
def namespaces() -> None:
    """They may be made here."""
    if reason := refused():
        pytest.skip(reason)


@pytest.fixture
def start(tiny_model: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a single process, of one model, somewhere."""
    with ExitStack() as ends:

        def start(
            *options: str, found: Surroundings | None = None, **environment: str
        ) -> ServiceProcess:
            started = ServiceProcess(
                tmp_path, "--single-process", "--model", str(tiny_model), *options,
                prelude="" if found is None else found.prelude, **environment,
            )  # fmt: skip
            ends.callback(started.close)
            return started

        yield start


def _said_only_json(service: ServiceProcess) -> None:
    for line in service.errors.read_text().splitlines():
        assert json.loads(line)["level"] == "info", line


def _ends(service: ServiceProcess) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=_END_SECONDS) == 0
    _said_only_json(service)


def _container(**more: Any) -> Surroundings:
    """As a container's defaults are: the only folder to write to is /var/tmp."""
    found: dict[str, Any] = {
        "user": _UNKNOWN_USER, "writable": "/var/tmp", "shared_memory": "64M", "open_files": 1024,
        "processes": 256,
    }  # fmt: skip
    return Surroundings(**found | more)


_NO_HOME = {"XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": "", "TMPDIR": "/var/tmp"}


@pytest.mark.usefixtures("namespaces")
def test_a_user_that_nobody_knows_on_a_disk_that_nobody_writes_to(tmp_path: Path) -> None:
    service = ServiceProcess(
        tmp_path, "--single-process", prelude=_container().prelude, HOME="/", XDG_DATA_HOME="",
        POLYHEAD_SUGGESTIONS="true", **_NO_HOME,
    )  # fmt: skip
    try:
        service.wait_until_ready()
        assert service.translate("The red house.").status_code == 200
        body = {"text": "Das rote Haus.", "source": "de", "target": "en"}
        assert service.client.post("/v1/translate", json=body).status_code == 200
        _said_only_json(service)
        # There is nowhere to store anything, which is said once.
        for _ in range(3):
            suggested = {"q": "a", "s": "b", "source": "en", "target": "de"}
            assert service.client.post("/suggest", json=suggested).status_code == 503
        written = Path(f"/proc/{service.process.pid}/root/var/tmp")
        assert [path.name for path in written.iterdir()] == [f"polyhead-{_UNKNOWN_USER}"]
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=_END_SECONDS) == 0
    finally:
        service.close()
    [told] = _told_of_the_store(service)
    # The first folder that is missing, which depends on the machine.
    assert told.startswith(
        "the store /.local/share/polyhead/store.db cannot be used: "
        "OSError: [Errno 30] Read-only file system: '/.local"
    )


@pytest.mark.usefixtures("namespaces")
def test_no_network_but_proxies_for_it(start: Start, tmp_path: Path) -> None:
    token = "t" * 40
    service = start(
        found=Surroundings(network=False), HOME="", POLYHEAD_ADMIN_TOKEN=token, **_PROXIES
    )
    service.wait_until_ready()
    pid = service.process.pid
    variables = os.environ | _PROXIES | {"PYTHONPATH": str(ROOT), "POLYHEAD_ADMIN_TOKEN": token}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], env=variables, cwd=tmp_path, capture_output=True, text=True,
            timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip

    def ask() -> list[int]:
        statuses = [service.translate("The red house.").status_code]
        main = "from service.cli import main; main()"
        at = ("--url", service.url)
        for command in (
            ("-c", main, "models", "reload", "tiny-en-de", *at),
            ("-c", main, "loadtest", "constant", "--rate", "5", "--seconds", "1", "--json", *at),
        ):
            ran = run(*command)
            assert ran.returncode == 0, ran.stderr
        return statuses

    assert inside(pid, ask) == [200]
    assert sent_away(pid) == {}
    # The counters count: a question for an address, and a connection.
    inside(pid, lambda: run("-c", "import socket; socket.create_connection(('192.0.2.1', 80))"))
    assert list(sent_away(pid)) == ["IpOutNoRoutes"]
    _ends(service)


@pytest.mark.usefixtures("namespaces")
def test_two_users_side_by_side(tmp_path: Path) -> None:
    """On one machine, with one folder for temporary files: each has a port, and a token."""
    with ExitStack() as ends:
        services = []
        for user in (_UNKNOWN_USER, _UNKNOWN_USER + 1):
            folder = tmp_path / str(user)
            folder.mkdir()
            started = ServiceProcess(
                folder, "--single-process", prelude=Surroundings(user=user).prelude, HOME="/",
                XDG_DATA_HOME="", **_NO_HOME,
            )  # fmt: skip
            ends.callback(started.close)
            services.append(started)
        for service in services:
            service.wait_until_ready()
            assert service.translate("The red house.").status_code == 200
        first, second = services
        _ends(first)
        assert second.translate("The red house.").status_code == 200
        token = Path(f"/var/tmp/polyhead-{_UNKNOWN_USER + 1}/admin-token-{second.port}")
        assert token.stat().st_mode & 0o777 == 0o600
        _ends(second)
        assert not token.exists()
        for user in (_UNKNOWN_USER, _UNKNOWN_USER + 1):
            Path(f"/var/tmp/polyhead-{user}").rmdir()


@pytest.mark.usefixtures("namespaces")
def test_localhost_may_mean_the_other_family(start: Start, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n")
    found = Surroundings(files={"/etc/hosts": str(hosts)})
    service = start("--host", "localhost", found=found)
    assert f"http://localhost:{service.port}" in service.wait_until_ready()
    answer = httpx.get(f"http://[::1]:{service.port}/health", timeout=60, trust_env=False)
    assert answer.status_code == 200


def test_folders_with_umlauts_in_a_locale_without_them(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Übung mit Leerzeichen"
    folder.mkdir()
    shutil.copytree(tiny_model, folder / "modèle")
    service = ServiceProcess(
        folder, "--single-process", "--model", "modèle", TMPDIR=str(folder), HOME=str(folder),
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
        POLYHEAD_STORE_URL=f"sqlite:///{folder}/store.db", POLYHEAD_SUGGESTIONS="true",
    )  # fmt: skip
    try:
        service.wait_until_ready()
        assert service.translate("The red house – a door.").status_code == 200
        suggested = {"q": "Tür", "s": "dörr", "source": "en", "target": "de"}
        assert service.client.post("/suggest", json=suggested).status_code == 200
        assert (folder / "store.db").exists()
        _ends(service)
    finally:
        service.close()


_JUMPING = """
import time

def jumping(real=time.time, file={file!r}):
    try:
        with open(file) as text:
            return real() + float(text.read())
    except (OSError, ValueError):
        return real()

time.time = jumping
"""
"""A clock that is as far ahead as a file says."""


def test_a_clock_that_jumps(tiny_model: Path, tmp_path: Path) -> None:
    ahead = tmp_path / "ahead"
    service = ServiceProcess(
        tmp_path, "--single-process", "--model", str(tiny_model),
        prelude=_JUMPING.format(file=str(ahead)), POLYHEAD_STORE_URL="",
        POLYHEAD_ACCESS__PER_ADDRESS='{"requests_per_minute": 100000}',
    )  # fmt: skip
    sentences = [f"{number} old trains are late." for number in range(100)]
    documents = []
    try:
        service.wait_until_ready()
        with busy(service.url, None):
            for seconds in (3600, -3600, 0):
                documents.append(_sent(service, sentences))
                wait_for(lambda: _state(service, documents[-1])["progress"] > 0)
                ahead.write_text(str(seconds))
                assert service.translate("The red house.").status_code == 200
            _are_done(service, documents)
        _ends(service)
    finally:
        service.close()


@pytest.mark.usefixtures("namespaces")
def test_a_disk_that_is_full(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    service = start(
        found=Surroundings(small_disks={str(disk): "2M"}), XDG_DATA_HOME=str(disk),
        POLYHEAD_STORE_URL="", POLYHEAD_DOCUMENTS__LEASE_SECONDS="2",
    )  # fmt: skip
    service.wait_until_ready()
    confirmed, problem = [], None
    while problem is None:
        assert len(confirmed) < 100
        try:
            confirmed.append(_sent(service, ["The red house."], padding=100_000))
        except httpx.HTTPStatusError as error:
            problem = error.response
    assert problem.status_code == 507, problem.text
    assert service.translate("The red house.").status_code == 200
    command = ["nsenter", "--target", str(service.process.pid), "--mount"]
    subprocess.run([*command, "mount", "-o", "remount,size=64M", str(disk)], check=True, timeout=60)
    _are_done(service, confirmed)
    told = _told_of_the_store(service)
    assert any("No space left" in line or "disk is full" in line for line in told)
    assert len(told) == len(set(told))


_ON_AN_IMAGE = """
import subprocess
from tests.surroundings import Surroundings, enter

enter(Surroundings())
subprocess.run(["mount", "-o", "loop", {image!r}, {disk!r}], check=True)
"""
"""A disk that the kernel can be told to find an error on."""


@pytest.mark.usefixtures("namespaces")
def test_a_disk_that_can_only_be_read_from_all_at_once(tiny_model: Path, tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    if not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        pytest.skip("there are no loop devices, or no mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-e", "remount-ro", image], check=True, timeout=60)
    with ExitStack() as ends:

        def start() -> ServiceProcess:
            started = ServiceProcess(
                tmp_path, "--single-process", "--model", str(tiny_model),
                prelude=_ON_AN_IMAGE.format(image=str(image), disk=str(disk)),
                XDG_DATA_HOME=str(disk), POLYHEAD_STORE_URL="",
                POLYHEAD_DOCUMENTS__LEASE_SECONDS="2",
            )  # fmt: skip
            ends.callback(started.close)
            started.wait_until_ready()
            return started

        service = start()
        confirmed = [_sent(service, ["The red house."])]
        _are_done(service, confirmed)
        confirmed.append(_sent(service, [f"{number} old trains." for number in range(300)]))
        mounts = Path(f"/proc/{service.process.pid}/mountinfo").read_text().splitlines()
        [device] = [line.split()[-2] for line in mounts if str(disk) in line.split()]
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("of a test")
        for _ in range(3):
            with pytest.raises(httpx.HTTPStatusError, match="503"):
                _sent(service, ["The red house."])
        assert service.translate("The red house.").status_code == 200
        _are_done(service, confirmed[:1])
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=_END_SECONDS) == 0
        told = _told_of_the_store(service)
        assert told
        assert len(told) == len(set(told)) <= 4
        again = start()
        _are_done(again, confirmed)


def _told_of_the_store(service: ServiceProcess) -> list[str]:
    lines = [json.loads(line) for line in service.errors.read_text().splitlines()]
    return [line["message"] for line in lines if line["logger"] == "polyhead.store"]


def _sent(service: ServiceProcess, texts: list[str], *, padding: int = 0) -> str:
    """The path of a document that is confirmed."""
    content = json.dumps(texts).encode() + b" " * padding
    answer = service.client.post(
        "/v1/documents", files={"file": ("a.json", content)}, data={"source": "en", "target": "de"}
    )
    return str(answer.raise_for_status().headers["location"])


def _state(service: ServiceProcess, path: str) -> Any:
    state = service.client.get(path).raise_for_status().json()
    assert state["state"] != "failed", state
    return state


def _are_done(service: ServiceProcess, documents: list[str]) -> None:
    for path in documents:
        wait_for(lambda path=path: _state(service, path)["state"] == "done")  # type: ignore[misc]
        assert service.client.get(f"{path}/result").status_code == 200


@pytest.mark.usefixtures("namespaces")
def test_a_container_without_a_network_on_ray(tmp_path: Path) -> None:
    found = _container(network=False, processes=2048)
    service = ServiceProcess(
        tmp_path, prelude=found.prelude, HOME="/", XDG_DATA_HOME="", POLYHEAD_ADMIN_TOKEN="t" * 40,
        **_NO_HOME, **_PROXIES,
    )  # fmt: skip
    try:
        service.wait_until_ready()
        pid = service.process.pid
        assert inside(pid, lambda: service.translate("The red house.").status_code) == 200
        assert sent_away(pid) == {}
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=_END_SECONDS) == 0
    finally:
        service.close()
