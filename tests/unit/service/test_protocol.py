"""What crosses a handle is plain enough for pickle, which knows nothing but names."""

from __future__ import annotations

import pickle

import pytest
from ray.exceptions import RayTaskError

from model.config import GenerationConfig
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    PolyheadError,
    QueueFullError,
    RequestCancelledError,
    RequestFailedError,
    TooLongForDeadlineError,
    UnsupportedLanguageError,
)
from model.text.languages import Languages
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.protocol import HostedModel, LoadedModel, ModelInfo, TranslateCall, TranslateReply

_CALL = TranslateCall(
    request_id="r",
    model=HostedModel(key="m@1", id="m", directory="m", generation={"beam_size": 2}),
    texts=("a", "b"), source="en", target="de", generation=GenerationConfig(),
)  # fmt: skip
_REPLY = TranslateReply(
    model="m",
    translations=(
        Translation(
            text="c",
            finish_reason=FinishReason.STOP,
            score=-1.0,
            hypotheses=(TranslationHypothesis(text="c", score=-1.0),),
            queue_seconds=0.1,
        ),
    ),
)
_INFO = ModelInfo(
    name="m", languages=Languages(sources=("en",), targets=("de",)), device="cpu", dtype="int8",
    num_parameters=1, max_source_tokens=9,
)  # fmt: skip
_LOADED = LoadedModel(key="m@1", id="m", bytes=1, pinned=False, calls=0)


@pytest.mark.parametrize(
    "sent", [_CALL, _REPLY, _INFO, _LOADED], ids=lambda sent: type(sent).__name__
)
def test_what_is_sent_arrives(sent: object) -> None:
    assert pickle.loads(pickle.dumps(sent)) == sent


@pytest.mark.parametrize(
    "kind",
    [
        DeadlineExceededError, EngineDeadError, InvalidRequestError, QueueFullError,
        RequestCancelledError, RequestFailedError, TooLongForDeadlineError,
        UnsupportedLanguageError,
    ],
)  # fmt: skip
def test_a_replicas_errors_arrive(kind: type[PolyheadError]) -> None:
    arrived = pickle.loads(pickle.dumps(kind("why")))
    assert (type(arrived), str(arrived)) == (kind, "why")
    carried = RayTaskError("translate", "a traceback", kind("why"), pid=1, ip="127.0.0.1")
    assert isinstance(pickle.loads(pickle.dumps(carried)).cause, kind)
