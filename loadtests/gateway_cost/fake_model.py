"""A model that answers at once: what stands where `service.replica.TranslatorReplica` does."""

from __future__ import annotations

from loadtests.gateway_cost.exchange import ANSWER, MODEL, PAIR, TEXTS
from model.config import GenerationConfig
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.protocol import ModelInfo, TranslateCall, TranslateReply

__all__ = ["FakeTranslator"]


class FakeTranslator:
    """Makes a reply anew for every call, as a model would."""

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """The one answer there is.

        Raises:
            ValueError: the call is not all that the request asked for.
        """
        if call.texts != TEXTS:
            raise ValueError(f"a call must have all texts of its request, but has {call.texts}")
        usage, timings = ANSWER["usage"], ANSWER["timings"]
        count = len(call.texts)
        return TranslateReply(
            model=MODEL,
            translations=tuple(
                Translation(
                    text=translation["text"],
                    finish_reason=FinishReason(translation["finish_reason"]),
                    score=-0.5,
                    hypotheses=(TranslationHypothesis(text=translation["text"], score=-0.5),),
                    source_tokens=usage["source_tokens"] // count,
                    target_tokens=usage["target_tokens"] // count,
                    num_sentences=1,
                    **timings,
                )
                for translation in ANSWER["translations"]
            ),
        )

    async def info(self) -> ModelInfo:
        """What the gateway wants to know before it sends anything."""
        return ModelInfo(
            name=MODEL,
            pairs=(PAIR,),
            device="none",
            dtype="none",
            num_parameters=0,
            max_source_tokens=1,
            generation=GenerationConfig(),
        )
