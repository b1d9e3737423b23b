"""The wire types of the native API, as pydantic models; `/openapi.json` shows them."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    model_validator,
)

from model.config import GENERATION_OPTIONS
from model.options import Option
from model.text_options import (
    NO_TEXT_OPTIONS,
    GlossaryEntry,
    KeptSpan,
    TextFormat,
    TextOptions,
)
from model.translation import CandidateState
from service.catalog.changes import ChangeKind, ModelState
from service.gateway.api.contract import Reply

__all__ = [
    "MAX_LISTED_PAIRS",
    "Alignment",
    "AttentionMapsBody",
    "AttentionReply",
    "AttentionRequest",
    "BeamReply",
    "BeamRequest",
    "ChangeReply",
    "DetectedLanguage",
    "ErrorBody",
    "ErrorReply",
    "GenerationDefaults",
    "GenerationOptions",
    "GlossaryTerm",
    "GlossaryTranslation",
    "Hypothesis",
    "LanguageCode",
    "LanguagePair",
    "ListedModel",
    "LoadedReplica",
    "Model",
    "ModelDetails",
    "ModelList",
    "ModelName",
    "NativeRequest",
    "Term",
    "TextSpan",
    "Timings",
    "TranslateReplyBody",
    "TranslateRequest",
    "TranslationBody",
    "Usage",
    "check_entries",
    "glossary_entries",
]

_MAX_CODE_LEN = 35
"""The longest language tag that RFC 5646 (section 4.4.1) asks anybody to store."""
MAX_LISTED_PAIRS = 64
"""Most pairs of a model that are listed one by one; the broadest models have 40,602."""
_MAX_FIELDS = 64
"""Most fields of one object in a request; more than any has."""
_MAX_TERMS = 10_000
"""Most entries of a glossary, and of `keep`, that are looked at; more than `limits` may allow."""
_MAX_FORMS = 20_000
"""Most translations of all terms together: a millisecond for each thousand."""

ModelName = Annotated[str, Field(min_length=1, max_length=100)]
LanguageCode = Annotated[str, Field(min_length=1, max_length=_MAX_CODE_LEN)]

_SENTENCE = "The animal didn't cross the street because it was tired."
_TRANSLATION = "Das Tier überquerte die Straße nicht, weil es müde war."


class NativeRequest(BaseModel):
    """An object in a request: unknown fields are refused, and no type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    # Writing down an error takes far longer than reading the field or list item at fault, so the
    # number of errors is bounded: here, and by `fail_fast` below.
    @model_validator(mode="before")
    @classmethod
    def _check_number_of_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MAX_FIELDS:
            raise ValueError(
                f"an object must have at most {_MAX_FIELDS} fields, but has {len(value)}"
            )
        return value


def _request_field(option: Option) -> Any:
    """The field of a request that chooses an option."""
    if option.kind is bool:
        return bool | None, Field(default=None, description=option.request)
    rules = Field(
        default=None, ge=option.least, le=option.most_in_requests, description=option.request
    )
    return option.kind | None, rules


def _reply_field(option: Option) -> Any:
    """The field of an answer that gives a model's default."""
    kind = option.kind | None if option.optional else option.kind
    return kind, Field(description=option.reply)


_CHOICES = {option.name: _request_field(option) for option in GENERATION_OPTIONS if option.request}


class GenerationOptions(create_model("_GenerationOptions", __base__=NativeRequest, **_CHOICES)):  # type: ignore[misc]
    """How to search for the translation; what is left out is the model's own default."""


def check_entries(value: Any) -> Any:
    """Refuses the first wrong entry of a glossary, and more of them than any setting allows."""
    if not isinstance(value, dict):
        return value
    if len(value) > _MAX_TERMS:
        raise ValueError(f"`glossary` must have at most {_MAX_TERMS} entries, but has {len(value)}")
    if (forms := sum(map(_num_forms, value.values()))) > _MAX_FORMS:
        raise ValueError(f"`glossary` must have at most {_MAX_FORMS} forms, but has {forms}")
    for number, (term, translation) in enumerate(value.items()):
        if not term or not _is_translation(translation):
            raise ValueError(
                "`glossary` must have a translation for each term: text, a list of forms, or an "
                f"object with `forms` and perhaps `case_sensitive`; but entry {number} has not"
            )
    return value


def _num_forms(translation: Any) -> int:
    if isinstance(translation, dict):
        translation = translation.get("forms")
    return len(translation) if isinstance(translation, list) else 1


def _check_number(value: Any) -> Any:
    """Refuses a list of more terms than any setting allows, before any of them is read."""
    if isinstance(value, list) and len(value) > _MAX_TERMS:
        raise ValueError(f"a list must have at most {_MAX_TERMS} terms, but has {len(value)}")
    return value


def _is_translation(value: Any) -> bool:
    if isinstance(value, dict):
        if not value.keys() <= {"forms", "case_sensitive"}:
            return False
        if not isinstance(value.get("case_sensitive", False), bool):
            return False
        value = value.get("forms")
        if not isinstance(value, list):
            return False
    forms = value if isinstance(value, list) else [value]
    return bool(forms) and all(isinstance(form, str) and form for form in forms)


def _json_type(value: Any) -> str:
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


Term = Annotated[str, Field(min_length=1)]


class GlossaryTerm(NativeRequest):
    """How a term is translated."""

    forms: list[Term] = Field(min_length=1, fail_fast=True)
    """Its translations, such as the cases of a noun: the model takes the one that fits."""
    case_sensitive: bool = False
    """Whether the term must be written exactly so, and its translation is; else it is found in
    capitals too, and its translation is capitalised as it is."""


class TextSpan(NativeRequest):
    """A part of a text."""

    text: int = Field(default=0, ge=0)
    """Which of `texts`, from 0."""
    begin: int = Field(ge=0)
    """In Unicode code points, from 0."""
    end: int = Field(ge=1)
    """Behind the last."""


GlossaryTranslation = Annotated[
    Annotated[Term, Tag("text")]
    | Annotated[list[Term], Field(min_length=1, fail_fast=True), Tag("list")]
    | Annotated[GlossaryTerm, Tag("object")],
    Discriminator(_json_type),
]
_Kept = Annotated[
    Annotated[Term, Tag("text")] | Annotated[TextSpan, Tag("object")], Discriminator(_json_type)
]


class TranslateRequest(NativeRequest):
    """One text or several, of one language pair."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": _SENTENCE, "source": "en", "target": "de"},
                {
                    "texts": ["Good morning!", _SENTENCE],
                    "source": "en",
                    "target": "de",
                    "generation": {"beam_size": 4, "num_hypotheses": 2},
                    "return_scores": True,
                },
            ]
        }
    )

    text: str | None = None
    """The text to translate. Either this or `texts`."""
    texts: list[str] | None = Field(default=None, min_length=1, fail_fast=True)
    """The texts to translate; the answer keeps their order."""
    source: LanguageCode | None = None
    """Language code of the text: as `GET /v1/models` lists them, or one that means the same, as
    "en-US" and "deu_Latn" do. Without it, the language of each text is detected."""
    target: LanguageCode
    """Language code of the translation."""
    model: ModelName | None = None
    """Id or alias of the model that is to translate, as `GET /v1/models` lists them; else the first
    one that has the pair does, or two."""
    generation: GenerationOptions | None = None
    return_scores: bool = False
    """Whether the answer tells each translation's score."""
    return_alignments: bool = False
    """Whether the answer tells which words of each translation come from which of the text."""
    glossary: Annotated[dict[Term, GlossaryTranslation], BeforeValidator(check_entries)] = Field(
        default_factory=dict
    )
    """Terms and how they are translated, wherever a term stands as a word of its own: by one form,
    or by the one of several that fits. Case is kept, unless an entry says otherwise."""
    glossary_id: str | None = Field(default=None, min_length=1, max_length=64)
    """Id of a stored glossary, whose terms are used beside those of `glossary`, which take their
    place where both have a term. `source` must be given."""
    keep: Annotated[list[_Kept], BeforeValidator(_check_number)] = Field(
        default_factory=list, fail_fast=True
    )
    """What is not translated: strings, wherever they are, and parts of the texts, in order."""
    banned_terms: Annotated[list[Term], BeforeValidator(_check_number)] = Field(
        default_factory=list, fail_fast=True
    )
    """Words that no translation has, in any case."""
    target_prefix: str = ""
    """How the translation of the only text begins: the model goes on from there, and the answer
    has it as it is given."""
    format: TextFormat = Field(default=TextFormat.TEXT, strict=False)
    """What the texts are written in; "wrapped" is text whose paragraphs are broken into lines of
    some width: they are joined, and wrapped again. Of a document with markup, the text of its
    blocks is translated, and inline elements stay around their words. Comments, scripts, code, and
    what has `translate="no"` or the class `notranslate` come back as they are."""
    translate_attributes: bool = False
    """Whether attributes of HTML and XML that people read are translated too: `alt`, `title`,
    `placeholder`, `aria-label` and the like; of Markdown descriptions of images and titles of
    links."""
    stream: bool = False
    """Whether the answer is server-sent events: parts of the translations as they are decided, and
    at last what the answer is otherwise."""
    cache: bool = True
    """Whether what the server has kept of the same sentences with the same options may be taken;
    the answer is the same, if it comes of the same model."""

    @model_validator(mode="after")
    def _check_one_form(self) -> Self:
        if (self.text is None) == (self.texts is None):
            given = "neither is" if self.text is None else "both are"
            raise ValueError(f"either `text` or `texts` must be given, but {given}")
        return self

    def all_texts(self) -> tuple[str, ...]:
        """The texts, whichever form they came in."""
        return (self.text,) if self.text is not None else tuple(self.texts or ())

    def text_options(self) -> TextOptions:
        """What is kept, which terms are used, how the translation begins.

        Raises:
            InvalidOptionError: a rule is broken that the schema does not tell.
        """
        if self.model_fields_set.isdisjoint(_TEXT_OPTIONS):
            return NO_TEXT_OPTIONS
        return TextOptions(
            keep=tuple(each for each in self.keep if isinstance(each, str)),
            keep_spans=tuple(
                KeptSpan(each.text, each.begin, each.end)
                for each in self.keep
                if isinstance(each, TextSpan)
            ),
            glossary=glossary_entries(self.glossary),
            banned_terms=tuple(self.banned_terms),
            target_prefix=self.target_prefix,
            format=self.format,
            translate_attributes=self.translate_attributes,
        )


_TEXT_OPTIONS = frozenset(each.name for each in fields(TextOptions)) & frozenset(
    TranslateRequest.model_fields
)


def glossary_entries(
    glossary: dict[str, str | list[str] | GlossaryTerm],
) -> tuple[GlossaryEntry, ...]:
    """The entries of a glossary."""
    return tuple(_entry(*item) for item in glossary.items())


def _entry(term: str, translation: str | list[str] | GlossaryTerm) -> GlossaryEntry:
    match translation:
        case str():
            return GlossaryEntry(term, (translation,))
        case list():
            return GlossaryEntry(term, tuple(translation))
        case _:
            return GlossaryEntry(term, tuple(translation.forms), translation.case_sensitive)


class Alignment(Reply):
    """A word of a text and one of its translation that say the same."""

    source: tuple[int, int]
    """Where the word begins in the text, and where the character behind it is, in Unicode code
    points from 0."""
    target: tuple[int, int]
    """The same in the translation."""


class DetectedLanguage(Reply):
    """The language that a text was found to be in."""

    language: str
    """Its code, of those from which the target can be reached, and the target's own."""
    confidence: float
    """From 0 to 1; 0 for a text that tells nothing."""


class Hypothesis(Reply):
    """One of several translations of a text."""

    text: str
    score: float | None = None
    """Length-normalised log-probability; there when `return_scores` is true."""
    alignments: list[Alignment] = Field(default_factory=list)
    """As those of the best translation; there when `return_alignments` is true."""


class TranslationBody(Reply):
    """The translation of one text."""

    text: str
    finish_reason: Literal["stop", "length"]
    """"stop": the model came to its end. "length": a sentence was cut at `max_new_tokens`."""
    detected_source: DetectedLanguage | None = None
    """There when the request has no `source`. A text in the target's language stays as it is."""
    score: float | None = None
    """Length-normalised log-probability; there when `return_scores` is true, and null for a text
    without anything to translate."""
    alignments: list[Alignment] = Field(default_factory=list)
    """Words of the text with those of the translation, in the order of the text; there when
    `return_alignments` is true. A word may be in several pairs, or in none."""
    hypotheses: list[Hypothesis] = Field(default_factory=list)
    """All translations, best first; there when `num_hypotheses` is above 1. They differ in words,
    so there may be fewer; a wider beam finds more."""


class Usage(Reply):
    """How much was translated, in the model's tokens, all texts together."""

    source_tokens: int
    target_tokens: int


class Timings(Reply):
    """Where the time went inside the model."""

    queue_seconds: float
    """Longest wait of a sentence for its turn."""
    encode_seconds: float
    """Reading the source."""
    decode_seconds: float
    """Writing the translation."""


class TranslateReplyBody(Reply):
    """The answer to a TranslateRequest."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "translations": [{"text": _TRANSLATION, "finish_reason": "stop"}],
                    "model": "en-de",
                    "source": "en",
                    "target": "de",
                    "usage": {"source_tokens": 14, "target_tokens": 13},
                    "timings": {
                        "queue_seconds": 0.0004,
                        "encode_seconds": 0.006,
                        "decode_seconds": 0.041,
                    },
                }
            ]
        }
    )

    translations: list[TranslationBody]
    """In the order of the texts."""
    model: str
    """Name of the model that translated, or of both, with " + " between them; of all for texts in
    several languages, with ", "."""
    source: str | None = None
    """Language of the texts, by the code that the model has for it; not there if they have
    several."""
    target: str
    """Language of the translations, by the code that the model has for it."""
    pivot: str | None = None
    """The language between two models; there if no model has the pair and two together do."""
    usage: Usage
    timings: Timings


class AttentionRequest(NativeRequest):
    """A sentence whose attention is asked for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": _SENTENCE, "source": "en", "target": "de"}]}
    )

    text: str
    """One sentence, short enough for the model to read it as a whole."""
    source: LanguageCode
    """Language code of the sentence."""
    target: LanguageCode
    """Language code of the translation."""
    model: ModelName | None = None
    """Id or alias of the model, as for a translation."""


class AttentionMapsBody(Reply):
    """How much each token attends to each, by layer and head."""

    maps: list[list[list[list[float]]]]
    """For each layer and head, a row for each token that attends: its shares of those that it
    attends to, 1 in sum, rounded to four digits."""
    entropies: list[list[float]]
    """For each layer and head, the mean entropy of its rows in nats. 0: each token attends to
    one other; the logarithm of their number: to all alike."""


_HEAD: dict[str, Any] = {"maps": [[[[1.0, 0.0], [0.9, 0.1]]]], "entropies": [[0.1625]]}
_ATTENTION: dict[str, Any] = {
    "translation": "Hallo", "model": "en-de", "source_tokens": ["▁Hello", "</s>"],
    "target_tokens": ["<s>", "▁Hallo"], "encoder": _HEAD, "decoder": _HEAD, "cross": _HEAD,
}  # fmt: skip


class AttentionReply(Reply):
    """Where the heads of a model attend for a sentence.

    Clues to what a model does, no proof: what a head attends to need not be what decides, and a
    head with even attention may matter as much as one with a sharp one. The maps are those of the
    weights in float32, for the translation that the search has found.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_ATTENTION]})

    translation: str
    model: str
    """Name of the model."""
    source_tokens: list[str]
    """What the encoder reads: pieces of the sentence, and the end token at least."""
    target_tokens: list[str]
    """What the decoder reads: the start token, then the pieces of the translation. The row of each
    is the step that predicts the one behind it, or the end."""
    encoder: AttentionMapsBody
    """The source to itself."""
    decoder: AttentionMapsBody | None
    """The translation so far to itself; null of a decoder without self-attention."""
    cross: AttentionMapsBody
    """The translation to the source."""


class BeamRequest(AttentionRequest):
    """A sentence for which the search is asked for."""

    generation: GenerationOptions | None = None


class BeamCandidate(Reply):
    """A hypothesis that the search has looked at: that of its parent, and one more token."""

    parent: int | None
    """Number of the candidate that it continues, counted from 0; null for a first token."""
    token: str
    """What its token writes, with the space before it, or what it is called."""
    log_prob: float
    """Natural log-probability of all of its tokens together, rounded to four digits."""
    state: CandidateState
    """"kept": the search went on from it; "ended": it is a finished hypothesis; "pruned": others
    were better, or the search was over."""
    score: float | None
    """Log-probability of a finished hypothesis by the length penalty, rounded to four digits;
    the best one is the translation."""


_CANDIDATES: list[Any] = [
    {"parent": None, "token": " Hallo", "log_prob": -0.2, "state": "kept", "score": None},
    {"parent": None, "token": " Guten", "log_prob": -2.1, "state": "pruned", "score": None},
    {"parent": 0, "token": "</s>", "log_prob": -0.3, "state": "ended", "score": -0.26},
]


class BeamReply(Reply):
    """The search for the translation of a sentence: what it looked at, and what it pruned.

    It is made for the answer, with the weights in float32; an engine that calculates in int8 may
    find another translation.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "translation": "Hallo", "model": "en-de", "beam_size": 1,
                    "candidates": _CANDIDATES, "best": [0, 2],
                }
            ]
        }
    )  # fmt: skip

    translation: str
    """What has come of it."""
    model: str
    """Name of the model."""
    beam_size: int
    """Hypotheses that go on from a step at most."""
    candidates: list[BeamCandidate]
    """Step by step, those of a step best first: twice as many as the beam is wide, or one."""
    best: list[int]
    """Numbers of the candidates of the translation, from its first token to its last."""


class LanguagePair(Reply):
    """A direction that a model translates in."""

    source: str
    target: str


_DEFAULTS = {option.name: _reply_field(option) for option in GENERATION_OPTIONS}


class GenerationDefaults(create_model("_GenerationDefaults", __base__=Reply, **_DEFAULTS)):  # type: ignore[misc]
    """How a model searches when a request does not say."""


_LISTED: dict[str, Any] = {"id": "en-de", "object": "model", "created": 0, "owned_by": "polyhead"}
_MODEL: dict[str, Any] = {
    "name": "en-de", "aliases": [], "asleep": False, "pairs": [{"source": "en", "target": "de"}],
    "source_languages": ["en"], "target_languages": ["de"], "device": "cpu", "dtype": "int8",
    "num_parameters": 8894464, "max_source_tokens": 100,
    "generation": {"beam_size": 4, "length_penalty": 0.6},
}  # fmt: skip


class Model(Reply):
    """A model that the service has."""

    name: str
    """Its id: what requests and operators call it."""
    aliases: list[str]
    """Other names by which requests may ask for it."""
    asleep: bool
    """Whether it has no process now; the next request starts one."""
    pairs: list[LanguagePair]
    """What it translates, if these are at most 64 pairs; else none are listed here."""
    source_languages: list[str]
    """What it translates from: each into every target that is another language."""
    target_languages: list[str]
    device: str
    """Where it runs: "cpu", "cuda"."""
    dtype: str
    """What it calculates in."""
    num_parameters: int
    max_source_tokens: int
    """Longest sentence, in tokens; a longer one is split."""
    generation: GenerationDefaults


class ListedModel(Reply):
    """A model as OpenAI's clients list it."""

    id: str
    object: Literal["model"] = "model"
    created: Literal[0] = 0
    owned_by: Literal["polyhead"] = "polyhead"


class ModelList(Reply):
    """The models of the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "models": [_MODEL],
                    "object": "list",
                    "data": [
                        {"id": "en-de", "object": "model", "created": 0, "owned_by": "polyhead"}
                    ],
                }
            ]
        }
    )

    models: list[Model]
    object: Literal["list"] = "list"
    """For clients of OpenAI's API, as is `data`."""
    data: list[ListedModel]


class LoadedReplica(Reply):
    """A process that has a model in memory."""

    replica: str
    """As the metrics have it."""
    memory_bytes: int
    """What the model takes there, as computed."""


class ModelDetails(Reply):
    """A model of the catalog, or one whose addition is in work or has failed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"id": "en-de", "state": "ready", "model": _MODEL, "shared": False, "loaded": []}
            ]
        }
    )

    id: str
    state: ModelState
    change: ChangeKind | None = None
    """What is being done, or has failed; what serves meanwhile is `model`."""
    problem: str | None = None
    """Why it failed; there for operators, whose token the request has."""
    model: Model | None = None
    """What requests are translated with; null if there is nothing yet."""
    shared: bool | None = None
    """Whether it shares its replicas with other models, which are loaded on demand."""
    loaded: list[LoadedReplica] = Field(default_factory=list)


class ChangeReply(Reply):
    """A change that has been accepted; `GET /v1/models/{id}` tells how it goes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "en-de", "change": "reload"}]})

    id: str
    change: ChangeKind


class ErrorBody(Reply):
    """What went wrong."""

    type: str
    """A stable name that a program can compare with."""
    message: str
    """What must be and what was, for a person."""
    field: str | None = None
    """The field to blame, such as `texts[3]`, if it is one."""


class ErrorReply(Reply):
    """Any answer of the native API that is not a success."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "type": "unsupported_language",
                        "message": "`target` must be de for source en, but is 'fr'",
                        "field": "target",
                    },
                    "request_id": "2f1f0f6d4d0c4c0d9d5a5cf4d9b3a1e7",
                }
            ]
        }
    )

    error: ErrorBody
    request_id: str
