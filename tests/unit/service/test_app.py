"""The Serve application: what it is made of, and the file that deploys it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from model.errors import InvalidRequestError
from service.app import build
from service.catalog.directories import catalog_of, engine_config
from service.catalog.entry import POOL
from service.hosting.deployments import made_of, model_application, translator_deployment
from service.observability.metrics import SHARED_MODELS
from service.settings import Autoscaling, EngineSettings, Settings
from tests.tiny_model import build_tiny_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Directories of two models."""
    folder = tmp_path_factory.mktemp("models")
    return [str(build_tiny_model(folder / name)) for name in ("en-de", "en-fr")]


def _deployments(settings: Settings) -> dict[str, Any]:
    """The deployments of a built application, by name."""
    gateway = build(settings)._bound_deployment
    [_, entries, pool] = gateway._replica_config.init_args
    translators = (translator_deployment(settings, entry) for entry in entries if not entry.shared)
    bound = (gateway, pool._bound_deployment, *(each._bound_deployment for each in translators))
    return {one.name: one for one in bound}


def test_one_deployment_of_translators_per_dedicated_model(models: list[str]) -> None:
    settings = Settings(models=models, replicas=3, gateway_replicas=2)
    deployments = _deployments(settings)
    assert set(deployments) == {"Gateway", POOL, "Translator-en-de", "Translator-en-fr"}
    assert deployments["Gateway"].num_replicas == 2
    assert deployments["Translator-en-fr"].num_replicas == 3
    # Nobody needs the pool yet.
    assert deployments[POOL]._deployment_config.autoscaling_config.min_replicas == 0


def test_small_models_share_a_pool(models: list[str]) -> None:
    settings = Settings(models=models, shared_replicas=2, shared_memory_mib=300)
    deployments = _deployments(settings)
    assert set(deployments) == {"Gateway", POOL}
    assert deployments[POOL].num_replicas == 2
    arguments = deployments[POOL]._replica_config.init_kwargs
    assert arguments["memory_budget"] == 300 * 2**20


def test_a_model_may_have_replicas_of_its_own(models: list[str]) -> None:
    records = [
        {"model": models[0], "replicas": 4},
        {"model": models[1], "autoscaling": {"min_replicas": 0, "max_replicas": 2}},
    ]
    deployments = _deployments(Settings.model_validate({"models": records}))
    assert deployments["Translator-en-de"].num_replicas == 4
    config = deployments["Translator-en-fr"]._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (0, 2)
    assert config.policy.policy_kwargs["model"] == "en-fr"


def test_the_number_of_shared_replicas_may_follow_their_load(models: list[str]) -> None:
    scaling = {"min_replicas": 1, "max_replicas": 3, "target_queue_seconds": 2}
    given: dict[str, Any] = {"models": models, "shared_autoscaling": scaling}
    pool = _deployments(Settings.model_validate(given))[POOL]
    config = pool._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (1, 3)
    assert config.policy.policy_kwargs["model"] == SHARED_MODELS
    assert config.policy.policy_kwargs["target_queue_seconds"] == 2
    # All of them together have the memory that is for models.
    one = _deployments(Settings(models=models))[POOL]._replica_config.init_kwargs
    assert pool._replica_config.init_kwargs["memory_budget"] == one["memory_budget"] // 3
    # Of a pool that nobody needs yet there is nothing.
    unused = _deployments(Settings.model_validate({**given, "replicas": 2}))[POOL]
    config = unused._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (0, 3)


def test_what_replicas_are_made_of(models: list[str]) -> None:
    def made(**given: Any) -> tuple[object, ...]:
        settings = Settings.model_validate({"models": models, "replicas": 2, **given})
        return made_of(settings, catalog_of(settings)[0])

    assert made() == made(log_requests=False, gateway_replicas=4)
    for given in (
        {"engine": {"max_slots": 8}}, {"replicas": 3}, {"autoscaling": {}},
        {"num_cpus_per_replica": 2}, {"graceful_shutdown_seconds": 1},
    ):  # fmt: skip
        assert made() != made(**given)


def test_an_application_of_a_model_has_no_ingress_that_runs(models: list[str]) -> None:
    settings = Settings(models=models, replicas=2)
    [entry, _] = catalog_of(settings)
    ingress = model_application(settings, entry, hub="polyhead")._bound_deployment
    assert ingress._deployment_config.autoscaling_config.initial_replicas == 0
    [translator] = ingress._replica_config.init_args
    translator = translator._bound_deployment
    assert (translator.name, translator.num_replicas) == ("Translator-en-de", 2)
    assert translator._replica_config.init_args == ((entry.hosted,),)
    assert translator._replica_config.init_kwargs["hub"] == "polyhead"


def test_the_embedded_models_are_the_default() -> None:
    names = {"Gateway", POOL, "Translator-en-de", "Translator-de-en"}
    assert set(_deployments(Settings(replicas=2))) == names


def test_what_asks_for_no_ray_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="`single_process` must be false with Ray Serve"):
        build(Settings(single_process=True))


def test_two_models_of_one_name_are_refused(tmp_path: Path, models: list[str]) -> None:
    other = str(build_tiny_model(tmp_path / "en-de"))
    with pytest.raises(InvalidRequestError, match="different names, but two are called 'en-de'"):
        build(Settings(models=[models[0], other]))


def test_serve_lets_through_what_gateways_and_engines_want() -> None:
    settings = Settings(replicas=2)
    deployments = _deployments(settings)
    gateway = deployments["Gateway"]
    assert gateway.max_ongoing_requests > settings.limits.max_in_flight
    translator = deployments["Translator-en-de"]
    assert translator.max_ongoing_requests >= settings.limits.max_in_flight
    for deployment in deployments.values():
        assert deployment.logging_config["enable_access_log"] is False


def test_autoscaling_takes_the_place_of_a_number_of_replicas() -> None:
    autoscaling = Autoscaling(min_replicas=2, max_replicas=5, target_queue_seconds=7)
    translator = _deployments(Settings(autoscaling=autoscaling))["Translator-en-de"]
    config = translator._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas) == (2, 5)
    assert config.policy.policy_function == "service.autoscaling.policy:QueueTimePolicy"
    assert config.policy.policy_kwargs["target_queue_seconds"] == 7


def test_only_gateways_are_kept_apart() -> None:
    assert _deployments(Settings())["Gateway"]._replica_config.max_replicas_per_node is None
    apart = _deployments(Settings(gateway_replicas=4, gateways_per_node=2))
    limits = {name: one._replica_config.max_replicas_per_node for name, one in apart.items()}
    assert limits.pop("Gateway") == 2
    assert set(limits.values()) == {None}


def test_replicas_ask_ray_for_what_they_use() -> None:
    settings = Settings(replicas=2, num_cpus_per_replica=3.5, num_gpus_per_replica=0.25)
    translator = _deployments(settings)["Translator-en-de"]
    assert translator.ray_actor_options["num_cpus"] == 3.5
    assert translator.ray_actor_options["num_gpus"] == 0.25


@pytest.mark.parametrize(
    ("cpus", "given", "threads"),
    [(0.5, None, 1), (1, None, 1), (2, None, 2), (7.9, None, 7), (2, 5, 5)],
)
def test_an_engine_has_the_threads_it_was_given_or_its_cpus(
    cpus: float, given: int | None, threads: int
) -> None:
    settings = Settings(num_cpus_per_replica=cpus, engine=EngineSettings(num_threads=given))
    assert engine_config(settings).num_threads == threads


def test_serve_sees_the_type_of_the_settings() -> None:
    # Given as a string, the arguments of `serve run` would arrive as a plain dict.
    [parameter] = inspect.signature(build).parameters.values()
    assert parameter.annotation is Settings


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "deploy").rglob("serve.yaml")),
    ids=lambda path: path.parent.relative_to(ROOT).as_posix(),
)
def test_deployment_files_fit_the_application(path: Path) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    [application] = config.applications
    assert application.import_path == "service.app:build"
    assert _deployments(Settings.model_validate(application.args))
    # An override there would replace the policy, too.
    assert application.deployments == []
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8000)
    assert config.logging_config is not None
    assert not config.logging_config.enable_access_log
