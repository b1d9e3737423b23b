"""Where settings come from, and what is refused."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel, ValidationError

from model.config import EngineConfig
from service.settings import (
    Access,
    Autoscaling,
    EngineSettings,
    Limits,
    Quota,
    RetrySettings,
    Settings,
)


def test_arguments_come_before_the_environment_and_that_before_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYHEAD_REPLICAS", "5")
    monkeypatch.setenv("POLYHEAD_GATEWAY_REPLICAS", "6")
    monkeypatch.setenv("POLYHEAD_LIMITS__MAX_TEXTS", "7")
    settings = Settings.model_validate({"replicas": 2, "limits": {"max_text_chars": 9}})
    assert (settings.replicas, settings.gateway_replicas) == (2, 6)
    assert (settings.limits.max_texts, settings.limits.max_text_chars) == (7, 9)
    assert settings.limits.max_total_chars == 50_000


def test_models_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_MODELS", "models/en-de, models/de-en,")
    assert Settings().models == ["models/en-de", "models/de-en"]


def test_variables_that_kubernetes_makes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_PORT", "tcp://10.0.0.1:8000")
    monkeypatch.setenv("POLYHEAD_SERVICE_HOST", "10.0.0.1")
    assert Settings() == Settings.model_construct(**dict(Settings()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replica": 1}, "replica"),
        ({"limits": {"max_text": 1}}, r"limits\.max_text"),
        ({"replicas": 0}, "greater than or equal to 1"),
        ({"limits": {"request_timeout_seconds": 0}}, "greater than 0"),
        ({"autoscaling": {"min_replicas": 3, "max_replicas": 2}}, "`min_replicas` must be at most"),
        ({"autoscaling": {"target_utilization": 2}}, "less than or equal to 1"),
        ({"num_gpus_per_replica": 1.5}, "must be a share of one GPU or a whole number, but is 1.5"),
        ({"engine": {"dtype": "int3"}}, "`dtype` must be one of auto, float32, bfloat16"),
        ({"engine": {"max_slots": 0}}, "`max_slots` must be an integer >= 1"),
    ],
)
def test_wrong_arguments_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate(values)


def test_a_wrong_name_in_a_section_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYHEAD_LIMITS__MAX_TEXT", "7")
    with pytest.raises(ValidationError, match=r"limits\.max_text"):
        Settings()


def test_the_engine_gets_its_own_defaults() -> None:
    assert EngineSettings().to_config() == EngineConfig()


def test_a_copy_that_travels_to_a_replica_keeps_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(replicas=3)
    monkeypatch.setenv("POLYHEAD_GATEWAY_REPLICAS", "6")
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_replica_may_finish_its_longest_request_before_it_goes() -> None:
    settings = Settings()
    assert settings.graceful_shutdown_seconds > settings.limits.request_timeout_seconds


@pytest.mark.parametrize(
    "section", [Settings, Limits, RetrySettings, EngineSettings, Autoscaling, Access, Quota]
)
def test_every_field_is_described(section: type[BaseModel]) -> None:
    plain = {
        "min_replicas",
        "max_replicas",
        "limits",
        "connections",
        "engine",
        "retry",
        "access",
        "documents",
    }
    for name, field in section.model_fields.items():
        assert field.description or name in plain, name
