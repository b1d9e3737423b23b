"""The Serve application: what it is made of, and the file that deploys it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from model.checkpoints.embedded import DEFAULT, EMBEDDED
from service.app import build, engine_config, model_directories, translator_name
from service.settings import Autoscaling, EngineSettings, Settings

ROOT = Path(__file__).parents[3]


def _deployments(settings: Settings) -> dict[str, Any]:
    """The deployments of a built application, by name."""
    gateway = build(settings)._bound_deployment
    [_, models] = gateway._replica_config.init_args
    bound = [gateway, *(model._bound_deployment for model in models.values())]
    return {deployment.name: deployment for deployment in bound}


def test_one_deployment_of_translators_per_model() -> None:
    settings = Settings(models=["/models/en-de", "/models/en-fr"], replicas=3, gateway_replicas=2)
    deployments = _deployments(settings)
    assert set(deployments) == {"Gateway", "Translator-en-de", "Translator-en-fr"}
    assert deployments["Gateway"].num_replicas == 2
    assert deployments["Translator-en-fr"].num_replicas == 3


@pytest.mark.parametrize(
    "models", ["/models/en-de,/models/en-fr", '["/models/en-de", "/models/en-fr"]']
)
def test_the_arguments_of_serve_run_are_strings(models: str) -> None:
    settings = Settings.model_validate({"models": models, "replicas": "2"})
    assert model_directories(settings) == [Path("/models/en-de"), Path("/models/en-fr")]
    assert settings.replicas == 2


def test_the_embedded_models_are_the_default() -> None:
    assert model_directories(Settings()) == list(EMBEDDED.values())
    names = {"Gateway", "Translator-en-de", "Translator-de-en"}
    assert set(_deployments(Settings())) == names
    assert model_directories(Settings(models=["de-en"])) == [EMBEDDED["de-en"]]


def test_an_embedded_model_may_lie_elsewhere_on_another_node() -> None:
    settings = Settings(models=["en-de", str(EMBEDDED["de-en"]), "/models/en-fr"])
    deployments = _deployments(settings)
    deployments.pop("Gateway")
    given = [translator._replica_config.init_args[0] for translator in deployments.values()]
    assert given == ["en-de", "de-en", "/models/en-fr"]


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different names, but two are called 'en-de'"):
        build(Settings(models=["/a/en-de", "/b/en-de"]))


def test_serve_lets_through_what_gateways_and_engines_want() -> None:
    settings = Settings()
    deployments = _deployments(settings)
    gateway = deployments["Gateway"]
    assert gateway.max_ongoing_requests > settings.limits.max_in_flight
    translator = deployments[translator_name(DEFAULT)]
    assert translator.max_ongoing_requests >= settings.limits.max_in_flight
    for deployment in deployments.values():
        assert deployment.logging_config["enable_access_log"] is False


def test_autoscaling_takes_the_place_of_a_number_of_replicas() -> None:
    autoscaling = Autoscaling(min_replicas=2, max_replicas=5, target_queue_seconds=7)
    translator = _deployments(Settings(autoscaling=autoscaling))[translator_name(DEFAULT)]
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
    settings = Settings(num_cpus_per_replica=3.5, num_gpus_per_replica=0.25)
    translator = _deployments(settings)[translator_name(DEFAULT)]
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
