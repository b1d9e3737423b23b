"""A training recipe: everything that decides what comes out, read from one YAML file.

Text is found in the folder `data.root`, or beside the file that names it, if its path begins with
./; models, relative to the file that names them, or by the names of those that come with the
project.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from model.checkpoints.embedded import model_directory
from model.checkpoints.manifest import ModelMetadata
from model.config import GenerationConfig, TransformerConfig, without_retired_fields
from model.errors import InvalidRequestError, RecipeError
from model.training.precision import Precision
from model.training.variations import Kind

__all__ = [
    "CorpusRecipe",
    "DataRecipe",
    "OptimizerRecipe",
    "Recipe",
    "TokenizerRecipe",
    "TrainingRecipe",
    "VariationRecipe",
    "load_recipe",
    "recipe_values",
]


@dataclass(frozen=True, kw_only=True)
class CorpusRecipe:
    """One file of parallel text: `source<TAB>target` lines, plain or .xz or .gz."""

    path: str
    """In `data.root`; one that begins with ./ is relative to the recipe's own file."""
    weight: float = 1.0
    """Share of the file that an epoch draws: 0.5 is half of it, 2 is all of it twice."""
    until_epoch: int | None = None
    """Only epochs before this one (counted from 0) use the file; None is all of them."""
    back_translate: str | None = None
    """A model directory: the source is what this model makes of the target."""
    distil: str | None = None
    """A model directory: the target is what this model makes of the source."""
    drop_least_likely: float = 0.0
    """Share of the pairs to leave out: those that `scorer` finds least likely."""

    @property
    def label(self) -> str:
        """What tells it from the others, the same wherever the recipe lies."""
        return Path(self.path).name if Path(self.path).is_absolute() else self.path


@dataclass(frozen=True, kw_only=True)
class VariationRecipe:
    """Pairs that are there a second time, the way people type (model/training/variations.py)."""

    kinds: tuple[Kind, ...]
    """Applied one after the other."""
    share: float
    """The share of each file's pairs, chosen at random once."""


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Which text, what is left out of it, and what is added to it."""

    root: str = "."
    """Folder of the files below, relative to where the command is run."""
    train: tuple[CorpusRecipe, ...]
    valid: tuple[str, ...]
    reverse: bool = False
    """The first column of every file is the target."""
    variations: tuple[VariationRecipe, ...] = ()
    check_languages: bool = False
    """Leave out pairs of which a side looks like the other's language (needs py3langid)."""
    scorer: str | None = None
    """A model directory, for `drop_least_likely`."""
    valid_lines: int = 500
    """Most lines of each validation file that are translated at each validation."""
    max_tokens: int = 128
    """Pairs with a longer side are left out."""
    max_length_ratio: float = 3.0
    """Pairs of more than eight tokens whose sides differ by more than this factor are left out."""


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """The joint SentencePiece vocabulary (section 5.1 used a shared one of 37,000)."""

    vocab_size: int = 8000
    model_type: Literal["unigram", "bpe"] = "unigram"
    byte_fallback: bool = True
    """Unknown characters become bytes instead of the unknown token."""
    split_digits: bool = True
    sample_lines: int = 400_000
    """Most lines (source and target together) to learn from."""


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """Adam (section 5.3), or another one for the matrices within the layers."""

    kind: Literal["adam", "muon"] = "adam"
    """"muon": orthogonalized updates of the matrices within the layers (model/training/muon.py),
    and Adam for everything else, at the same learning rate."""
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-9
    weight_decay: float = 0.0
    schedule: Literal["paper", "linear"] = "paper"
    """"paper": D^-0.5 * min(step^-0.5, step * warmup^-1.5). "linear": warm up to `peak_lr`, then
    fall in a straight line to zero at `max_steps`."""
    peak_lr: float = 1e-3
    """For the linear schedule."""
    decay_steps: int | None = None
    """For the linear schedule: only the last so many updates fall, those before stay at `peak_lr`,
    so that `max_steps` may still change while a run is there; None: all after the warm-up fall."""
    scale: float = 1.0
    """Factor on the paper's schedule."""
    warmup_steps: int = 4000
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 is off."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How long and in what portions."""

    batch_tokens: int = 4096
    """Most tokens of the longer side in one batch, padding included."""
    accumulate: int = 1
    """Batches whose gradients are summed before one update; processes of one run share them."""
    max_steps: int = 100_000
    """Updates."""
    label_smoothing: float = 0.1
    precision: Precision = "auto"
    compile: bool = False
    """Hand the model to torch.compile: minutes at the start, faster updates on a GPU."""
    validate_every: int = 1000
    """Updates."""
    patience: int = 10
    """Stop after so many validations without a better BLEU."""
    checkpoint_every_seconds: float = 120.0
    """What an interruption can cost, beside ten updates."""
    average_checkpoints: int = 5
    """The mean of the last so many validations' weights (section 6.1) is tried as the model, beside
    the last weights and the best: the one that translates the validation files best is kept."""
    initialize_from: str | None = None
    """A model directory of the same shape, whose tokenizer and weights the run begins with."""
    seed: int = 1
    num_threads: int | None = None
    """CPU threads of each process; None leaves it to PyTorch."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The whole recipe."""

    name: str
    version: str = "1"
    license: str
    source_language: str
    target_language: str
    placeholders: bool = False
    """The model reads placeholders for what is kept in a sentence (model/text/protection.py)."""
    data: DataRecipe
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TransformerConfig; vocabulary sizes and special ids come from the tokenizer."""
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of GenerationConfig: how the finished model searches when a call does not say."""

    def metadata(self) -> ModelMetadata:
        """What the finished model is called and translates.

        Raises:
            RecipeError: no model can be called so.
        """
        try:
            return ModelMetadata(
                name=self.name,
                version=self.version,
                source_languages=(self.source_language,),
                target_languages=(self.target_language,),
                license=self.license,
                max_source_tokens=self.data.max_tokens,
                placeholders=self.placeholders,
            )
        except InvalidRequestError as error:
            raise RecipeError(str(error)) from error

    def generation_config(self) -> GenerationConfig:
        """How the finished model searches.

        Raises:
            RecipeError: no model can search like this.
        """
        try:
            return GenerationConfig(**self.generation)
        except (InvalidRequestError, TypeError) as error:
            raise RecipeError(f"generation: {error}") from error

    def transformer_config(self, vocab_size: int) -> TransformerConfig:
        """The model's shape with the tokenizer's vocabulary.

        Raises:
            RecipeError: no model can have this shape, or none that is trained here.
        """
        if foreign := sorted(set(self.model) & _NOT_IN_A_RECIPE):
            raise RecipeError(f"model must leave {foreign} to the tokenizer and the trainer")
        try:
            config = TransformerConfig.from_dict(
                {**self.model, "src_vocab_size": vocab_size, "tgt_vocab_size": vocab_size}
            )
        except InvalidRequestError as error:
            raise RecipeError(f"model: {error}") from error
        if self.data.max_tokens > config.max_positions:
            raise RecipeError(
                f"data: `max_tokens` must be at most `max_positions` ({config.max_positions}), "
                f"but is {self.data.max_tokens}"
            )
        return config


_NOT_IN_A_RECIPE = {
    "src_vocab_size", "tgt_vocab_size", "pad_id", "bos_id", "eos_id", "unk_id", "projection_bias",
}  # fmt: skip
"""The first come from the tokenizer; the fused loss would not train the last."""

_MODELS = {"back_translate", "distil", "scorer", "initialize_from"}
"""Fields that name model directories."""

_RANGES: dict[str, tuple[float, float]] = {
    "weight": (0, math.inf), "until_epoch": (1, math.inf), "valid_lines": (1, math.inf),
    "max_tokens": (2, math.inf), "max_length_ratio": (1, math.inf), "vocab_size": (1, math.inf),
    "sample_lines": (1, math.inf), "beta1": (0, 1), "beta2": (0, 1), "epsilon": (0, 1),
    "weight_decay": (0, 1), "peak_lr": (0, math.inf), "scale": (0, math.inf),
    "warmup_steps": (1, math.inf), "decay_steps": (1, math.inf), "clip_norm": (0, math.inf),
    "batch_tokens": (1, math.inf), "accumulate": (1, math.inf), "max_steps": (1, math.inf),
    "label_smoothing": (0, 1), "validate_every": (1, math.inf), "patience": (1, math.inf),
    "checkpoint_every_seconds": (0, math.inf), "average_checkpoints": (1, math.inf),
    "seed": (0, 2**63), "num_threads": (1, math.inf), "share": (0, 1.01),
    "drop_least_likely": (0, 1),
}  # fmt: skip
"""The bounds of every number in a recipe: the least, and what it must stay below."""


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; an unknown, missing or mistyped field is a RecipeError that names it.

    A recipe that `extends` another one, named relative to it, says only what is different: mappings
    are joined, everything else is replaced.
    """
    recipe: Recipe = _build(Recipe, recipe_values(path), str(path))
    recipe.metadata()
    recipe.generation_config()
    recipe.transformer_config(recipe.tokenizer.vocab_size)
    for must, does in _rules(recipe):
        if not does:
            raise RecipeError(f"{path}: {must}")
    return recipe


def recipe_values(path: Path) -> Any:
    """What a recipe and those that it extends say, together and not checked yet."""
    return _read(path, ())


def _rules(recipe: Recipe) -> Iterator[tuple[str, bool]]:
    """What must hold between fields, and whether it does: found before hours of training."""
    data, rate, training = recipe.data, recipe.optimizer, recipe.training
    yield "`train` must have a file", bool(data.train)
    yield "`valid` must have a file", bool(data.valid)
    yield "`kinds` must name a kind of variation", all(each.kinds for each in data.variations)
    yield (
        "a recipe with variations of the kind placeholders must have `placeholders: true`",
        recipe.placeholders or not any("placeholders" in each.kinds for each in data.variations),
    )
    yield (
        "a recipe with `placeholders` must have `byte_fallback` in its vocabulary",
        recipe.tokenizer.byte_fallback or not recipe.placeholders,
    )
    yield (
        "a file of `train` must have a `weight` above 0 and no `until_epoch`, or epochs run dry",
        any(corpus.weight and corpus.until_epoch is None for corpus in data.train),
    )
    yield (
        "`drop_least_likely` must have a `scorer` in `data`, but has none",
        data.scorer is not None or not any(corpus.drop_least_likely for corpus in data.train),
    )
    yield (
        "`warmup_steps` must be below `max_steps` with the linear schedule, but is "
        f"{rate.warmup_steps} of {training.max_steps}",
        rate.schedule != "linear" or rate.warmup_steps < training.max_steps,
    )
    yield (
        "a recipe with `precision` int8 must not have `compile`",
        training.precision != "int8" or not training.compile,
    )


def _read(path: Path, extended_by: tuple[Path, ...]) -> Any:
    if path.resolve() in extended_by:
        raise RecipeError(f"{path} must not extend itself, but does")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    if isinstance(values, dict):
        values = without_retired_fields(values)
    values = _with_paths(values, path.parent)
    if not isinstance(values, dict) or "extends" not in values:
        return values
    extended = path.parent / str(values.pop("extends"))
    beginning = _read(extended, (*extended_by, path.resolve()))
    return _joined(beginning, values)


class _Loader(yaml.SafeLoader):
    """Refuses the same field twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [str(key.value) for key, _ in node.value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise yaml.MarkedYAMLError(
                problem=f"fields must be given once, but {sorted(twice)} are not",
                problem_mark=node.start_mark,
            )
        return super().construct_mapping(node, deep)


def _joined(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{name: _joined(old.get(name), value) for name, value in new.items()}}


def _with_paths(values: Any, beside: Path) -> Any:
    """`values` with the paths in them that are relative to their file."""
    if isinstance(values, list):
        return [_with_paths(value, beside) for value in values]
    if not isinstance(values, dict):
        return values
    return {
        name: _with_path(name, value, beside)
        if isinstance(value, str)
        else _with_paths(value, beside)
        for name, value in values.items()
    }


def _with_path(name: str, value: str, beside: Path) -> str:
    if name in _MODELS:
        return str(beside / model_directory(value))
    if name == "path" and value.startswith("./"):
        return str((beside / value).absolute())
    return value


def _build(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where} must be a mapping, but is {type(values).__name__}")
    hints = get_type_hints(kind)
    if unknown := sorted(set(map(str, values)) - set(hints)):
        raise RecipeError(f"{where} has unknown fields {unknown}; it knows {sorted(hints)}")
    arguments = {
        name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()
    }
    for name, value in arguments.items():
        least, bound = _RANGES.get(name, (-math.inf, math.inf))
        if isinstance(value, int | float) and not least <= value < bound:
            raise RecipeError(f"{where}: `{name}` must be in [{least}, {bound}), but is {value}")
    try:
        return kind(**arguments)
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.name not in arguments]
        raise RecipeError(f"{where} is not complete ({error}); not given: {missing}") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, where)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{where} must be a list, but is {value!r}")
        of = get_args(kind)[0]
        return tuple(_convert(of, item, f"{where}[{i}]") for i, item in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise RecipeError(f"{where} must be one of {get_args(kind)}, but is {value!r}")
        return value
    plain: dict[Any, tuple[type, ...]] = {
        int | None: (int, type(None)),
        str | None: (str, type(None)),
        Mapping[str, Any]: (dict,),
    }
    expected = plain.get(kind, (kind,))
    if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
        names = " or ".join(t.__name__ for t in expected)
        raise RecipeError(f"{where} must be {names}, but is {value!r}")
    return value
