"""Every setting of the service: the only reader of the environment and of Serve's arguments.

A value comes from, in this order: the arguments of the application (`service.app:build`), then the
environment, then the default below. An environment variable is the prefix `POLYHEAD_` and the
field's name; a field of a nested model follows two underscores (`POLYHEAD_LIMITS__MAX_TEXTS=64`).
An argument that does not exist and a value outside its range are refused. A variable with the
prefix that names no field is left alone: Kubernetes makes such ones for a Service of our name.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.config import GENERATION_OPTIONS, EngineConfig

__all__ = [
    "Access",
    "Autoscaling",
    "Connections",
    "Documents",
    "EngineSettings",
    "Limits",
    "LogLevel",
    "ModelRecord",
    "Quota",
    "RetrySettings",
    "Settings",
]

_FORM_BYTES = 64 * 1024


class LogLevel(StrEnum):
    """How much the service writes to its log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Section(BaseModel):
    """A part of the settings: closed, and fixed once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(_Section):
    """Limits of one request, and of all requests at a gateway."""

    max_texts: int = Field(default=128, ge=1)
    """Most texts in one request."""
    max_text_chars: int = Field(default=20_000, ge=1)
    """Longest text, in characters (Unicode code points)."""
    max_total_chars: int = Field(default=50_000, ge=1)
    """Most characters in all texts of one request together. Two cores with AVX2 take 17 s for so
    many of ordinary English with the usual beam of 4, and 32 s with all that a request may ask for
    (the widest beam, with repetition guards): about a quarter of `request_timeout_seconds`."""
    max_hypothesis_chars: int = Field(default=160_000, ge=1)
    """Most characters in all texts of one request times its hypotheses, which bounds the answer. A
    hypothesis with its alignment counts as nine: 17,777 characters for one with the default."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Largest request body, in bytes, whether its length was announced or it came in chunks.
    HAProxy takes in whole requests and answers, each in a buffer of 64 KiB more than this."""
    max_beam_size: int = Field(default=8, ge=1)
    """Widest beam a request may ask for."""
    max_num_hypotheses: int = Field(default=8, ge=1)
    """Most translations of one text a request may ask for."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Longest translation of one sentence a request may ask for, in tokens."""
    max_glossary_entries: int = Field(default=1000, ge=0, le=10_000)
    """Most terms in the glossary of a request, besides those of a stored one."""
    max_stored_glossary_entries: int = Field(default=10_000, ge=0, le=10_000)
    """Most terms in a dictionary of a stored glossary. A request is sent on with those that its
    texts have."""
    max_term_forms: int = Field(default=20, ge=1)
    """Most translations of a term, of which the model takes the one that fits; 20,000 of all terms
    together."""
    max_term_chars: int = Field(default=100, ge=1)
    """Longest term, translation of a term, string that is kept, and banned term, in characters."""
    max_kept: int = Field(default=200, ge=0, le=10_000)
    """Most strings and spans that a request may ask to keep."""
    max_banned_terms: int = Field(default=50, ge=0, le=1000)
    """Most terms that a request may ban from its translations."""
    max_prefix_chars: int = Field(default=1000, ge=0)
    """Longest beginning of a translation that a request may give, in characters."""
    max_attention_numbers: int = Field(default=500_000, ge=1)
    """Most numbers in the attention maps of a sentence, of all layers and heads together; in the
    answer a number has seven bytes. They grow with the square of the sentence's tokens."""
    max_search_candidates: int = Field(default=2_000, ge=1)
    """Most candidates that the recorded search for a sentence may look at: twice its beam for each
    token of the translation, or one for a beam of one; in the answer one has some 90 bytes."""
    request_timeout_seconds: float = Field(default=120.0, gt=0, le=3600)
    """Time a translation may take; the header x-request-timeout-seconds may ask for less."""
    body_timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Time a client may take to send its request body."""
    max_in_flight: int = Field(default=512, ge=1)
    """Requests with a body that one gateway works on at a time; one more is answered 503. One whose
    texts are in several languages counts once for each call to a model that it makes at a time.
    Where it is not set, `polyhead serve` admits 64 for each CPU, unless there is a GPU."""
    batch_share: float = Field(default=0.5, ge=0, le=1)
    """Share of `max_in_flight` up to which requests of priority "batch" are admitted."""


class Connections(_Section):
    """Limits of clients' connections, which HAProxy keeps. On a cluster its own variables set them;
    see `service.launcher.haproxy_rules`."""

    max_connections: int | None = Field(default=None, ge=16)
    """Most connections; null for as many as the hard limit of open files allows (two files each),
    up to 16,384. From three quarters of them on, connections end with their answer."""
    max_per_address: int | None = Field(default=None, ge=1)
    """Most connections from one IPv4 address or IPv6 /64; null for three quarters of all, so that
    a proxy in front may have most of them, but nobody all. One more is closed at once."""
    max_in_flight_per_address: int | None = Field(default=None, ge=1)
    """Requests, in flight or waiting, that one address may always have; null for a quarter of
    `limits.max_in_flight`. More of them wait behind those of others, and while half as many as
    `limits.max_in_flight` wait, one more is answered 503, after a second."""
    max_large_bodies: int = Field(default=512, ge=1)
    """Requests at a time that are longer than 64 KiB or do not say how long they are, and so may
    fill a buffer; one more is answered 503."""
    head_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Time for the first line and the headers of a request; then the connection ends."""
    idle_seconds: float = Field(default=15.0, gt=0, le=3600)
    """Time for the next request on a connection, and for the end of an answer that is not read."""
    stall_seconds: float = Field(default=20.0, gt=0, le=3600)
    """Time in which a body must go on, or an answer be read on."""


class Quota(_Section):
    """What one client may use; null is no limit."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests in a sliding minute; one more is answered 429."""
    characters_per_minute: int | None = Field(default=None, ge=1)
    """Characters of texts in a sliding minute; beyond, 429."""
    characters_per_month: int | None = Field(default=None, ge=1)
    """Characters of texts in a calendar month of UTC; beyond, 429 (DeepL: 456)."""

    @property
    def limits_anything(self) -> bool:
        """Whether there is any limit."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)


class Access(_Section):
    """Who may use the service, and how much of it."""

    keys: Literal["off", "optional", "required"] = "off"
    """API keys (`polyhead keys`). "off": none is looked at. "optional": who sends one must send a
    valid one, and has its quota. "required": who sends none may only ask for languages, probes and
    descriptions."""
    per_key: Quota = Field(default_factory=Quota)
    """What each key may use that has no quota of its own."""
    per_address: Quota = Field(default_factory=Quota)
    """What each client without a key may use, by its IPv4 address or IPv6 /64."""
    trusted_proxies: list[IPvAnyNetwork] = Field(default_factory=list, max_length=1000)
    """Networks of the proxies in front, such as ["10.0.0.0/8"], whose X-Forwarded-For is believed:
    the last address there that is not one of them is the client."""
    limiter_url: SecretStr = SecretStr("")
    """Where requests and characters of a minute are counted for all gateways together:
    redis://HOST:PORT/NUMBER. Empty counts in memory, where each gateway grants its share."""
    limiter_timeout_seconds: float = Field(default=0.5, gt=0, le=10)
    """Time that Redis has to answer; else a request is counted in memory."""
    max_tracked_clients: int = Field(default=20_000, ge=100, le=10_000_000)
    """Clients of a minute that a gateway counts in memory; of more, those are forgotten that it
    heard of least lately."""
    refresh_seconds: float = Field(default=5.0, ge=0.1, le=300)
    """Seconds after which a key that was added, revoked or changed is known to every gateway."""
    stale_seconds: float = Field(default=300.0, ge=1, le=86_400)
    """Time for which known keys are taken while the store cannot be reached; then requests with a
    key are answered 503."""
    flush_seconds: float = Field(default=1.0, ge=0.05, le=60)
    """Seconds between two writes of what was used; what a killed gateway had not written is not
    counted."""


class Documents(_Section):
    """Documents that are translated in the background."""

    enabled: bool = True
    """Whether documents are taken."""
    max_bytes: int = Field(default=10 * 2**20, ge=1024, le=2**30)
    """Largest file, in bytes."""
    max_characters: int = Field(default=1_000_000, ge=1)
    """Most characters of a document that are translated."""
    max_memory_mib: int = Field(default=1024, ge=256)
    """Memory of the process that reads or writes a document, in MiB; what needs more is refused."""
    max_seconds: int = Field(default=60, ge=1, le=3600)
    """CPU time of that process."""
    max_uploads: int = Field(default=4, ge=1, le=1000)
    """Files that a gateway takes in at a time, each in its memory; one more is answered 503."""
    max_waiting: int = Field(default=200, ge=1)
    """Documents of all clients that wait or are translated; one more is answered 503."""
    max_waiting_per_client: int = Field(default=20, ge=1)
    """Documents of one key, or of one address where there is none, that wait or are translated;
    one more is answered 429."""
    max_kept: int = Field(default=2000, ge=1)
    """Documents of all clients that are stored; one more is answered 503."""
    max_kept_per_client: int = Field(default=200, ge=1)
    """Documents of one client that are stored; one more is answered 429."""
    keep_seconds: float = Field(default=86_400.0, ge=1)
    """Time for which a document is stored after it was sent, and its translation after it was
    made."""
    at_a_time: int = Field(default=1, ge=0, le=100)
    """Documents that a gateway translates at a time; 0 leaves them to other gateways."""
    batches: int = Field(default=4, ge=1, le=1000)
    """Calls of a model, of 16 texts and 2,000 characters at most, that a document has at a time."""
    lease_seconds: float = Field(default=30.0, ge=1, le=3600)
    """Time after which the document of a gateway that has died goes on at another one. The clocks
    of nodes must differ by less."""
    save_seconds: float = Field(default=5.0, ge=0, le=3600)
    """Seconds between two times that what was translated of a document is stored."""
    max_attempts: int = Field(default=5, ge=1, le=100)
    """Times that a document may be begun without getting any further; then it has failed."""

    @property
    def max_upload_bytes(self) -> int:
        """The largest body with a file: 64 KiB more, for the form around it."""
        return self.max_bytes + _FORM_BYTES


class RetrySettings(_Section):
    """How the gateway repeats work that a replica lost. Every attempt stays within the deadline."""

    max_attempts: int = Field(default=8, ge=1, le=20)
    """Most attempts of one request one after the other, the first included."""
    attempt_timeout_seconds: float = Field(default=20.0, gt=0, le=3600)
    """Time after which an attempt gets a second one beside it, on another replica, if there is one
    that can be used. The first answer counts; nothing that is only slow is begun anew."""
    backoff_seconds: float = Field(default=0.1, ge=0, le=60)
    """Mean pause before the second attempt; it doubles with each further one and is jittered."""
    max_backoff_seconds: float = Field(default=2.0, ge=0, le=60)
    """Longest pause between two attempts. All pauses together should outlast the replacement of a
    replica, which takes five seconds or more."""
    timeout_retry_ratio: float = Field(default=0.1, ge=0, le=1)
    """Most second attempts, as a share of all requests: when everything is slow because there is
    too much to do, doing it twice makes it worse."""
    timeout_retry_burst: int = Field(default=32, ge=0, le=10_000)
    """Second attempts that may happen at once before the ratio holds."""
    lost_retry_ratio: float = Field(default=0.5, ge=0, le=10)
    """Most retries of what a replica lost, as a share of all requests, so that a request which
    kills whoever takes it cannot take all replicas along."""
    lost_retry_burst: int = Field(default=2048, ge=0, le=1_000_000)
    """Retries of lost work that may happen at once before the ratio holds; as many as a gateway has
    in flight, or the death of one busy replica shows."""


class Autoscaling(_Section):
    """How the number of a model's replicas follows its load; see `service.autoscaling.decision`."""

    min_replicas: int = Field(default=1, ge=0)
    """With 0, a model that nobody asks for has no process; the next request waits for its start."""
    max_replicas: int = Field(default=4, ge=1)
    target_queue_seconds: float = Field(default=1.0, gt=0)
    """Most seconds that 95 of 100 sentences should wait for a slot, by estimate."""
    target_utilization: float = Field(default=0.75, gt=0, le=1)
    """Most of the replicas' measured capacity that what arrives should use."""
    drain_seconds: float = Field(default=30.0, gt=0)
    """Time in which a queue above the target should be gone; not much less than a replica takes to
    start, or replicas come too late to help."""
    hold_seconds: float = Field(default=300.0, ge=0)
    """Replicas that any moment of the last so many seconds needed are kept."""
    metrics_interval_seconds: float = Field(default=1.0, ge=0.1, le=60)
    """Seconds between two reports of a replica to Serve's controller."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"`min_replicas` must be at most `max_replicas` ({self.max_replicas}), "
                f"but is {self.min_replicas}"
            )
        return self


_Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^/\x00-\x1f]+$")]
_Code = Annotated[str, StringConstraints(min_length=1, max_length=35)]
_Origin = Annotated[
    str, StringConstraints(max_length=300, pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^\s/,;'\"\\]+)$")
]
_MAX_ALIASES = 16
_MAX_LANGUAGES = 1000
_OPTIONS = frozenset(option.name for option in GENERATION_OPTIONS)


class ModelRecord(_Section):
    """A model that the service has: which one, where it runs, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "en-de", "id": "news"}]})

    model: str = Field(min_length=1, max_length=4096)
    """Name of a model (`polyhead models list`), or a model directory."""
    id: _Name | None = None
    """What clients and operators call it; null for the name of its directory."""
    aliases: list[_Name] = Field(default_factory=list, max_length=_MAX_ALIASES)
    """Other names by which requests may ask for it."""
    languages: list[_Code] | None = Field(default=None, min_length=1, max_length=_MAX_LANGUAGES)
    """The languages from and into which it is used, of those it has; null for all."""
    device: str | None = Field(default=None, max_length=100)
    """In place of `engine.device`."""
    dtype: str | None = Field(default=None, max_length=100)
    """In place of `engine.dtype`."""
    placement: Literal["auto", "dedicated", "shared"] = "auto"
    """"dedicated": replicas of its own; "shared": loaded on demand by replicas that hold many;
    "auto" shares a small model on the CPU that asks for no replicas of its own."""
    replicas: int | None = Field(default=None, ge=1, le=1000)
    """Replicas of its own, in place of the setting `replicas`."""
    autoscaling: Autoscaling | None = None
    """In place of the setting `autoscaling`."""
    generation: dict[str, Any] = Field(default_factory=dict, max_length=64)
    """How it searches where a request does not say, in place of the model's own defaults."""

    @model_validator(mode="after")
    def _check_replicas(self) -> Self:
        own = [name for name in ("replicas", "autoscaling") if getattr(self, name) is not None]
        if len(own) > 1:
            raise ValueError("`replicas` and `autoscaling` must not be given together")
        if own and self.placement == "shared":
            raise ValueError(f"`{own[0]}` must not be given where `placement` is shared")
        if unknown := sorted(self.generation.keys() - _OPTIONS):
            raise ValueError(
                f"`generation` must have options of the search alone, but has {unknown[0][:60]!r}"
            )
        return self


_NameOrRecord = Annotated[
    Annotated[str, Tag("name")] | Annotated[ModelRecord, Tag("record")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "record"),
]


class EngineSettings(_Section):
    """How each replica's engine is run; see `model.config.EngineConfig`."""

    device: str = EngineConfig.device
    """"cpu", "cuda", or "auto": CUDA where there is one."""
    backend: str = EngineConfig.backend
    """"native", "cuda", "eager" (plain PyTorch), or "auto": the fast one of the device, or plain
    PyTorch where it cannot be had."""
    dtype: str = EngineConfig.dtype
    """"float32", "bfloat16", "float64", "int8", or "auto": int8 on the CPU, bfloat16 on CUDA."""
    max_slots: int | None = EngineConfig.max_slots
    """Rows of the KV cache: hypotheses that are decoded at a time, on all threads together. Null
    takes 64 for each thread of the CPU with the native backend, 128 with plain PyTorch, and on CUDA
    as many as fit into the memory that is free, at most 1,024; where replicas share a GPU, say how
    many each may take."""
    max_waiting: int = EngineConfig.max_waiting
    """Sentences that may wait for slots; a request with more is answered 503."""
    batch_share: float = EngineConfig.batch_share
    """Share of `max_waiting` up to which requests of priority "batch" may fill the queue, and of
    `max_ongoing_requests` up to which they may be at a replica."""
    encode_token_budget: int | None = EngineConfig.encode_token_budget
    """Most source tokens that a thread encodes between two decode steps. Null takes 2,048, and four
    for each of its slots where that is more."""
    num_threads: int | None = EngineConfig.num_threads
    """Threads of one engine on the CPU; null takes as many as Ray reserves CPUs for it. Where
    that is not set either, `polyhead serve` takes all that replicas of the same model leave. Never
    more than the CPUs that the replica's affinity and cgroups grant it."""
    shortlist: bool = EngineConfig.shortlist
    """Whether a model's shortlist is used, if it has one: only tokens that words of the source are
    likely to become are then predicted, which is faster on a CPU."""

    @model_validator(mode="after")
    def _check_engine(self) -> Self:
        self.to_config()
        return self

    def to_config(self) -> EngineConfig:
        """The engine's configuration with these values."""
        return EngineConfig(**self.model_dump())


class Settings(BaseSettings):
    """The argument of `service.app:build`: everything an operator can choose."""

    model_config = SettingsConfigDict(
        env_prefix="POLYHEAD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    models: Annotated[list[_NameOrRecord], NoDecode] = Field(default_factory=list)
    """Names of models (`polyhead models list`), model directories, or records; empty takes those
    that come with the project. In the environment names are separated by commas, and records are
    a list in JSON."""
    max_models: int = Field(default=200, ge=1, le=10_000)
    """Most models, those added while it serves included."""
    shared_replicas: int = Field(default=1, ge=1, le=1000)
    """Replicas for the models that share them, when there is no `shared_autoscaling`."""
    shared_autoscaling: Autoscaling | None = None
    """Lets the number of these replicas follow the load of their models instead."""
    shared_model_share: float = Field(default=0.5, gt=0, le=1)
    """Share of `max_ongoing_requests` up to which requests for one model may be at one of these
    replicas, so that there is a place for the others; one more is answered 503."""
    shared_memory_mib: int | None = Field(default=None, ge=16)
    """Memory for the models that one of these replicas holds at a time, as computed, in MiB; null
    for half of what the machine or the container has. A model has fewer threads where all of them
    would make it take more than half of this."""
    load_timeout_seconds: float = Field(default=120.0, gt=0, le=3600)
    """Time in which a shared replica must have loaded a model, and a model that is added must have
    been read: a disk that does not answer holds nobody else up."""
    start_timeout_seconds: float = Field(default=300.0, gt=0, le=86_400)
    """Time in which the replicas of a model that is added or reloaded must have started, the wait
    for CPUs and GPUs included; else the change fails, and what was served goes on."""
    max_waiting_changes: int = Field(default=16, ge=1, le=1000)
    """Changes of models that may wait for their turn; one more is answered 503."""
    admin_token: SecretStr = SecretStr("")
    """Who sends it (`Authorization: Bearer ...`) may change the models while they are served; empty
    lets nobody. `polyhead serve` makes one for its own user where none is set."""
    single_process: bool = False
    """Whether `polyhead serve` is one process, without Ray: a gateway, and a replica on the CPU
    that all models share. Then `replicas`, `gateway_replicas`, `shared_replicas` and autoscaling
    have no place, nor what Ray reserves or checks."""
    replicas: int = Field(default=1, ge=1, le=1000)
    """Translator replicas of each model, when there is no `autoscaling`; with more than 1, models
    without a placement have replicas of their own."""
    gateway_replicas: int = Field(default=1, ge=1, le=1000)
    """Gateway replicas."""
    gateways_per_node: int | None = Field(default=None, ge=1, le=100)
    """Most gateways on one node of a cluster, so that no node's end takes all of them. Those for
    which there is no node wait for one, and until it comes the application is not healthy."""
    autoscaling: Autoscaling | None = None
    """Lets the number of translator replicas follow the load instead."""
    max_ongoing_requests: int = Field(default=512, ge=1)
    """Requests in work at one translator replica; should be well above its engine's slots, or
    batches never fill."""
    segment_cache_mib: int = Field(default=16, ge=0, le=65_536)
    """Memory of one translator replica for the results of sentences that may come again, in MiB, of
    all its models together; 0 keeps none. The same sentence with the same options is then not
    translated anew; a request may ask for that (`"cache": false`). What is kept is tokens, in
    memory alone."""
    num_cpus_per_replica: float = Field(default=1.0, ge=0)
    """CPUs that Ray reserves for one translator replica."""
    num_gpus_per_replica: float = Field(default=0.0, ge=0)
    """GPUs, or a share of one, that Ray reserves for one translator replica."""
    num_cpus_per_gateway: float = Field(default=0.1, ge=0)
    """CPUs that Ray reserves for one gateway replica. A node needs room for all of them beside its
    translators: when replicas are replaced, either kind may come first."""
    limits: Limits = Field(default_factory=Limits)
    connections: Connections = Field(default_factory=Connections)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    access: Access = Field(default_factory=Access)
    store_url: SecretStr = SecretStr("")
    """Database for API keys, usage, glossaries and suggestions: postgresql://USER:PASSWORD@HOST/NAME
    (for several nodes), or sqlite:////FOLDER/FILE on a local disk; empty for polyhead/store.db in
    the user's data folder (XDG_DATA_HOME). It is opened when it is needed first."""
    blobs_url: str = Field(default="", max_length=4096)
    """Folder for the contents of files, or a URL that fsspec knows, such as s3://BUCKET/FOLDER
    (`pip install polyhead[s3]`; AWS_... say where and with which key); empty for polyhead/blobs in
    the user's data folder."""
    documents: Documents = Field(default_factory=Documents)
    max_glossaries: int = Field(default=100, ge=0, le=100_000)
    """Most stored glossaries of a key, or of all clients together where there are no keys."""
    suggestions: bool = False
    """Whether suggested translations (LibreTranslate's /suggest) are stored."""
    max_suggestions: int = Field(default=10_000, ge=0, le=10_000_000)
    """Most suggestions that are stored."""
    cors_origins: Annotated[list[_Origin] | None, NoDecode] = None
    """Origins of the web pages that may call the translating routes from a browser, such as
    "https://app.example", or "*" for all; in the environment separated by commas. Null lets all
    call LibreTranslate's API, as they may there, and nobody the others; empty lets nobody.
    Credentials are never allowed."""
    web_page: bool = True
    """Whether `GET /` serves the page on which people translate and look inside."""
    max_watchers: int = Field(default=16, ge=0, le=1000)
    """Most who watch what the service does at a time at one gateway (`GET /v1/live`, and the page);
    one more is answered 429. 0 lets nobody."""
    pivot: str = Field(default="en", max_length=35)
    """Language through which pairs are translated that no model has, by two models one after the
    other; empty refuses them."""
    max_pairs_in_metrics: int = Field(default=200, ge=1, le=100_000)
    """Language pairs that a gateway's metrics tell apart, the first ones that it serves; all others
    are counted together as "other"."""
    info_timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Time a model has to answer `GET /ready`, or a first question for its languages."""
    metrics_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """Time in which the metrics of all replicas must be collected."""
    health_check_period_seconds: float = Field(default=1.0, gt=0, le=60)
    """Seconds between two health checks of a replica."""
    health_check_timeout_seconds: float = Field(default=10.0, gt=0, le=600)
    """Time a replica has to answer a health check before it is replaced."""
    graceful_shutdown_seconds: float = Field(default=125.0, ge=0, le=3600)
    """Time a replica that is being replaced has to finish its requests; less than
    `limits.request_timeout_seconds` turns the longest ones into errors."""
    fork_workers: bool = True
    """Whether `polyhead serve` copies Ray's workers from one process that has imported what they
    need. Without it they take 0.3 GB more, and a start twice the CPU time."""
    log_level: LogLevel = LogLevel.INFO
    """Least serious kind of log line that is written."""
    log_requests: bool = True
    """One log line for each request (at level "info"); never with a user's text."""

    @property
    def most_shared_replicas(self) -> int:
        """The number of shared replicas at most."""
        scaling = self.shared_autoscaling
        return self.shared_replicas if scaling is None else scaling.max_replicas

    @property
    def least_shared_replicas(self) -> int:
        """The number of shared replicas at least, where a model needs them."""
        scaling = self.shared_autoscaling
        return self.shared_replicas if scaling is None else scaling.min_replicas

    @field_validator("num_gpus_per_replica")
    @classmethod
    def _check_gpus(cls, value: float) -> float:
        """As Ray gives them out."""
        if value > 1 and not value.is_integer():
            raise ValueError(
                "`num_gpus_per_replica` must be a share of one GPU or a whole number, "
                f"but is {value}"
            )
        return value

    @field_validator("admin_token")
    @classmethod
    def _strip_token(cls, value: SecretStr) -> SecretStr:
        """Without the end of the line that a file has."""
        return SecretStr(value.get_secret_value().strip())

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [origin for part in value.split(",") if (origin := part.strip().rstrip("/"))]
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _split_models(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value.lstrip().startswith("["):  # as on the command line of `serve run`
                return json.loads(value)
            return [name for part in value.split(",") if (name := part.strip())]
        return value
