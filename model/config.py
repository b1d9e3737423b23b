"""The three configurations of a model: its shape, its search, its engine. No torch in here.

All are frozen and keyword-only; a value that breaks a rule is refused when the object is made.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from model.errors import InvalidRequestError
from model.options import option, options_of, require_integer, require_number, require_truth

__all__ = [
    "GENERATION_OPTIONS",
    "MAX_POSITIONS",
    "SEQUENCE_OPTIONS",
    "Activation",
    "DecoderKind",
    "EngineConfig",
    "GenerationConfig",
    "LengthNormalization",
    "NormOrder",
    "PositionKind",
    "Priority",
    "SearchRules",
    "TransformerConfig",
    "without_retired_fields",
]

MAX_POSITIONS = 2**14
"""The most that `max_positions` may be: what an engine reserves for each slot grows with it."""


class NormOrder(StrEnum):
    """Where layer normalisation stands in a sub-layer."""

    POST = "post"
    """LayerNorm(x + Sublayer(x)), the paper's order (section 3.1)."""
    PRE = "pre"
    """x + Sublayer(LayerNorm(x)), which trains more easily."""


class PositionKind(StrEnum):
    """How a token learns its position."""

    SINUSOIDAL = "sinusoidal"
    """Sines in the even dimensions, cosines in the odd ones (section 3.5)."""
    SINUSOIDAL_HALVES = "sinusoidal_halves"
    """The same values, all sines first and then all cosines: transformers' MarianMTModel."""
    SINUSOIDAL_FAIRSEQ = "sinusoidal_fairseq"
    """All sines, then all cosines, with the exponent i / (D / 2 - 1) instead of 2i / D: Marian,
    fairseq, M2M-100, NLLB, and CTranslate2 where it stores no table."""
    LEARNED = "learned"
    """A table of the model's own."""


class DecoderKind(StrEnum):
    """What a decoder layer learns the target's past from."""

    ATTENTION = "attention"
    """Masked self-attention (section 3.2.3)."""
    SSRU = "ssru"
    """A simpler simple recurrent unit (Kim et al., 2019), with D numbers of state."""
    AVERAGE_ATTENTION = "average_attention"
    """The mean of all inputs so far, gated (Zhang et al., 2018), with D numbers of state."""


class Activation(StrEnum):
    """The non-linearity of the feed-forward network."""

    RELU = "relu"
    GELU = "gelu"
    """x times the share of a normal distribution below x, by erf."""
    GELU_TANH = "gelu_tanh"
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    GELU_SIGMOID = "gelu_sigmoid"
    """x sigmoid(1.702 x)."""
    SILU = "silu"
    """x sigmoid(x), also called swish."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of one encoder-decoder Transformer ("Attention Is All You Need", table 3)."""

    src_vocab_size: int
    """Number of source token ids."""
    tgt_vocab_size: int
    """Number of target token ids; equal to `src_vocab_size` when the embeddings are shared."""
    d_model: int = 512
    """Width of every layer's input and output."""
    d_ff: int = 2048
    """Inner width of the feed-forward network."""
    num_heads: int = 8
    """Attention heads; must divide `d_model`."""
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    decoder_kind: DecoderKind = DecoderKind.ATTENTION
    d_average: int = 0
    """Inner width of the network over the mean in average attention; 0: the mean as it is."""
    norm_order: NormOrder = NormOrder.POST
    """Post-norm is the paper's."""
    final_norm: bool = False
    """One more layer normalisation at the end of each stack; usual with pre-norm."""
    embedding_norm: bool = False
    """A layer normalisation right after embedding and position (BART's `layernorm_embedding`)."""
    activation: Activation = Activation.RELU
    positions: PositionKind = PositionKind.SINUSOIDAL
    position_offset: int = 0
    """Added to every position before the look-up: 2 in fairseq's and BART's tables."""
    max_positions: int = 512
    """Longest source or target, in tokens."""
    scale_embedding: bool = True
    """Multiply embeddings by sqrt(d_model) (section 3.4)."""
    shared_embeddings: bool = True
    """Source and target use one embedding matrix (section 3.4)."""
    tied_projection: bool = True
    """The pre-softmax projection is the target embedding matrix (section 3.4)."""
    projection_bias: bool = False
    """A bias on the logits, as Marian has it."""
    attention_bias: bool = True
    """A bias on the four projections of attention. The paper's formulas have none; its parameter
    count is about the same with or without, and every public checkpoint carries them."""
    layer_norm_eps: float = 1e-5
    alignment_heads: tuple[tuple[int, int], ...] = ()
    """(layer, head) of each head of cross-attention whose weights, summed, tell which source token
    a target token comes from. Empty: all heads of the last layer but one, or of the second."""
    alignment_shifted: bool = False
    """Whether these heads attend to the source of the token that a step reads, and not of the one
    that it predicts (Chen et al., 2020)."""
    dropout: float = 0.1
    """On embeddings, and on each sub-layer's output before the residual sum (section 5.4)."""
    pad_id: int = 0
    """An id of the target vocabulary, as is `bos_id`."""
    bos_id: int = 1
    """What the decoder reads first."""
    eos_id: int = 2
    """Ends every source and every target, in both vocabularies."""
    unk_id: int = 3

    def __post_init__(self) -> None:
        for name, (least, most) in _SIZES.items():
            require_integer(name, getattr(self, name), least, most)
        for name, kind in _ENUMS.items():
            object.__setattr__(self, name, _member(name, getattr(self, name), kind))
        if self.d_model % self.num_heads:
            raise InvalidRequestError(
                f"`d_model` must be a multiple of `num_heads`, but is {self.d_model} "
                f"with {self.num_heads} heads"
            )
        if self.d_model % 2 and self.positions is not PositionKind.LEARNED:
            raise InvalidRequestError(
                f"`d_model` must be even for sinusoidal positions, but is {self.d_model}"
            )
        if self.d_model < 4 and self.positions is PositionKind.SINUSOIDAL_FAIRSEQ:
            raise InvalidRequestError(
                f"`d_model` must be at least 4 for {self.positions} positions, "
                f"but is {self.d_model}"
            )
        if self.d_average and self.decoder_kind is not DecoderKind.AVERAGE_ATTENTION:
            raise InvalidRequestError(
                f"`d_average` must be 0 with `decoder_kind` {self.decoder_kind}, "
                f"but is {self.d_average}"
            )
        if self.shared_embeddings and self.src_vocab_size != self.tgt_vocab_size:
            raise InvalidRequestError(
                "`src_vocab_size` and `tgt_vocab_size` must be equal with `shared_embeddings`, but "
                f"are {self.src_vocab_size} and {self.tgt_vocab_size}"
            )
        for name in (
            "final_norm", "embedding_norm", "scale_embedding", "shared_embeddings",
            "tied_projection", "projection_bias", "attention_bias", "alignment_shifted",
        ):  # fmt: skip
            require_truth(name, getattr(self, name))
        for name in ("dropout", "layer_norm_eps"):
            require_number(name, getattr(self, name))
        if not 0.0 <= self.dropout < 1.0:
            raise InvalidRequestError(f"`dropout` must be in [0, 1), but is {self.dropout}")
        if not _LEAST_EPS <= self.layer_norm_eps < 1.0:
            raise InvalidRequestError(
                f"`layer_norm_eps` must be in [{_LEAST_EPS}, 1), but is {self.layer_norm_eps}"
            )
        object.__setattr__(self, "alignment_heads", self._checked_heads())
        smaller = min(self.src_vocab_size, self.tgt_vocab_size)
        for name, end in (
            ("pad_id", self.tgt_vocab_size), ("bos_id", self.tgt_vocab_size),
            ("eos_id", smaller), ("unk_id", smaller),
        ):  # fmt: skip
            require_integer(name, getattr(self, name), 0)
            if getattr(self, name) >= end:
                raise InvalidRequestError(
                    f"`{name}` must be in [0, {end}), but is {getattr(self, name)}"
                )

    def _checked_heads(self) -> tuple[tuple[int, int], ...]:
        given: Any = self.alignment_heads
        if not isinstance(given, Sequence) or len(given) > _MOST_ALIGNMENT_HEADS:
            raise InvalidRequestError(
                f"`alignment_heads` must be a list of at most {_MOST_ALIGNMENT_HEADS} pairs "
                f"[layer, head], but is {given!r}"
            )
        for pair in given:
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise InvalidRequestError(
                    f"`alignment_heads` must have pairs [layer, head], but has {pair!r}"
                )
            layer, head = pair
            require_integer("alignment_heads[layer]", layer, 0, self.num_decoder_layers - 1)
            require_integer("alignment_heads[head]", head, 0, self.num_heads - 1)
        heads = tuple((layer, head) for layer, head in given)
        if len(set(heads)) < len(heads):
            raise InvalidRequestError(
                f"`alignment_heads` must have each head once, but is {given!r}"
            )
        return heads

    def alignment_heads_of(self, layer: int) -> tuple[int, ...]:
        """The heads of a decoder layer that align."""
        if self.alignment_heads:
            return tuple(head for each, head in self.alignment_heads if each == layer)
        # Above all in deep models the last layer prepares the prediction; the first knows little.
        last = self.num_decoder_layers - 1
        return tuple(range(self.num_heads)) if layer == max(last - 1, min(1, last)) else ()

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.num_heads

    @property
    def embedding_scale(self) -> float:
        """What token embeddings are multiplied by: sqrt(D), or 1."""
        return math.sqrt(self.d_model) if self.scale_embedding else 1.0

    @classmethod
    def base(cls, vocab_size: int = 37_000, **changes: Any) -> Self:
        """The paper's base model (table 3, first row)."""
        return cls(src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, **changes)

    @classmethod
    def big(cls, vocab_size: int = 37_000, **changes: Any) -> Self:
        """The paper's big model (table 3, last row)."""
        shape = {"d_model": 1024, "d_ff": 4096, "num_heads": 16, "dropout": 0.3} | changes
        return cls(src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, **shape)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote; an unknown or missing field is an error that names it."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidRequestError(f"unknown fields of a Transformer configuration: {unknown}")
        if missing := sorted({"src_vocab_size", "tgt_vocab_size"} - set(values)):
            raise InvalidRequestError(f"a Transformer configuration must have {missing}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


_SIZES = {
    "src_vocab_size": (1, 2**24),
    "tgt_vocab_size": (1, 2**24),
    "d_model": (1, 2**16),
    "d_ff": (1, 2**20),
    "num_heads": (1, 2**16),
    "num_encoder_layers": (1, 1000),
    "num_decoder_layers": (1, 1000),
    "d_average": (0, 2**20),
    "max_positions": (2, MAX_POSITIONS),
    "position_offset": (0, 1000),
}
"""Least and most of each size: far above any model that there is, and what a file may ask for."""

_MOST_ALIGNMENT_HEADS = 1000

_LEAST_EPS = 1e-12
"""Its square root is still far from the least number in single precision."""

_ENUMS: dict[str, type[StrEnum]] = {
    "norm_order": NormOrder,
    "activation": Activation,
    "positions": PositionKind,
    "decoder_kind": DecoderKind,
}


class LengthNormalization(StrEnum):
    """What a hypothesis' log-probability is divided by, for it to be compared with others.

    The length counts the end token and the tokens of a target prefix, as Hugging Face does.
    """

    GNMT = "gnmt"
    """((5 + length) / 6) ** length_penalty, from Wu et al. (2016), which section 6.1 refers to."""
    MEAN = "mean"
    """length ** length_penalty: Marian, Hugging Face, CTranslate2."""


class SearchRules(StrEnum):
    """When hypotheses are taken, and when a search ends. For greedy search both are the same."""

    PAPER = "paper"
    """It ends with as many finished hypotheses as the beam is wide, or when none that lives could
    still become better than those to be returned. At the limit, what ended by itself is preferred
    over what is cut off."""
    TRANSFORMERS = "transformers"
    """Hugging Face's `generate` with `early_stopping=False`: the best finished ones are kept, as
    many as the beam is wide. It ends when they are so many and the best that lives, ended here,
    would be no better than any of them. At the limit, what is cut off competes with what ended.
    With `LengthNormalization.MEAN` tokens and scores are those of `generate`."""
    MARIAN = "marian"
    """Marian's: each hypothesis that ends makes the beam narrower by one, and the search ends with
    the last of them. At the limit, what is cut off competes with what ended. With
    `LengthNormalization.MEAN` tokens and scores are those of its decoder."""


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a translation is searched for (section 6.1 gives the defaults).

    One more option is a field here, a line of PH_OPTIONS in native/interface.h, and what it does in
    decoding/, native/ and kernels/. All else follows from the field.
    """

    beam_size: int = option(4, least=1, request="Hypotheses kept at each step; 1 is greedy search.")
    """Hypotheses kept per step; 1 is greedy search."""
    length_penalty: float = option(
        0.6,
        least=0,
        most=10,
        per_sequence=True,
        request="Exponent of the length that divides a hypothesis' log-probability; higher is "
        "longer.",
    )
    """The exponent in `length_normalization`."""
    length_normalization: LengthNormalization = option(LengthNormalization.GNMT, per_sequence=True)
    search: SearchRules = option(SearchRules.PAPER, per_sequence=True)
    max_new_tokens: int | None = option(
        None,
        least=1,
        request="Longest translation of one sentence, in tokens.",
        reply="Null: as long as the source, and `max_new_tokens_over_source` more, or "
        "`max_length_factor` times as long.",
    )
    """Most target tokens, the end token and those of a target prefix included; None means the
    source's length and `max_new_tokens_over_source` more, or `max_length_factor` times as many."""
    max_new_tokens_over_source: int = option(50, least=0)
    """How many tokens a target may be longer than its source when `max_new_tokens` is None."""
    max_length_factor: float | None = option(
        None, most=100, reply="Null: `max_new_tokens_over_source` says how long."
    )
    """Instead of `max_new_tokens_over_source`, how many times as long as its source, rounded up,
    a target may be, the end tokens included: Marian's max-length-factor."""
    forced_end: bool = option(False, per_sequence=True)
    """The last token before the limit is the end token, which then costs nothing: Hugging Face's
    `forced_eos_token_id`. Such a hypothesis has been cut off all the same."""
    num_hypotheses: int = option(
        1,
        least=1,
        per_sequence=True,
        request="How many translations of each text to return, best first; at most `beam_size`. "
        "There are fewer where not as many differ in words.",
    )
    """How many finished hypotheses to return, best first; at most `beam_size`."""
    no_repeat_ngram_size: int = option(
        0,
        least=0,
        most_in_requests=100,
        per_sequence=True,
        guard=True,
        request="No sequence of this many tokens may occur twice in a translation; 0 is off.",
    )
    """No n-gram of this size may occur twice in a target; 0 switches it off."""
    repetition_penalty: float = option(
        1.0,
        least=1,
        most=10,
        per_sequence=True,
        guard=True,
        request="Above 1, tokens that the translation already has become less likely; 1 is off.",
    )
    """Above 1: log-probabilities of tokens already in the target are multiplied by it; 1 is off."""

    limit_repeats: bool = option(
        False,
        per_sequence=True,
        guard=True,
        request="Whether a translation that repeats itself more often than the text must go on "
        "otherwise, and comes without what is a loop all the same.",
    )
    """Whether a target that repeats a block of tokens again and again, more often than its source
    repeats anything, has to go on otherwise (`model.decoding.repeats`), and what is said of a word
    or a part of one too often all the same is left out of the translation (`model.text.loops`)."""

    def __post_init__(self) -> None:
        for each in GENERATION_OPTIONS:
            each.check(value := getattr(self, each.name))
            if issubclass(each.kind, StrEnum):
                object.__setattr__(self, each.name, each.kind(value))
        if self.num_hypotheses > self.beam_size:
            raise InvalidRequestError(
                f"`num_hypotheses` must be at most `beam_size` ({self.beam_size}), "
                f"but is {self.num_hypotheses}"
            )

    def target_limit(self, source_len: int, max_positions: int) -> int:
        """Most target tokens for a source of `source_len` tokens, within the model's positions."""
        if self.max_new_tokens is not None:
            wanted = self.max_new_tokens
        elif self.max_length_factor is not None:
            wanted = max(1, math.ceil(self.max_length_factor * source_len))
        else:
            wanted = source_len + self.max_new_tokens_over_source
        return min(wanted, max_positions)

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """This search with other values of some fields, by their names.

        Raises:
            InvalidRequestError: there is no such field, or a value is out of bounds.
        """
        known = [each.name for each in GENERATION_OPTIONS]
        if unknown := [name for name in changes if name not in known]:
            raise InvalidRequestError(
                f"options of a search must be {', '.join(known)}, but {unknown[0]!r} is none"
            )
        return replace(self, **changes)

    @cached_property
    def constrained(self) -> bool:
        """Whether predictions are changed, as by a repetition guard."""
        return any(getattr(self, each.name) != each.default for each in _GUARDS)

    @cached_property
    def packed(self) -> tuple[bytes, bytes]:
        """SEQUENCE_OPTIONS in their order: the integers as int32, the real numbers as float64.

        Runners that start tens of thousands of sequences a second have no time to look at each.
        """
        kinds: tuple[list[Any], list[Any]] = ([], [])
        for each in SEQUENCE_OPTIONS:
            kinds[each.kind is float].append(each.in_32_bits(self))
        integers, reals = kinds
        return struct.pack(f"={len(integers)}i", *integers), struct.pack(f"={len(reals)}d", *reals)


GENERATION_OPTIONS = options_of(GenerationConfig)
SEQUENCE_OPTIONS = tuple(each for each in GENERATION_OPTIONS if each.per_sequence)
"""Those that runners read with each sequence."""
_GUARDS = tuple(each for each in GENERATION_OPTIONS if each.guard)


class Priority(StrEnum):
    """Who goes first where several wait. What is later still has its turns."""

    INTERACTIVE = "interactive"
    """Somebody waits for it."""
    BATCH = "batch"
    """It may take the time that others leave."""


_BACKENDS = ("auto", "eager", "native", "cuda")
_DTYPES = ("auto", "float32", "bfloat16", "float64", "int8")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How much an engine holds and how it is run."""

    device: str = "auto"
    """"cpu", "cuda", or "auto": CUDA where there is one."""
    backend: str = "auto"
    """"native": compiled for the CPU. "cuda": graphs and kernels for CUDA. "eager": plain PyTorch,
    anywhere. "auto": the fast one of the device, or plain PyTorch where it cannot be had."""
    dtype: str = "auto"
    """"float32", "bfloat16", "float64" (eager only), "int8" (native only), or "auto": int8 with
    the native backend, else float32 on the CPU and bfloat16 on CUDA. In bfloat16 a sentence's
    translation may, rarely, depend on its neighbours."""
    max_slots: int | None = None
    """Rows of the KV cache, one for each hypothesis of a running sequence. The workers share them
    evenly, and `beam_size` must fit a worker's share. None means 64 for each worker with the native
    backend, 128 with eager, and on CUDA as many as fit into the memory that is free when the engine
    starts, at most 1,024: where engines share a device, each must be told its number."""
    max_waiting: int = 2048
    """Sequences that may wait for slots; one more is refused with QueueFullError."""
    batch_share: float = 0.5
    """How full those of Priority.BATCH may make the queue, as a share of `max_waiting`."""
    encode_token_budget: int | None = None
    """Most source tokens that a worker encodes between two decode steps, so that newcomers do not
    stall the running; a longer source is encoded alone. None means 2,048, and four for each of the
    worker's slots where that is more. Of large requests, at most one for each of them."""
    num_threads: int | None = None
    """CPU threads: one for each worker with the native backend, PyTorch's own with eager.
    None means as many as its affinity and its cgroups grant the process CPUs."""
    shortlist: bool = True
    """Whether a model's shortlist is used, if it has one: only those tokens are then predicted that
    words of the source are likely to become. Faster on a CPU; False predicts from all."""

    gpu_share: float = 1.0
    """Share of a GPU's memory that the engine takes at most, where several share one."""

    def __post_init__(self) -> None:
        require_integer("max_waiting", self.max_waiting, 1)
        require_number("gpu_share", self.gpu_share)
        if not 0 < self.gpu_share <= 1:
            raise InvalidRequestError(
                f"`gpu_share` must be above 0 and at most 1, but is {self.gpu_share!r}"
            )
        require_number("batch_share", self.batch_share)
        if not 0 <= self.batch_share <= 1:
            raise InvalidRequestError(
                f"`batch_share` must be from 0 to 1, but is {self.batch_share!r}"
            )
        for name in ("max_slots", "encode_token_budget", "num_threads"):
            if (value := getattr(self, name)) is not None:
                require_integer(name, value, 1)
        require_truth("shortlist", self.shortlist)
        _require_one_of("backend", self.backend, _BACKENDS)
        _require_one_of("dtype", self.dtype, _DTYPES)


_RETIRED_FIELDS = frozenset(("lower_shouting", "lowercase_all_caps"))
"""Fields of older model directories and recipes that say nothing any more."""


def without_retired_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a file, perhaps an old one, without the fields that say nothing any more."""
    return {name: value for name, value in values.items() if name not in _RETIRED_FIELDS}


def _require_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidRequestError(f"`{name}` must be one of {', '.join(allowed)}, but is {value!r}")


def _member(name: str, value: Any, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise InvalidRequestError(f"`{name}` must be one of {allowed}, but is {value!r}") from None
