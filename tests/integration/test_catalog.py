"""Models that come, change and go in a running service, while 16 clients use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.clients import ask, busy
from tests.integration.service_process import ServiceProcess, start_polyhead, wait_for

_COMMAND_SECONDS = 240
"""For what an idle machine does in some seconds."""


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of one model under several names."""
    folder = tmp_path_factory.mktemp("catalog")
    for name in ("base", "news", "sleeper"):
        shutil.copytree(tiny_model, folder / name)
    return folder


@pytest.fixture(scope="module")
def changing(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with two gateways, a model with a replica of its own, and one that sleeps."""
    folder = tmp_path_factory.mktemp("changing")
    records = [
        {"model": str(models / "base"), "placement": "dedicated"},
        {
            "model": str(models / "sleeper"),
            "autoscaling": {"min_replicas": 0, "max_replicas": 1, "hold_seconds": 3},
        },
    ]
    started = ServiceProcess(
        folder,
        POLYHEAD_MODELS=json.dumps(records),
        POLYHEAD_GATEWAY_REPLICAS="2",
        XDG_RUNTIME_DIR=str(folder),
    )
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.close()


def _command(service: ServiceProcess, *arguments: str) -> tuple[int, str]:
    """`polyhead models ...` of the same user: its exit status, and what it says."""
    folder = service.output.parent
    process = start_polyhead(
        "models", *arguments, "--url", service.url,
        output=subprocess.PIPE, errors=subprocess.STDOUT, folder=folder,
        environment={"XDG_RUNTIME_DIR": str(folder)},
    )  # fmt: skip
    output, _ = process.communicate(timeout=_COMMAND_SECONDS)
    return process.returncode, output.decode()


def test_no_request_fails_while_models_come_change_and_go(
    changing: ServiceProcess, models: Path
) -> None:
    news = str(models / "news")
    with busy(changing.url, None, "base"):
        assert _command(changing, "add", news) == (0, "news is served\n")
        assert ask(changing.url, "news").json()["model"] == "news"
        assert _command(changing, "reload", "base") == (0, "base is loaded anew\n")
        wait_for(lambda: len(changing.pids(":Translator-base")) == 1)
    with busy(changing.url, None, "base", "news"):
        assert _command(changing, "reload", "news") == (0, "news is loaded anew\n")
        (models / "base" / "tokenizer.model").write_bytes(b"damaged")
        status, said = _command(changing, "reload", "base")
        assert (status, "tokenizer.model must have SHA-256" in said) == (1, True)
    with busy(changing.url, None, "news"):
        # The pair goes on to the models that are left.
        assert _command(changing, "remove", "base") == (0, "base is not served any more\n")
    assert changing.pids(":Translator-base") == []
    answer = ask(changing.url, "base")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "model")


def test_a_change_whose_actor_dies_leaves_nothing(changing: ServiceProcess, models: Path) -> None:
    # Whatever the actor had done by then: the next one finds out.
    token = (changing.output.parent / "polyhead" / f"admin-token-{changing.port}").read_text()
    record = {"model": str(models / "news"), "id": "doomed", "placement": "dedicated"}
    answer = httpx.post(
        f"{changing.url}/v1/models", json=record, timeout=60, trust_env=False, verify=False,
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.status_code == 202
    wait_for(lambda: changing.pids(":Translator-doomed"))
    changing.kill_one("ray::CatalogActor")

    def state() -> str:
        answer = httpx.get(
            f"{changing.url}/v1/models/doomed", timeout=60, trust_env=False, verify=False
        )
        return str(answer.json().get("state"))

    wait_for(lambda: state() in ("failed", "ready"))
    if state() == "failed":
        wait_for(lambda: changing.pids(":Translator-doomed") == [])
        assert _command(changing, "add", str(models / "news"), "--id", "doomed")[0] == 0
    assert ask(changing.url, "doomed").status_code == 200
    assert _command(changing, "remove", "doomed")[0] == 0
    wait_for(lambda: changing.pids(":Translator-doomed") == [])


def test_a_model_that_sleeps_wakes_for_a_request_and_for_nothing_else(
    changing: ServiceProcess,
) -> None:
    title = ":Translator-sleeper"
    wait_for(lambda: changing.pids(title) == [])
    for path in ("/ready", "/v1/models", "/v1/models/sleeper"):
        assert (
            httpx.get(
                f"{changing.url}{path}", timeout=60, trust_env=False, verify=False
            ).status_code
            == 200
        )
    assert changing.pids(title) == []
    started = time.monotonic()
    answer = ask(changing.url, "sleeper")
    print(f"from nothing to the first answer: {time.monotonic() - started:.1f} s")
    assert (answer.status_code, answer.json()["model"]) == (200, "sleeper")
    assert len(changing.pids(title)) == 1
    with busy(changing.url, "sleeper"):
        pass
    wait_for(lambda: changing.pids(title) == [])
