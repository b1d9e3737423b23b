"""The options that transformers writes beside a model: its shape and how it searches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.config import (
    MAX_POSITIONS,
    Activation,
    GenerationConfig,
    LengthNormalization,
    SearchRules,
    TransformerConfig,
)
from model.errors import CheckpointError, InvalidRequestError

__all__ = ["HuggingFaceOptions", "banned_ids", "read_generation", "read_object", "special_id"]

_MOST_OPTIONS_BYTES = 2**20
_ACTIVATIONS = {
    "relu": Activation.RELU,
    "gelu": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "quick_gelu": Activation.GELU_SIGMOID,
    "swish": Activation.SILU,
    "silu": Activation.SILU,
}
_MAX_LENGTH = 20
"""What transformers takes where a model says nothing; far too short for a translation."""
_LEFT_OUT: Mapping[str, tuple[Any, ...]] = {
    "min_length": (0,),
    "min_new_tokens": (0,),
    "do_sample": (False,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0.0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "exponential_decay_length_penalty": (),
    "sequence_bias": (),
    "begin_suppress_tokens": (),
    "force_words_ids": (),
    "constraints": (),
    "penalty_alpha": (),
}
"""What changes a search in transformers and has no counterpart here, with what is harmless."""


def read_object(
    files: SourceFiles, name: str, most: int = _MOST_OPTIONS_BYTES, *, needed: bool = False
) -> dict[str, Any]:
    """An object of a JSON file; empty if the file is absent and not `needed`.

    Raises:
        CheckpointError: the file is no such object, or too large.
    """
    if not needed and name not in files.names():
        return {}
    content = files.read(name, most)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{name} must be JSON, but is not: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{name} must be an object, but is {_shown(values)}")
    return values


class HuggingFaceOptions:
    """What config.json says of a model's shape.

    Args:
        values: of the file.
        problems: told of what is missing, wrong or of no kind that we have.
    """

    def __init__(self, values: Mapping[str, Any], problems: Problems) -> None:
        self.values = values
        self._problems = problems

    def size(self, name: str, default: int | None = None, least: int = 1) -> int:
        """An integer >= `least`, and below 2**24."""
        value = self._value(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**24:
            self._problems.add(
                f"`{name}` must be an integer from {least} to {2**24 - 1}, but is {_shown(value)}"
            )
            return least
        return value

    def truth(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            self._problems.add(f"`{name}` must be true or false, but is {_shown(value)}")
        return value is True

    def refuse(self, name: str, allowed: tuple[Any, ...], meaning: str) -> None:
        """A problem, unless the value is one of `allowed` or absent."""
        if (value := self.values.get(name)) is not None and value not in allowed:
            must = " or ".join(map(str, allowed))
            self._problems.add(f"`{name}` must be {must}, but is {_shown(value)}: {meaning}")

    def layers(self, *, scale_embedding: bool) -> dict[str, Any]:
        """Those fields of a TransformerConfig that are named alike in all models.

        Args:
            scale_embedding: whether a family scales embeddings where its files do not say.
        """
        width = self.size("d_model")
        both = {}
        for ours, theirs in (("d_ff", "ffn_dim"), ("num_heads", "attention_heads")):
            sizes = [self.size(f"{stack}_{theirs}") for stack in ("encoder", "decoder")]
            if sizes[0] != sizes[1]:
                self._problems.add(
                    f"`encoder_{theirs}` and `decoder_{theirs}` must be equal, but are "
                    f"{sizes[0]} and {sizes[1]}"
                )
            both[ours] = sizes[0]
        name = self.values.get("activation_function")
        if not isinstance(name, str) or name not in _ACTIVATIONS:
            self._problems.add(
                f"`activation_function` must be one of {', '.join(_ACTIVATIONS)}, but is "
                f"{_shown(name)}"
            )
            name = "relu"
        return {
            "d_model": width,
            **both,
            "num_encoder_layers": self.size("encoder_layers"),
            "num_decoder_layers": self.size("decoder_layers"),
            "activation": _ACTIVATIONS[name],
            "max_positions": self.size("max_position_embeddings", 1024),
            "scale_embedding": self.truth("scale_embedding", scale_embedding),
            "layer_norm_eps": 1e-5,
            "dropout": 0.0,
        }

    def config(self, **fields: Any) -> TransformerConfig | None:
        """The shape of our model; None if a value breaks a rule, which the problems then have."""
        try:
            return TransformerConfig(**fields)
        except InvalidRequestError as error:
            self._problems.add(str(error))
            return None

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value


def special_id(
    values: Mapping[str, Any], name: str, size: int, problems: Problems, default: int | None = None
) -> int:
    """One of the ids that options name; a list of one is one."""
    value = values.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        problems.add(f"`{name}` must be an id below {size}, but is {_shown(value)}")
        return 0
    return value


def banned_ids(values: Mapping[str, Any], size: int) -> tuple[set[int], list[str]]:
    """Ids that are never predicted, and sentences on what cannot be banned so."""
    words, single = values.get("bad_words_ids"), values.get("suppress_tokens")
    banned: set[int] = set()
    notes: list[str] = []
    rows: list[Any] = [*words] if isinstance(words, list) else []
    if isinstance(single, list):
        rows += [[token] for token in single]
    for row in rows:
        if isinstance(row, list) and len(row) == 1 and _is_id(row[0], size):
            banned.add(row[0])
        else:
            notes.append(
                f"Of `bad_words_ids`, {_shown(row)} is left out: what is banned must be one token."
            )
    return banned, notes[:10]


def read_generation(
    values: Mapping[str, Any], max_positions: int, problems: Problems
) -> tuple[GenerationConfig | None, list[str]]:
    """How a model searches if nobody says, and sentences on what is not as it was.

    Args:
        values: of generation_config.json or, where there is none, of config.json.
        max_positions: of the model.
        problems: told of values that break a rule.
    """
    notes = [
        f"`{name}` of {_shown(values[name])} is left out: there is no such thing here."
        for name, harmless in _LEFT_OUT.items()
        if values.get(name) is not None and values[name] not in harmless and values[name] != []
    ]
    early = values.get("early_stopping")
    if early not in (None, False):
        notes.append(
            f"`early_stopping` of {_shown(early)} is the search by the rules of the paper here."
        )
    longest = values.get("max_new_tokens")
    if longest is None:
        given = values.get("max_length")
        is_given = isinstance(given, int) and not isinstance(given, bool) and given != _MAX_LENGTH
        longest = given - 1 if is_given and given is not None else max_positions
    try:
        generation = GenerationConfig(
            beam_size=_given(values, "num_beams", 1),
            search=SearchRules.TRANSFORMERS if early in (None, False) else SearchRules.PAPER,
            length_normalization=LengthNormalization.MEAN,
            length_penalty=_given(values, "length_penalty", 1.0),
            max_new_tokens=min(longest, max_positions),
            forced_end=values.get("forced_eos_token_id") is not None,
            no_repeat_ngram_size=_given(values, "no_repeat_ngram_size", 0),
            repetition_penalty=_given(values, "repetition_penalty", 1.0),
        )
    except (InvalidRequestError, TypeError, ValueError) as error:
        problems.add(f"the settings of its search are not understood: {error}")
        return None, notes
    if max(generation.beam_size, generation.no_repeat_ngram_size) > MAX_POSITIONS:
        problems.add(f"`num_beams` and the like must be at most {MAX_POSITIONS}, but are more")
    return generation, notes


def _given(values: Mapping[str, Any], name: str, default: Any) -> Any:
    value = values.get(name)
    return default if value is None else value


def _is_id(value: Any, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < size


def _shown(value: Any) -> str:
    return repr(value)[:100]
