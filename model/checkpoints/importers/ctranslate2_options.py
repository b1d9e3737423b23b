"""What a CTranslate2 model says of its shape, and whether it is of a kind that we have."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from model.checkpoints.importers.ctranslate2_binary import Ctranslate2Binary
from model.checkpoints.importers.problems import Problems
from model.config import Activation, NormOrder, PositionKind, TransformerConfig
from model.errors import InvalidRequestError
from model.network.positions import sinusoidal_positions
from model.network.weights import Floats

__all__ = ["STACKS", "Ctranslate2Options"]

STACKS = ("encoder", "decoder")

_NEWEST_REVISION = 7
_EPS = 1e-5
_HEADS = 8
"""Where a model does not say."""
_MAX_POSITIONS = 1024
"""CTranslate2's own limit of a source; longer tables are not needed."""
_SAME = 2e-4
"""Tables that differ by no more from a formula are it: single precision at the last position."""

_KINDS = ("TransformerSpec", "TransformerBase", "TransformerBig", "")
_LANGUAGE_MODEL = (
    "it is a language model without an encoder, which is not supported: serve it with a server "
    "for such models, such as vLLM or llama.cpp"
)
_REFUSED_KINDS = {
    "TransformerDecoderSpec": _LANGUAGE_MODEL,
    "TransformerEncoderSpec": "it is an encoder alone, which translates nothing",
    "WhisperSpec": "it reads speech, which is not supported",
    "Wav2Vec2Spec": "it reads speech, which is not supported",
    "Wav2Vec2BertSpec": "it reads speech, which is not supported",
}
_PARTS: tuple[tuple[str, str], ...] = (
    (r"relative_attention_bias|relative_attention_max_distance", "relative positions, as of T5"),
    (r"relative_\w*position\w*|relative_\w*max_position", "relative positions"),
    (r"rotary_\w+|original_max_position_embeddings", "rotary positions"),
    (r"linear_0_noact/\w+", "gated feed-forward networks"),
    (r"[qkv]_norm/\w+", "norms of queries and keys"),
    (r"project_(in|out)/\w+", "embeddings of another width than its layers"),
    (r"(shared|input|post_attention|(pre|post)_feedforward)_layer_norm/\w+", "other layers' norms"),
    (r"moe\w*|gate/\w+|experts?\w*(/\w+)*", "mixtures of experts"),
    (r"weight_zero", "weights of 4 bits (AWQ, GPTQ)"),
    (r"conv\d/\w+", "convolutions, as of models of speech"),
    (r"memory_kv/\w+|merged_encoder_attention", "attention that reads source and target at once"),
    (r"embeddings_[1-9]\d*/\w+", "several embeddings for each source token (source features)"),
)
"""Ends of names that only models of other kinds have."""

_MEANT: tuple[tuple[str, tuple[float, ...], str], ...] = (
    ("alibi", (0,), "positions by ALiBi are not supported"),
    ("sliding_window", (0,), "attention to a window is not supported"),
    ("scale_outputs", (1,), "logits that are scaled are not supported"),
    ("final_logit_softcapping", (0,), "logits that are capped are not supported"),
    ("multi_query_attention", (0,), "heads that share keys are not supported"),
    ("embeddings_merge", (0, 1), "it is not known"),
)
"""Attributes that must have one of some values, and what it means if they have not."""
_READ = (
    "num_heads", "pre_norm", "activation", "scale_embeddings", "start_from_zero_embedding",
    "alignment_layer", "alignment_heads", "alibi_use_positive_positions", "scale_alibi",
    "embeddings/multiply_by_sqrt_depth",
)  # fmt: skip
"""Other attributes of a stack; of alignments nothing is needed, nor of what ALiBi would do."""
_OF_TEXTS = (
    "with_source_bos", "with_source_eos", "with_target_bos", "user_decoder_start_tokens",
)  # fmt: skip

_ACTIVATIONS = (
    Activation.RELU,
    Activation.GELU_TANH,
    Activation.SILU,
    Activation.GELU,
    Activation.GELU_SIGMOID,
)
"""By their codes."""


class Ctranslate2Options:
    """What the variables of a model say of its shape.

    Args:
        binary: the variables.
        settings: of config.json; empty if there is none.
        problems: told of what we have nothing for.
    """

    def __init__(
        self, binary: Ctranslate2Binary, settings: Mapping[str, Any], problems: Problems
    ) -> None:
        self._binary = binary
        self._attributes = binary.attributes()
        self._settings = settings
        self._problems = problems
        self.starts_from_zero = bool(self.attribute("decoder", "start_from_zero_embedding", 0))
        """The decoder reads zeros first, not a token."""
        self.source_embedding = _first(binary.shapes, "encoder/embeddings_0", "encoder/embeddings")
        self.target_embedding = _first(binary.shapes, "decoder/embeddings", "decoder/embeddings_0")

    def attribute(self, stack: str, name: str, default: float) -> float:
        """One of a stack's."""
        return self._attributes.get(f"{stack}/{name}", default)

    def flag(self, name: str, default: bool) -> bool:
        """One of the whole model's, of versions before 6."""
        return bool(self._attributes.get(name, default))

    def num_layers(self, stack: str) -> int:
        """The layers of a stack; none are a problem, and 1."""
        forms = (re.match(rf"{stack}/layer_(\d{{1,4}})/", name) for name in self._binary.shapes)
        found = {int(match[1]) for match in forms if match}
        if found != set(range(len(found))) or not found:
            self._problems.add(f"the {stack} must have layers from 0 on, but has {sorted(found)}")
        return max(len(found), 1)

    def is_supported_kind(self) -> bool:
        """Whether it is a translation model; if not, that is a problem."""
        kind = self._binary.kind
        if kind not in _KINDS:
            reason = _REFUSED_KINDS.get(kind, f"it is a {kind}, which is not supported")
            self._problems.add(reason)
        elif self._binary.revision > _NEWEST_REVISION:
            self._problems.add(
                f"its revision must be at most {_NEWEST_REVISION}, but is {self._binary.revision}: "
                "convert it with CTranslate2 4.8 or an older one"
            )
        elif self._settings.get("quantization_type"):
            self._problems.add(
                f"its weights have {self._settings.get('quantization_bits', 4)} bits "
                f"({self._settings['quantization_type']}), which is not supported: convert the "
                "model with another --quantization, or none"
            )
        else:
            return True
        return False

    def check_parts(self) -> None:
        """Tells of variables of other kinds of models, once for each kind."""
        names = [*self._binary.shapes, *self._attributes]
        for form, meaning in _PARTS:
            pattern = re.compile(rf"(^|.*/)({form})")
            if found := next((name for name in names if pattern.fullmatch(name)), None):
                self._problems.add(f"{meaning} are not supported, but it has {found}")
        if any(name.endswith("/gamma") and _sibling(name, "beta") not in names for name in names):
            self._problems.add("norms without a bias (RMS norms) are not supported, but it has")
        self._check_attributes()

    def config(
        self,
        *,
        source_size: int,
        target_size: int,
        shared: bool,
        start: int,
        eos_id: int,
        unk_id: int,
        bias: bool,
    ) -> TransformerConfig | None:
        """The shape of our model; None if something is missing or wrong, which is a problem.

        Args:
            source_size, target_size: ids of each side.
            shared: whether the embeddings of both sides are one matrix.
            start: what the decoder reads first.
            eos_id, unk_id: of both sides.
            bias: whether there must be one on the logits, even if the source has none.
        """
        shapes = self._binary.shapes
        width = shapes.get(self.target_embedding, (0, 1))[-1]
        ffn = shapes.get("encoder/layer_0/ffn/linear_0/weight", (1,))[0]
        positions, offset, rows = self._positions(width)
        try:
            return TransformerConfig(
                src_vocab_size=source_size,
                tgt_vocab_size=target_size,
                d_model=width,
                d_ff=ffn,
                num_heads=self._heads(),
                num_encoder_layers=self.num_layers("encoder"),
                num_decoder_layers=self.num_layers("decoder"),
                norm_order=NormOrder.PRE if self._both("pre_norm", 1) else NormOrder.POST,
                final_norm=self._both_have("layer_norm/gamma"),
                embedding_norm=self._both_have("layernorm_embedding/gamma"),
                activation=self._activation(),
                positions=positions,
                position_offset=offset,
                max_positions=rows,
                scale_embedding=self._scaled(width),
                shared_embeddings=shared,
                tied_projection=self._binary.are_same(
                    self.target_embedding, "decoder/projection/weight"
                ),
                projection_bias="decoder/projection/bias" in shapes or bias,
                attention_bias="encoder/layer_0/self_attention/linear_0/bias" in shapes,
                layer_norm_eps=self._eps(),
                dropout=0.0,
                pad_id=start,
                bos_id=start,
                eos_id=eos_id,
                unk_id=unk_id,
            )
        except InvalidRequestError as error:
            self._problems.add(str(error))
            return None

    def _check_attributes(self) -> None:
        known = {f"{stack}/{name}" for stack in STACKS for name in _READ} | set(_OF_TEXTS)
        for stack in STACKS:
            for name, allowed, meaning in _MEANT:
                known.add(f"{stack}/{name}")
                if (value := self.attribute(stack, name, allowed[0])) not in allowed:
                    must = " or ".join(map(str, allowed))
                    self._problems.add(f"`{name}` must be {must}, but is {value}: {meaning}")
        width = self._binary.shapes.get(self.target_embedding, (0, 1))[-1]
        heads = self._heads()
        head_width = width / heads
        for name, value in self._attributes.items():
            part = name.rpartition("/")[2]
            if part == "queries_scale":
                if not math.isclose(value, head_width**-0.5, rel_tol=1e-4):
                    self._problems.add(
                        f"`{name}` must be {head_width**-0.5:.4g}, but is {value:.4g}"
                    )
            elif part in ("num_heads_kv", "head_dim"):
                wanted = heads if part == "num_heads_kv" else head_width
                if value not in (wanted, 0):
                    self._problems.add(
                        f"`{name}` must be {wanted:g}, but is {value:g}: heads that share keys, or "
                        "of another width, are not supported"
                    )
            elif name not in known and not any(
                re.fullmatch(rf"(^|.*/)({form})", name) for form, _ in _PARTS
            ):
                self._problems.add(f"the attribute {name!r} is not understood")

    def _both(self, name: str, default: float) -> float:
        ours, theirs = (self.attribute(stack, name, default) for stack in STACKS)
        if ours != theirs:
            self._problems.add(
                f"`{name}` must be the same in encoder and decoder, but is {ours} and {theirs}"
            )
        return theirs

    def _heads(self) -> int:
        """Heads of an attention; what is no number of them is a problem, and 1."""
        value = self._both("num_heads", _HEADS)
        if not 1 <= value < 2**16 or value != int(value):
            self._problems.add(f"`num_heads` must be an integer >= 1, but is {value}")
            return 1
        return int(value)

    def _both_have(self, name: str) -> bool:
        ours, theirs = (f"{stack}/{name}" in self._binary.shapes for stack in STACKS)
        if ours != theirs:
            self._problems.add(f"both encoder and decoder must have {name}, or none, but one has")
        return theirs

    def _activation(self) -> Activation:
        code = self._both("activation", 0)
        if code not in range(len(_ACTIVATIONS)):
            self._problems.add(
                f"`activation` must be relu, gelu or swish (0 to {len(_ACTIVATIONS) - 1}), but is "
                f"{code}"
            )
            return Activation.RELU
        return _ACTIVATIONS[int(code)]

    def _scaled(self, width: int) -> bool:
        """Whether embeddings are multiplied by sqrt(D): a flag, or the number itself."""
        old = self._both("embeddings/multiply_by_sqrt_depth", 1)
        value = self._both("scale_embeddings", old)
        if value in (0, 1):
            return bool(value) and not self._is_float("scale_embeddings")
        if not math.isclose(value, math.sqrt(width), rel_tol=1e-3):
            self._problems.add(
                f"`scale_embeddings` must be 1 or the root of {width}, but is {value}"
            )
        return True

    def _is_float(self, name: str) -> bool:
        return isinstance(self._attributes.get(f"decoder/{name}"), float)

    def _eps(self) -> float:
        value = self._settings.get("layer_norm_epsilon")
        if value is None:
            return _EPS
        if not isinstance(value, float | int) or isinstance(value, bool):
            self._problems.add(f"`layer_norm_epsilon` must be a number, but is {str(value)[:100]}")
            return _EPS
        try:
            return float(value)
        except OverflowError:
            self._problems.add("`layer_norm_epsilon` must be a number below 1, but is larger")
            return _EPS

    def _positions(self, width: int) -> tuple[PositionKind, int, int]:
        """The kind, what is added to a position, and how many positions there are."""
        names = [f"{stack}/position_encodings/encodings" for stack in STACKS]
        if not self._both_have("position_encodings/encodings"):
            return PositionKind.SINUSOIDAL_FAIRSEQ, 1, _MAX_POSITIONS
        shapes = [self._binary.shapes.get(name, ()) for name in names]
        if any(len(shape) != 2 or shape[1] != width for shape in shapes):
            self._problems.add(f"its tables of positions must be {width} wide, but are {shapes}")
            return PositionKind.LEARNED, 0, 2
        rows = min(_MAX_POSITIONS, *(shape[0] for shape in shapes))
        tables = [self._binary.array(name)[:rows] for name in names]
        for kind in (
            PositionKind.SINUSOIDAL, PositionKind.SINUSOIDAL_FAIRSEQ, PositionKind.SINUSOIDAL_HALVES
        ):  # fmt: skip
            for offset in range(3):
                if width % 2 == 0 and width >= 4 and _are(tables, kind, offset):
                    return kind, offset, rows
        return PositionKind.LEARNED, 0, rows


def _are(tables: list[Floats], kind: PositionKind, offset: int) -> bool:
    rows, width = tables[0].shape
    formula = sinusoidal_positions(rows + offset, width, kind)[offset:]
    return all(np.allclose(table, formula, rtol=0, atol=_SAME) for table in tables)


def _first(names: Collection[str], *prefixes: str) -> str:
    found = (f"{prefix}/weight" for prefix in prefixes if f"{prefix}/weight" in names)
    return next(found, f"{prefixes[0]}/weight")


def _sibling(name: str, last: str) -> str:
    return f"{name.rpartition('/')[0]}/{last}"
