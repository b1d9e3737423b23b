"""Our rules for HAProxy, in its language: limits of connections, and answers in the APIs' forms.

HAProxy takes in a whole request before a gateway hears of it, and a whole answer before its client
has read it: one buffer has room for the largest of either. So a gateway never waits for a client,
and what it has in flight is work. A client that is slow, or says nothing, has its connection and
that buffer, for a limited time.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "COUNTERS",
    "ERROR",
    "MOST_HEADERS",
    "OPEN_APIS",
    "REFUSAL",
    "HAProxyOptions",
    "backend_rules",
    "frontend_rules",
    "more_sections",
]

_PREFIX = "POLYHEAD_HAPROXY_"
OPEN_APIS = "open"
"""For `HAProxyOptions.cors_origins`."""


@dataclass(frozen=True, kw_only=True)
class HAProxyOptions:
    """What can be chosen, by environment variables: POLYHEAD_HAPROXY_ and the name of the field."""

    host: str = ""
    """Address of the HTTP frontend; Serve's choice if empty."""
    admin_host: str = "127.0.0.1"
    """Address of statistics and metrics; if empty, sockets beside the configuration."""
    max_in_flight: int = 512
    """Most requests in flight at each gateway. As many may wait at HAProxy, more are answered 503;
    from half of them on, so is who has more than `max_in_flight_per_address`."""
    max_in_flight_per_address: int = 0
    """Requests, in flight or waiting, that one IPv4 address or IPv6 /64 may always have; 0 for a
    quarter of `max_in_flight`."""
    batch_share: float = 0.5
    """Share of `max_in_flight` up to which requests of priority "batch" are let through; more are
    answered 503, after a second."""
    max_connections: int = 0
    """Most clients' connections; 0 for as many as the limit of open files allows, up to 16,384.
    From three quarters of them on, no connection is kept after its answer."""
    max_connections_per_address: int = 0
    """Most connections from one IPv4 address or IPv6 /64; 0 for three quarters of all."""
    max_large_bodies: int = 512
    """Most requests at a time whose body is longer than 64 kB or of unknown length; more are
    answered 503."""
    head_seconds: float = 10.0
    """Time for a request's line and headers."""
    body_seconds: float = 30.0
    """Time for a request's body."""
    idle_seconds: float = 15.0
    """Time between an answer and the next request, and for the last of an answer without any
    progress."""
    stall_seconds: float = 20.0
    """Time without any progress in receiving or sending."""
    request_seconds: float = 60.0
    """Time for a gateway to answer."""
    cors_origins: str = OPEN_APIS
    """Origins of web pages that may read HAProxy's own answers, separated by spaces; "*" for all,
    "open" for all where the API lets them."""
    max_body_bytes: int = 1024 * 1024
    """Largest body. A buffer has 64 KiB more, which is also room for the head."""
    max_upload_bytes: int = 10 * 1024 * 1024 + 64 * 1024
    """Largest body with a file, which goes through a buffer while it comes."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """The options that `variables` have. ValueError for one that is not a number."""
        given: dict[str, Any] = {}
        for name, default in vars(cls()).items():
            text = variables.get(variable := _PREFIX + name.upper())
            if text is None:
                continue
            try:
                given[name] = type(default)(text)
            except ValueError:
                kind = "an integer" if isinstance(default, int) else "a number"
                raise ValueError(f"{variable} must be {kind}, but is {text!r}") from None
        return cls(**given)

    def to_environment(self) -> dict[str, str]:
        """The variables of these options."""
        return {_PREFIX + name.upper(): str(value) for name, value in vars(self).items()}

    @property
    def connections(self) -> int:
        """The limit of clients' connections: never more than HAProxy can have files for, or it
        would not start.
        """
        most = self.max_connections or _MOST_CONNECTIONS
        # HAProxy raises its own limit to the hard one; each connection may have one to a gateway.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if files == resource.RLIM_INFINITY:
            return most
        return min(most, max(16, (files - _OWN_FILES) // 2))

    @property
    def connections_per_address(self) -> int:
        """The limit of one address."""
        return self.max_connections_per_address or _crowded(self.connections)

    @property
    def in_flight_per_address(self) -> int:
        """The requests that one address may always have."""
        return self.max_in_flight_per_address or max(1, self.max_in_flight // 4)

    @property
    def buffer_bytes(self) -> int:
        """The size of HAProxy's buffers."""
        return self.max_body_bytes + _HEAD_BUFFER_BYTES


_MOST_CONNECTIONS = 16_384
_OWN_FILES = 100
_HEAD_BUFFER_BYTES = 64 * 1024
_MAX_URL_BYTES = 16 * 1024
_MAX_HEADER_BYTES = 32 * 1024
"""With the longest URL and what HAProxy adds, less than _HEAD_BUFFER_BYTES: else a body within its
limit might not fit, and a gateway would wait for the rest."""
_MAX_HEADERS = 128
MOST_HEADERS = 4096
"""Most headers that HAProxy reads, to refuse more than _MAX_HEADERS."""
_SMALL_BODY_BYTES = 64 * 1024
_ANSWER_SECONDS = 10
"""Time of a gateway for more than the translation."""
_FIN_SECONDS = 5
_RETRY_AFTER_SECONDS = 1
_MOST_PROBES = 16
"""Probes of one address at a time."""
_BODIES, _ALL = "polyhead_bodies", "polyhead_all"
_REQUESTS, _PROBED = "polyhead_requests", "polyhead_probed"
COUNTERS = (_BODIES, _ALL, _REQUESTS, _PROBED)
"""Names of backends that only count: they have no server. The first two count all that are sent,
the others those of each address."""

# As the gateway has them: what a safe id is, and the contracts' error forms.
_ID = "req.fhdr(x-request-id,1)"
_LIBRETRANSLATE_PATHS = (
    "path,url_dec -m reg "
    "^/+(translate/+)?(translate|detect|languages|suggest|translate_file|download_file/[^/]*|frontend/settings|spec)/*$"
)
_UPLOAD_PATHS = (
    "path,url_dec -m reg ^/+((translate/+)?translate_file|v1/+documents|v2/+document)/*$"
)
_DEEPL_PATHS = "path,url_dec -m reg ^/+v[23]/"
# Each path is held against these once: a request meets two dozen conditions, and they cost most.
_APIS = f"""\
    http-request set-var(txn.api) str(libretranslate) if {{ {_LIBRETRANSLATE_PATHS} }}
    http-request set-var(txn.api) str(deepl) if {{ {_DEEPL_PATHS} }}
"""
_IS_LIBRETRANSLATE = "{ var(txn.api) -m str libretranslate }"
_IS_DEEPL = "{ var(txn.api) -m str deepl }"
_ID_OF_REQUEST = "%[var(txn.request_id)]"
_PROBES = "path /health /ready /metrics"
_IS_BATCH = "req.hdr(x-request-priority) batch"
_ADDRESS = "src,ipmask(32,64)"
_UNAVAILABLE = "the service has too much to do, or is starting or stopping; try again later"
_MALFORMED = "the request must be HTTP/1.1 or HTTP/1.0, but is malformed"
_UNREAD = (400, 408, 413, 422, 500, 501)
"""What HAProxy answers where there is nothing that rules could see. Its own answers are HTML and
cannot be others, but they can be none: the connection ends."""


def _native(kind: str, message: str, request_id: str = _ID_OF_REQUEST) -> str:
    return f'{{"error":{{"type":"{kind}","message":"{message}"}},"request_id":"{request_id}"}}'


def _in_each_form(kind: str, message: str) -> Iterator[tuple[str, str]]:
    """The body of an error in the form of each API, and the condition for a path to be of it."""
    yield _IS_LIBRETRANSLATE, f'{{"error":"{message}"}}'
    yield _IS_DEEPL, f'{{"message":"{message}"}}'
    yield "!{ var(txn.api) -m found }", _native(kind, message)


def _json(body: str, request_id: str = _ID_OF_REQUEST) -> str:
    return (
        f"content-type \"application/json; charset=utf-8\" lf-string '{body}' "
        f"hdr X-Request-Id {request_id}"
    )


REFUSAL = f"{_json('%[var(txn.refusal)]')} hdr Retry-After {_RETRY_AFTER_SECONDS}"
"""Follows a status: the answer of who has no room for a request."""
ERROR = f"{REFUSAL} hdr X-Refused yes"
"""The same with a header that makes the status 503, whatever the error was."""


def _variable(name: str, kind: str, message: str) -> str:
    """Rules that set the variable to an error's body in the form of the requested API."""
    return "".join(
        f"    http-request set-var-fmt(txn.{name}) '{body}' if {condition}\n"
        for condition, body in _in_each_form(kind, message)
    )


def _refused(status: int, kind: str, message: str, condition: str, headers: str = "") -> str:
    """Rules that answer a request which meets the condition, in the form of the requested API."""
    return "".join(
        f"    http-request return status {status} {_json(body)}{headers} if {condition} {of_form}\n"
        for of_form, body in _in_each_form(kind, message)
    )


def frontend_rules(options: HAProxyOptions) -> str:
    """Lines for the frontend, after its `bind`."""
    silent = "".join(f"    errorfile {status} /dev/null\n" for status in _UNREAD)
    head, crowded = _seconds(options.head_seconds), _crowded(options.connections)
    return f"""\
    option http-no-delay
    timeout client {_seconds(options.stall_seconds)}
    timeout client-fin {_FIN_SECONDS}s
    timeout http-request {head}
    timeout http-keep-alive {_seconds(options.idle_seconds)}
    stick-table type ipv6 size 64k expire 1m store conn_cur
    tcp-request connection track-sc0 {_ADDRESS}
    tcp-request connection reject if {{ sc0_conn_cur gt {options.connections_per_address} }}
{silent}\
    http-request set-var(txn.request_id) {_ID} if {{ {_ID} -m reg ^[A-Za-z0-9._:+/=-]{{1,128}}$ }}
    http-request set-var-fmt(txn.request_id) %[uuid] if !{{ var(txn.request_id) -m found }}
{_APIS}\
{_variable("refusal", "unavailable", _UNAVAILABLE)}\
    http-after-response set-status 503 if {{ res.hdr(x-refused) -m found }}
    http-after-response del-header x-refused
    http-after-response del-header server
    http-after-response set-header connection close if {{ fe_conn gt {crowded} }}
    http-after-response set-header keep-alive timeout={int(options.idle_seconds)} \
if !{{ fe_conn gt {crowded} }}
{_own_headers(options)}\
{_refusals(options)}\
    # There is nothing to upgrade to.
    http-request del-header upgrade
    http-request del-header http2-settings
    # What a client says of it is not believed.
    http-request set-header x-polyhead-address %[src]
    http-request use-service prometheus-exporter if {{ path /metrics/haproxy }}
"""


def _own_headers(options: HAProxyOptions) -> str:
    """Rules that give HAProxy's own answers the headers that a gateway's have."""
    own = "!{ res.hdr(x-content-type-options) -m found }"
    rules = [
        f"set-header {name} {own}"
        for name in (
            "cache-control no-store if",
            "x-frame-options DENY if",
            "referrer-policy no-referrer if",
            "content-security-policy \"default-src 'none'; frame-ancestors 'none'\" if",
        )
    ]
    origins = options.cors_origins.split()
    if options.cors_origins == OPEN_APIS:
        value, asked = "str(*)", _IS_LIBRETRANSLATE
    elif "*" in origins:
        value, asked = "str(*)", "TRUE"
    else:
        value, asked = "req.hdr(origin)", f"{{ req.hdr(origin) -m str {' '.join(origins)} }}"
    first = f"    http-request set-var(txn.origin) {value} if {asked}\n" if origins else ""
    allowed = f"{own} {{ var(txn.origin) -m found }}"
    rules.append(f"set-header access-control-allow-origin %[var(txn.origin)] if {allowed}")
    rules.append(f"set-header x-content-type-options nosniff if {own}")
    return first + "".join(f"    http-after-response {rule}\n" for rule in rules)


def _refusals(options: HAProxyOptions) -> str:
    most, most_of_file = options.max_body_bytes, options.max_upload_bytes
    nothing = "there is nothing at this path; /docs lists what there is"
    return (
        _refused(
            505,
            "version_not_supported",
            "the HTTP version must be 1.1 or 1.0, but is %[req.ver]",
            "!{ req.ver 1.1 1.0 }",
        )
        + _refused(
            405,
            "method_not_allowed",
            "the method must be another one at this path",
            "{ method CONNECT TRACE }",
            ' hdr Allow "GET, POST"',
        )
        + _refused(
            400,
            "no_websocket",
            "the request must not ask for a WebSocket: there is none",
            "{ req.hdr(upgrade) -i websocket }",
        )
        # The second one is Serve's list of applications. No contract has either.
        + f"""\
    http-request return status 404 {_json(_native("not_found", nothing))} \
if !{{ path_beg / }} || {{ path,url_dec -i /-/routes }}
"""
        + _refused(
            414,
            "url_too_long",
            f"the URL must have at most {_MAX_URL_BYTES} bytes, but has more",
            f"{{ url,length gt {_MAX_URL_BYTES} }}",
        )
        + _refused(
            431,
            "headers_too_large",
            f"the headers must have at most {_MAX_HEADER_BYTES} bytes, but have more",
            f"{{ req.hdrs,length gt {_MAX_HEADER_BYTES} }}",
        )
        + _refused(
            431,
            "headers_too_large",
            f"the request must have at most {_MAX_HEADERS} headers, but has %[req.fhdr_cnt]",
            f"{{ req.fhdr_cnt gt {_MAX_HEADERS} }}",
        )
        + _refused(
            413,
            "body_too_large",
            f"the body must have at most {most} bytes, but has %[req.body_size]",
            f"{{ req.body_size gt {most} }} !{{ {_UPLOAD_PATHS} }}",
        )
        + _refused(
            413,
            "body_too_large",
            f"the body must have at most {most_of_file} bytes, but has %[req.body_size]",
            f"{{ req.body_size gt {most_of_file} }}",
        )
    )


def backend_rules(name: str, options: HAProxyOptions) -> str:
    """Lines for the backend of that name, at its beginning."""
    # Bodies are waited for here, where errors have the contract's form.
    body = _seconds(options.body_seconds)
    late = (
        f"the body must arrive within {options.body_seconds:g} s, without a pause of "
        f"{options.stall_seconds:g} s, but did not"
    )
    long = f"{{ req.body_size gt {_SMALL_BODY_BYTES} }}"
    text = "{ res.hdr(content-type) -m beg text/plain }"
    return f"""\
    option http-no-delay
    timeout server {_seconds(options.request_seconds + _ANSWER_SECONDS)}
    timeout server-fin {_FIN_SECONDS}s
    timeout tunnel {_FIN_SECONDS}s
    # A machine that is gone does not say so: what waits for its answer must be sent elsewhere.
    option srvtcpka
    srvtcpka-idle 5s
    srvtcpka-intvl 1s
    srvtcpka-cnt 5
{_variable("late", "body_timeout", late)}\
{_variable("malformed", "malformed_request", _MALFORMED)}\
    http-error status 408 {_json("%[var(txn.late)]")}
    http-request track-sc1 int(1) table {_BODIES} if {long} || \
{{ req.hdr(transfer-encoding) -m found }}
    http-request return status 503 {REFUSAL} if {{ sc1_conn_cur({_BODIES}) gt \
{options.max_large_bodies} }}
    http-request wait-for-body time {body}
{_shares(name, options)}\
    # Text is what Serve and its HTTP server answer; a gateway's errors are JSON.
    http-response return status 400 {_json("%[var(txn.malformed)]")} if {{ status 400 }} {text}
    http-response return status 503 {REFUSAL} if {{ status ge 400 }} {text}
"""


def _shares(name: str, options: HAProxyOptions) -> str:
    """Rules for a whole request: who is refused, and who goes first.

    What is refused for its own client's sake waits until that may try again: nobody gains by asking
    in a loop. It counts nowhere meanwhile.
    """
    waiting, most = f"queue({name})", options.max_in_flight
    batch, share = int(most * options.batch_share), options.in_flight_per_address
    return f"""\
    timeout tarpit {_RETRY_AFTER_SECONDS}s
    http-request set-var(txn.gateways) nbsrv({name})
    http-request tarpit deny_status 503 {REFUSAL} if {{ {_IS_BATCH} }} \
{{ int(1),table_conn_cur({_ALL}),div(txn.gateways) ge {batch} }}
    http-request tarpit deny_status 503 {REFUSAL} if {{ {_PROBES} }} \
{{ {_ADDRESS},table_conn_cur({_PROBED}) ge {_MOST_PROBES} }}
    http-request tarpit deny_status 503 {REFUSAL} if {{ {waiting} ge {max(1, most // 2)} }} \
!{{ {_PROBES} }} {{ {_ADDRESS},table_conn_cur({_REQUESTS}) ge {share} }}
    http-request return status 503 {REFUSAL} if {{ {waiting} ge {most} }} !{{ {_PROBES} }}
    http-request track-sc2 {_ADDRESS} table {_PROBED} if {{ {_PROBES} }}
    http-request track-sc2 {_ADDRESS} table {_REQUESTS} if !{{ {_PROBES} }}
    http-request track-sc3 int(1) table {_ALL} if !{{ {_PROBES} }}
    http-request set-priority-class int(1) if {{ sc2_conn_cur gt {share} }}
    http-request set-priority-class int(2) if {{ {_IS_BATCH} }}
    http-request set-priority-class int(-1) if {{ {_PROBES} }}
"""


def more_sections() -> str:
    """Sections of our own.

    With resolvers of ours, HAProxy opens no socket to the machine's, of which it asks nothing.
    """
    return f"""\
resolvers default
    nameserver nobody 127.0.0.1:53
backend {_BODIES}
    stick-table type integer size 1 store conn_cur
backend {_ALL}
    stick-table type integer size 1 store conn_cur
backend {_REQUESTS}
    stick-table type ipv6 size 64k expire 1m store conn_cur
backend {_PROBED}
    stick-table type ipv6 size 64k expire 1m store conn_cur
"""


def _crowded(connections: int) -> int:
    return connections * 3 // 4


def _seconds(seconds: float) -> str:
    """A time as HAProxy reads it: a whole number of some unit."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{max(1, round(seconds * 1000))}ms"
