"""Where a model attends for a sentence, as the command tells and draws it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from model.errors import InvalidRequestError
from service.cli.attention import attention
from tests.tiny_model import build_tiny_model

TEXT = "The red house."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


def test_it_goes_to_standard_output(model: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    attention(TEXT, model=model, device="cpu", dtype="float32")
    answer = json.loads(capfdbinary.readouterr().out)
    assert answer["source_tokens"][-1] == "</s>"
    assert answer["target_tokens"][0] == "<s>"
    for kind, of, to in (
        ("encoder", "source_tokens", "source_tokens"),
        ("decoder", "target_tokens", "target_tokens"),
        ("cross", "target_tokens", "source_tokens"),
    ):
        for layer in answer[kind]["maps"]:
            for head in layer:
                assert len(head) == len(answer[of])
                assert {len(row) for row in head} == {len(answer[to])}


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_it_is_drawn(
    model: str, tmp_path: Path, ending: str, begin: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    told, drawn = tmp_path / "attention.json", tmp_path / f"attention.{ending}"
    attention(TEXT, model=model, device="cpu", dtype="float32", output=told, plot=drawn)
    assert drawn.read_bytes().startswith(begin)
    assert "translation" in json.loads(told.read_bytes())
    assert capfdbinary.readouterr().out == b""


def test_what_cannot_be_drawn_is_told_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidRequestError, match=r"ends in \.png, \.svg, \.pdf, but is map\.gif"):
        attention(TEXT, model="no such model", plot=Path("map.gif"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidRequestError, match="must find matplotlib installed"):
        attention(TEXT, model="no such model", plot=Path("map.png"))


def test_larger_maps_are_refused(model: str) -> None:
    with pytest.raises(InvalidRequestError, match="at most 10 numbers"):
        attention(TEXT, model=model, device="cpu", dtype="float32", max_numbers=10)
