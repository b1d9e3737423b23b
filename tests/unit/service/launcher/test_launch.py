"""What `polyhead serve` finds out before it starts anything, and how it shares the machine."""

from __future__ import annotations

import inspect
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private import client

from model.engine.backends import build_runners
from model.engine.native import build as native_build
from model.errors import CheckpointError
from service.catalog.directories import engine_config
from service.launcher import launch
from service.launcher.forced_stop import STOP_SIGNALS
from service.launcher.launch import (
    Address,
    check_address,
    check_gateways,
    check_models,
    check_process_limits,
    check_store,
    reserved,
    with_compiled_engine,
    with_default_limits,
    with_default_resources,
)
from service.launcher.local_ray import LaunchError
from service.settings import Autoscaling, EngineSettings, ModelRecord, Settings
from tests.fakes import catalog_entry
from tests.tiny_model import build_tiny_model, tiny_transformer


def test_a_store_with_keys_must_be_there(tmp_path: Path) -> None:
    check_store(Settings())  # where there are no keys, none is looked for
    with pytest.raises(LaunchError, match="API keys cannot be looked up"):
        check_store(Settings(access={"keys": "required"}))
    with pytest.raises(LaunchError, match="`store_url` must be as"):
        check_store(Settings(access={"keys": "optional"}, store_url="mysql://host/name"))
    url = f"sqlite:///{tmp_path / 'store.db'}"
    check_store(Settings(access={"keys": "required"}, store_url=url))
    assert (tmp_path / "store.db").exists()


@pytest.mark.parametrize(
    ("host", "url", "public"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", False),
        ("localhost", "http://localhost:80", False),
        ("0.0.0.0", "http://127.0.0.1:80", True),
        ("::", "http://[::1]:80", True),
        ("::1", "http://[::1]:80", False),
        ("192.0.2.7", "http://192.0.2.7:80", True),
        ("translate.example", "http://translate.example:80", True),
    ],
)
def test_an_address_says_what_to_type_and_who_can(host: str, url: str, public: bool) -> None:
    address = Address(host=host, port=80)
    assert (address.url, address.public) == (url, public)


def test_gateways_that_find_no_place_on_one_machine_are_named() -> None:
    check_gateways(Settings(gateway_replicas=3))
    check_gateways(Settings(gateway_replicas=3, gateways_per_node=3))
    message = "`gateway_replicas` must be at most `gateways_per_node`, 2, on one machine, but is 3"
    with pytest.raises(LaunchError, match=message):
        check_gateways(Settings(gateway_replicas=3, gateways_per_node=2))


def test_a_free_port_is_fine_and_left_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    check_address(Address(host="127.0.0.1", port=port))
    check_address(Address(host="127.0.0.1", port=port))


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError, match=f"port {port}: Address already in use; choose"):
            check_address(Address(host="127.0.0.1", port=port))


def test_two_that_start_at_the_same_time_do_not_share_a_port() -> None:
    first, other = Address(host="127.0.0.1", port=1), Address(host="127.0.0.1", port=2)
    for _ in range(2):  # what was claimed is free again afterwards
        with reserved(first), reserved(other), pytest.raises(LaunchError, match="port 1: another"):
            reserved(first).__enter__()


def test_an_address_of_another_machine() -> None:
    with pytest.raises(LaunchError, match=r"cannot listen on 192\.0\.2\.1 port 8000"):
        check_address(Address(host="192.0.2.1", port=8000))


@pytest.mark.parametrize("host", ["not an address", "a..b", "a" * 64, ""])
def test_a_host_that_is_no_address(host: str) -> None:
    with pytest.raises(LaunchError, match="`--host` must be an address of this machine"):
        check_address(Address(host=host, port=8000))


def test_every_model_is_checked(tmp_path: Path) -> None:
    whole = build_tiny_model(tmp_path / "whole")
    check_models(Settings(models=[str(whole)]))
    damaged = build_tiny_model(tmp_path / "damaged")
    (damaged / "tokenizer.model").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"damaged: tokenizer\.model must have SHA-256"):
        check_models(Settings(models=[str(whole), str(damaged)]))
    for missing in (str(tmp_path / "missing"), "~nobody-of-this-name/model", "x" * 300):
        with pytest.raises(CheckpointError, match="must be a directory"):
            check_models(Settings(models=[missing]))


def test_two_models_of_one_name(tmp_path: Path) -> None:
    models = [str(build_tiny_model(tmp_path / parent / "tiny")) for parent in ("a", "b")]
    with pytest.raises(LaunchError, match=r"`--model`: .* different names, but two are .* 'tiny'"):
        check_models(Settings(models=models))


def test_a_model_whose_name_is_no_line(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "a\n\x1b[31mb")
    with pytest.raises(LaunchError, match=r"printable names, but one is called 'a\\n\\x1b"):
        check_models(Settings(models=[str(model)]))


def _machine(monkeypatch: pytest.MonkeyPatch, **resources: float) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: resources)


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        (Settings(models=["a"]), 2),
        (Settings(models=["a"], replicas=2), 1),
        (Settings(models=["a"], replicas=3), 1),
        (Settings(models=["a", "b"], replicas=2), 1),
        # The two that come with the project: each may have all CPUs while the other one rests.
        (Settings(), 2),
        (Settings(models=["a"], autoscaling=Autoscaling(max_replicas=4)), 1),
        (Settings(num_cpus_per_replica=1.5), 1),
        (Settings(engine=EngineSettings(num_threads=7)), 7),
    ],
)
def test_replicas_share_the_cpus(
    settings: Settings, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine(monkeypatch, CPU=2.0)
    fitted = with_default_resources(settings)
    # Ray reserves none, so that there is a place for models that are added.
    given = settings.model_dump(include=set(settings.model_fields_set))
    assert fitted.num_cpus_per_replica == given.get("num_cpus_per_replica", 0)
    assert engine_config(fitted).num_threads == threads
    assert fitted.num_gpus_per_replica == 0
    assert fitted.graceful_shutdown_seconds < 10
    patient = Settings(graceful_shutdown_seconds=30)
    assert with_default_resources(patient).graceful_shutdown_seconds == 30


@pytest.mark.parametrize(
    ("replicas", "gpus", "share"),
    [
        (1, 1.0, 1.0),
        (1, 8.0, 1.0),
        (4, 1.0, 0.25),
        (3, 1.0, 0.333),
        # Two thirds of a GPU would find no place beside each other, nor three quarters.
        (3, 2.0, 0.5),
        (4, 3.0, 0.5),
    ],
)
def test_replicas_share_the_gpus(
    replicas: int, gpus: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine(monkeypatch, CPU=16.0, GPU=gpus)
    settings = Settings(models=["a"], replicas=replicas)
    assert with_default_resources(settings).num_gpus_per_replica == share
    for engine in (EngineSettings(device="cpu"), EngineSettings(backend="native")):
        on_cpu = Settings(replicas=replicas, engine=engine)
        assert with_default_resources(on_cpu).num_gpus_per_replica == 0


def test_a_models_own_replicas_share_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, CPU=16.0, GPU=1.0)
    scaling = Autoscaling(max_replicas=2)
    records = [ModelRecord(model="a", replicas=3), ModelRecord(model="b", autoscaling=scaling)]
    assert with_default_resources(Settings(models=records)).num_gpus_per_replica == 0.2


def test_the_models_that_come_with_it_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus, share in ((1.0, 0.5), (2.0, 1.0)):
        _machine(monkeypatch, CPU=16.0, GPU=gpus)
        assert with_default_resources(Settings()).num_gpus_per_replica == share


def test_cuda_must_be_there_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, CPU=2.0)
    with pytest.raises(LaunchError, match="this machine has no CUDA device"):
        with_default_resources(Settings(engine=EngineSettings(device="cuda")))


def test_plain_pytorch_is_said_once_and_not_by_the_replicas_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(native_build, "_directories", lambda: [tmp_path])
    monkeypatch.setenv("PATH", str(tmp_path))
    settings, note = with_compiled_engine(Settings(engine=EngineSettings(device="cpu")))
    assert note is not None
    assert "no C++ compiler was found" in note
    [runner] = build_runners(tiny_transformer(), engine_config(settings))
    assert (runner.dtype, runner.notes) == ("float32", ())
    assert capsys.readouterr().out == ""


def test_with_the_compiled_engine_nothing_is_said_or_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    native_build.build()
    settings = Settings(engine=EngineSettings(device="cpu", dtype="float32"))
    assert with_compiled_engine(settings) == (settings, None)
    assert engine_config(settings).dtype == "float32"
    assert capsys.readouterr().out == ""


def test_one_signal_stops_and_the_next_ones_change_nothing() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with launch._stop_by_signal():
        with pytest.raises(launch._StopRequested):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_cpus_get_no_more_requests_than_they_answer_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "granted_cpus", lambda: 4)
    on_cpu = {"engine": {"device": "cpu"}}

    def most(**settings: Any) -> int:
        return with_default_limits(Settings(**settings)).limits.max_in_flight

    assert most(**on_cpu) == 256
    assert most(**on_cpu, gateway_replicas=2) == 128
    assert most(**on_cpu, gateway_replicas=100) == 16
    assert most(**on_cpu, limits={"max_in_flight": 7}) == 7
    assert most(engine={"device": "cuda"}) == 512


def test_a_signal_in_the_midst_of_rays_own_code_ends_quietly() -> None:
    with launch._stopped_quietly():
        try:
            raise launch._StopRequested
        except launch._StopRequested as stopped:
            raise SystemError("returned a result with an exception set") from stopped
    with pytest.raises(SystemError), launch._stopped_quietly():
        raise SystemError("something else")


def test_a_signal_is_found_behind_any_chain_of_exceptions() -> None:
    with launch._stopped_quietly():
        try:
            raise launch._StopRequested
        except launch._StopRequested:
            raise LaunchError("a replica did not start") from KeyError("explicit")
    first, second = KeyError(), ValueError()
    first.__cause__, second.__context__ = second, first
    with pytest.raises(KeyError), launch._stopped_quietly():
        raise first


def test_few_open_files_mean_fewer_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "granted_cpus", lambda: 4)
    monkeypatch.setattr(launch, "raise_open_files", lambda: 256)
    settings = with_default_limits(Settings(engine=EngineSettings(device="cpu")))
    assert settings.limits.max_in_flight == 64
    monkeypatch.setattr(launch, "free_threads", lambda: None)
    check_process_limits(settings, [])
    asked = Settings.model_validate({"limits": {"max_in_flight": 65}})
    with pytest.raises(LaunchError, match="must be at least 258 for `max_in_flight` 65, but is 25"):
        check_process_limits(asked, [])


def test_too_little_memory_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launch, "raise_open_files", lambda: 4096)
    monkeypatch.setattr(launch, "free_threads", lambda: None)
    monkeypatch.setattr(launch, "memory_limit", lambda: 345 * 2**20)
    large = replace(catalog_entry("a"), loaded_bytes=20 * 2**20)
    small = [replace(catalog_entry(name, shared=True), loaded_bytes=2**20) for name in "xyz"]
    check_process_limits(Settings(replicas=1), [])
    words = "memory must be at least 555 MiB, 60 of them .* for 3 replicas in all, but .* 345 MiB"
    with pytest.raises(LaunchError, match=words):
        check_process_limits(Settings(replicas=3), [large])
    # Models that share a replica are not there all at once.
    with pytest.raises(LaunchError, match="at least 496 MiB, 1 of them for models, for 3 rep"):
        check_process_limits(Settings(shared_replicas=3), small)


def test_a_model_that_can_never_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    model = str(build_tiny_model(tmp_path / "tiny"))
    settings = Settings(models=["en-de", model], shared_memory_mib=16, engine={"device": "cpu"})
    with pytest.raises(
        LaunchError, match=r"en-de takes \d+ MiB .* the 16 MiB of `shared_memory_mib`"
    ):
        check_models(settings)


def test_too_few_threads_are_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "raise_open_files", lambda: 4096)
    monkeypatch.setattr(launch, "free_threads", lambda: 439)
    check_process_limits(Settings(), [catalog_entry("a")])
    with pytest.raises(LaunchError, match=r"about 440 threads are needed, but .* only 439 more"):
        check_process_limits(Settings(gateway_replicas=2), [catalog_entry("a"), catalog_entry("b")])


def test_serve_waits_between_looks_as_expected() -> None:
    assert inspect.getsource(client).count("time.sleep(CLIENT_POLLING_INTERVAL_S)") > 0
