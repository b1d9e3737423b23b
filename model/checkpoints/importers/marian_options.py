"""The options that Marian writes into a model, and whether they are of a kind that we have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from model.checkpoints.importers.plain_yaml import load_yaml
from model.checkpoints.importers.problems import Problems
from model.config import (
    Activation,
    DecoderKind,
    NormOrder,
    PositionKind,
    TransformerConfig,
)
from model.errors import CheckpointError, InvalidRequestError

__all__ = ["POSITIONS", "MarianOptions", "read_yaml"]

POSITIONS = "Wpos"
"""The table of trained positions. Whether there is one counts, not what the options say of it: some
versions of Marian wrote the option and trained none."""

_MOST_YAML_BYTES = 2**20
_EPS = 1e-9
_MAX_POSITIONS = 1024
"""Most computed positions, which have no end: more than usual training has in a sentence."""

_REFUSED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("lemma-dim-emb", (0,), "factored vocabularies are not supported"),
    ("transformer-tied-layers", ([],), "layers that share weights are not supported"),
    ("ulr", (False,), "universal language representations are not supported"),
    ("transformer-no-projection", (False,), "attention without a projection is not supported"),
    ("transformer-pool", (False,), "pooled encoder states are not supported"),
    ("transformer-ffn-depth", (2,), "feed-forward networks have two layers"),
    ("transformer-decoder-ffn-depth", (0, 2), "feed-forward networks have two layers"),
    ("right-left", (False,), "models that write from right to left are not supported"),
    ("transformer-rnn-projection", (False,), "an SSRU with a projection is not supported"),
    ("layer-normalization", (False,), "norms within recurrent cells are not supported"),
    ("transformer-no-bias", (False,), "layers without biases are not supported"),
    ("transformer-no-affine", (False,), "norms without weights are not supported"),
    ("transformer-disable-position-embeddings", (False,), "there must be positions"),
    ("transformer-attention-mask", ("default",), "ALiBi is not supported"),
    ("transformer-aan-depth", (1, 2), "average attention has at most two layers"),
    ("transformer-aan-activation", ("swish",), "average attention has one activation"),
    ("transformer-aan-nogate", (False,), "average attention without gates is not supported"),
)
"""Options that must have one of some values, and what it means if they have not."""

_ACTIVATIONS = {"relu": Activation.RELU, "swish": Activation.SILU, "gelu": Activation.GELU}
_GELU_BY_SIGMOID = (1, 12, 0)
"""The last version in which gelu is x sigmoid(1.702 x)."""
_DECODERS = {
    "self-attention": DecoderKind.ATTENTION,
    "average-attention": DecoderKind.AVERAGE_ATTENTION,
    "rnn": DecoderKind.SSRU,
}
_NORMS = {("", "an"): NormOrder.POST, ("n", "a"): NormOrder.PRE}
"""What is done before and after a layer, without dropout: a adds what went in, n is a norm."""


def read_yaml(content: bytes, what: str) -> dict[str, Any]:
    """An object of YAML, without anything but plain values.

    Raises:
        CheckpointError: it is none, or too large.
    """
    if len(content) > _MOST_YAML_BYTES:
        raise CheckpointError(
            f"{what} must have at most {_MOST_YAML_BYTES} bytes, but has {len(content)}"
        )
    try:
        values = load_yaml(content.decode())
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{what} must be YAML, but is not: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{what} must be an object, but is {str(values)[:100]!r}")
    return values


class MarianOptions:
    """The options of one model.

    Args:
        values: as Marian writes them.
        problems: told of options that we have nothing for.
    """

    def __init__(self, values: Mapping[str, Any], problems: Problems) -> None:
        self._values = values
        self._problems = problems
        kind = values.get("type")
        if kind != "transformer":
            problems.add(
                f"`type` must be transformer, but is {_shown(kind)}: recurrent models, "
                "ensembles and language models are not supported"
            )
        for name, allowed, meaning in _REFUSED:
            if (value := values.get(name, allowed[0])) not in allowed:
                must = " or ".join(map(str, allowed))
                problems.add(f"`{name}` must be {must}, but is {_shown(value)}: {meaning}")
        if set(_strings(values.get("input-types", []))) - {"sequence"}:
            problems.add(
                f"`input-types` must be sequences, but are {_shown(values['input-types'])}"
            )
        self.tied_all: bool = values.get("tied-embeddings-all") is True
        """Source, target and projection are one matrix."""
        self.tied_source: bool = self.tied_all or values.get("tied-embeddings-src") is True
        """Source and target are one matrix."""
        self.tied_projection: bool = self.tied_all or values.get("tied-embeddings") is True
        """Target and projection are one matrix."""
        self.output_bias: bool = values.get("output-omit-bias", False) is False

    def config(
        self, shapes: Mapping[str, tuple[int, ...]], *, eos_id: int, unk_id: int
    ) -> TransformerConfig | None:
        """The shape of our model, with one target id more: what the decoder starts with.

        Args:
            shapes: of the tensors, which say whether positions were trained.
            eos_id, unk_id: of both vocabularies.

        Returns:
            None if something is missing or wrong; then the problems have it.
        """
        position_rows = shapes.get(POSITIONS, ())
        learned = len(position_rows) == 2
        source_size, target_size = self._vocabularies()
        decoder = self._choice("transformer-decoder-autoreg", _DECODERS, "self-attention")
        if decoder is DecoderKind.SSRU:
            self._choice("dec-cell", {"ssru": True}, None)
        d_ff = self._size("transformer-dim-ffn")
        if (decoder_ff := self._values.get("transformer-decoder-dim-ffn", 0)) not in (0, d_ff):
            self._problems.add(
                f"`transformer-decoder-dim-ffn` must be 0 or {d_ff}, but is {_shown(decoder_ff)}: "
                "both stacks have feed-forward networks of one width"
            )
        try:
            return TransformerConfig(
                src_vocab_size=source_size + self.tied_source,
                tgt_vocab_size=target_size + 1,
                d_model=self._size("dim-emb"),
                d_ff=d_ff,
                num_heads=self._size("transformer-heads"),
                num_encoder_layers=self._size("enc-depth"),
                num_decoder_layers=self._size("dec-depth"),
                norm_order=self._norm_order() or NormOrder.POST,
                final_norm=self._norms("transformer-postprocess-top", {"": False, "n": True}),
                embedding_norm=self._norms("transformer-postprocess-emb", {"": False, "n": True}),
                activation=self._activation(),
                positions=PositionKind.LEARNED if learned else PositionKind.SINUSOIDAL_FAIRSEQ,
                max_positions=position_rows[0] if learned else _MAX_POSITIONS,
                scale_embedding=not learned,
                decoder_kind=decoder or DecoderKind.ATTENTION,
                d_average=self._average_width() if decoder is _AVERAGE else 0,
                alignment_heads=((self._guided_layer(), 0),),
                shared_embeddings=self.tied_source,
                tied_projection=self.tied_projection,
                projection_bias=True,
                layer_norm_eps=_EPS,
                dropout=0.0,
                pad_id=target_size,
                bos_id=target_size,
                eos_id=eos_id,
                unk_id=unk_id,
            )
        except InvalidRequestError as error:
            self._problems.add(str(error))
            return None

    def _guided_layer(self) -> int:
        """The decoder layer whose first head is trained to align, if any is."""
        layers = self._size("dec-depth")
        number = str(self._values.get("transformer-guided-alignment-layer", "last"))
        return int(number) - 1 if number in map(str, range(1, layers + 1)) else layers - 1

    def _vocabularies(self) -> tuple[int, int]:
        """Sizes of the source's and the target's."""
        values = self._values.get("dim-vocabs")
        if not isinstance(values, list) or len(values) != 2 or not all(map(_is_size, values)):
            self._problems.add(f"`dim-vocabs` must be two sizes, but is {_shown(values)}")
            return 2, 2
        if self.tied_source and values[0] != values[1]:
            self._problems.add(f"`dim-vocabs` must be equal with tied embeddings, but is {values}")
        return values[0], values[1]

    def _activation(self) -> Activation:
        choice = self._choice("transformer-ffn-activation", _ACTIVATIONS, "swish")
        if choice is Activation.GELU and self._version() <= _GELU_BY_SIGMOID:
            return Activation.GELU_SIGMOID
        return choice or Activation.RELU

    def _version(self) -> tuple[int, ...]:
        """The version of the Marian that wrote the model; (0,) if it does not say."""
        found = re.match(r"v(\d{1,4})\.(\d{1,4})\.(\d{1,4})", str(self._values.get("version")))
        return tuple(map(int, found.groups())) if found else (0,)

    def _average_width(self) -> int:
        if self._values.get("transformer-aan-depth", 2) == 1:
            return 0
        if (width := self._size("transformer-dim-aan")) == self._values.get("dim-emb"):
            self._problems.add(
                f"`transformer-dim-aan` must not be `dim-emb`, but is {width}: Marian then has one "
                "layer fewer"
            )
        return width

    def _size(self, name: str) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or not _is_size(value):
            self._problems.add(f"`{name}` must be an integer >= 1, but is {_shown(value)}")
            return 1
        return value

    def _choice(self, name: str, choices: Mapping[str, Any], default: str | None) -> Any:
        value = self._values.get(name, default)
        if not isinstance(value, str) or value not in choices:
            must = " or ".join(choices)
            self._problems.add(f"`{name}` must be {must}, but is {_shown(value)}")
            return None
        return choices[value]

    def _norm_order(self) -> NormOrder | None:
        before, after = map(self._program, ("transformer-preprocess", "transformer-postprocess"))
        order = _NORMS.get((before, after))
        if order is None:
            self._problems.add(
                "`transformer-preprocess` and `transformer-postprocess` must be '' and 'dan', or "
                f"'n' and 'da', but are {before!r} and {after!r} beside dropout"
            )
        if order is NormOrder.PRE and "transformer-postprocess-top" not in self._values:
            self._problems.add(
                "a model with `transformer-preprocess` n must be of Marian 1.10 or newer, but is "
                "older: those normalise queries only, which is not supported"
            )
        return order

    def _norms(self, name: str, choices: Mapping[str, bool]) -> bool:
        program = self._program(name)
        if program not in choices:
            self._problems.add(f"`{name}` must be a norm or nothing, but is {program!r}")
        return choices.get(program, False)

    def _program(self, name: str) -> str:
        """What is done, one letter each, without dropout."""
        return str(self._values.get(name) or "").replace("d", "")[:100]


_AVERAGE = DecoderKind.AVERAGE_ATTENTION


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**24


def _strings(values: Any) -> Iterable[str]:
    return map(str, values) if isinstance(values, list) else [str(values)]


def _shown(value: Any) -> str:
    return repr(value)[:100]
