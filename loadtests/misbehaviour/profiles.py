"""The ways to misbehave: what a connection sends, and how it goes on."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from loadtests.misbehaviour.connection import Connection, status_of

__all__ = ["PROFILES", "Crowd", "GoOn", "Limits", "Profile"]

_TRICKLE_SECONDS = 1.0
_SMALL_BUFFER = 2048
_MOST_ANSWER_BYTES = 2 * 2**20
"""As large as the largest request that is taken by default."""
_SENTENCE = "The old king of the hill went to the 3 blue houses and said that he would come back. "
_COSTLY = "<a\t"
"""A unit that is long to cut into sentences."""
_UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the deployment permits a request to have, and the pair that it translates."""

    source: str = "en"
    target: str = "de"
    total_chars: int = 50_000
    text_chars: int = 20_000
    beam_size: int = 8
    num_hypotheses: int = 3
    """Most that the longest texts may have; more would be refused."""
    max_new_tokens: int = 512
    no_repeat_ngram_size: int = 100

    def body(self, unit: str, chars: int | None = None, **generation: int) -> bytes:
        """JSON with so many characters in all (None: as many as may be), a unit repeated."""
        whole, rest = divmod(chars or self.total_chars, self.text_chars)
        lengths = [self.text_chars] * whole + [rest] * (rest > 0)
        return json.dumps(
            {
                "texts": [(unit * -(-length // len(unit)))[:length] for length in lengths],
                "source": self.source,
                "target": self.target,
                "generation": generation,
            }
        ).encode()


Request = Callable[[Limits], bytes]
GoOn = Callable[[Connection], Awaitable[str]]
"""What follows on the request. It says how the server ended the connection, by the status of its
answer or "closed", or "left" where the client did."""


@dataclass(frozen=True)
class Crowd:
    """Connections that do the same, each again and again."""

    connections: int
    request: Request | Sequence[bytes]
    """How to make one, or those to draw from."""
    go_on: GoOn
    pause: float = 0.5
    """Seconds before another connection takes the place of one that has ended."""
    receive_buffer: int | None = None


@dataclass(frozen=True)
class Profile:
    """Clients that misbehave, and what they may get."""

    title: str
    crowds: tuple[Crowd, ...]
    limit_seconds: float | None = None
    """In which the server must have ended each connection; None takes the run's."""
    is_work: bool = False
    """What they ask for is permitted and takes its time, up to the deadline."""
    is_refused: bool = False
    """No answer but a refusal is right: 4xx, 501, or the connection's end."""


def _post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A POST whose head may promise another length than the body has."""
    first = (
        "POST /v1/translate HTTP/1.1", "Host: x", "Content-Type: application/json",
        "Cache-Control: no-cache",
    )  # fmt: skip
    length = len(body) if length is None else length
    return "\r\n".join([*first, f"Content-Length: {length}", *headers, "", ""]).encode() + body


def _head(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, "Host: x", *headers, "", ""]).encode()


_MALFORMED = (
    _post(b"{}", "Transfer-Encoding: chunked, identity"),
    _post(b"{}", "Content-Length: 5"),
    _post(b"{}", "Content-Length : 2"),
    _post(b"{}", "X-A: b\rTransfer-Encoding: chunked"),
    _post(b"{}", "X-\x00: b"),
    _post(b"{}", "X-A: " + "a" * 70_000),
    _post(b"{}", length=-1),
    _post(b"{}", length=10**23),
    _head(f"GET /{'a' * 70_000} HTTP/1.1"),
    _head("GET /health JUNK/1.1"),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    bytes(range(256)) * 20,
)
_METHODS = [
    _head(f"{method} HTTP/1.1", "Connection: close")
    for method in (
        "TRACE /", "CONNECT x:443", "PUT /v1/translate", "DELETE /v1/translate", "PATCH /health",
        "PROPFIND /", "A" * 5_000 + " /", "get /health",
    )
]  # fmt: skip


def _separators(limits: Limits) -> bytes:
    """Little to translate and much to send back."""
    number = min(limits.beam_size, limits.num_hypotheses)
    unit = "Hello you." + "\x1c" * limits.text_chars
    return _post(limits.body(unit, beam_size=number, num_hypotheses=number))


def _upgrade(_: Limits) -> bytes:
    """Without a text, so that nothing else is asked for."""
    return _post(b"{}", *_UPGRADE)


def _costly(limits: Limits) -> bytes:
    """All of it, or a part that ends anywhere."""
    request = _post(limits.body(_COSTLY))
    return request[: random.choice([random.randrange(len(request)), len(request)])]


def _largest(limits: Limits) -> bytes:
    most = {"beam_size": limits.beam_size, "max_new_tokens": limits.max_new_tokens}
    body = limits.body(_SENTENCE, no_repeat_ngram_size=limits.no_repeat_ngram_size, **most)
    return _post(body, "Connection: close")


def _of_priority(priority: str) -> Request:
    headers = f"X-Request-Priority: {priority}", "Connection: close"
    return lambda limits: _post(limits.body(_SENTENCE, 2_000), *headers)


def _http2_resets() -> bytes:
    """A preface, and streams that are reset as soon as they are open."""

    def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
        length = struct.pack(">I", len(content))[1:]
        return length + struct.pack(">BBI", kind, flags, stream) + content

    # HPACK: POST and http from its table, `:path` and `:authority` as literals.
    head = b"\x83\x86\x04\x0d/v1/translate\x01\x01x"
    streams = [
        frame(1, 4, stream, head) + frame(3, 0, stream, struct.pack(">I", 8))
        for stream in range(1, 1_000, 2)
    ]
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + b"".join(streams)


async def _read(connection: Connection) -> str:
    return (await connection.whole())[0]


async def _read_first(connection: Connection) -> str:
    return status_of(await connection.receive() or b"")


async def _read_bounded(connection: Connection) -> str:
    answer = await connection.receive() or b""
    _, _, length = answer.lower().partition(b"content-length:")
    return (
        "unbounded" if int(length.split(b"\r")[0] or 0) > _MOST_ANSWER_BYTES else status_of(answer)
    )


async def _read_slowly(connection: Connection) -> str:
    return (await connection.whole(size=64, pause=_TRICKLE_SECONDS))[0]


async def _read_nothing(connection: Connection) -> str:
    await connection.lost()
    return "closed"


async def _trickle(connection: Connection) -> str:
    while (answer := await connection.receive(_TRICKLE_SECONDS)) is None:
        await connection.send(b" ")
    return status_of(answer)


async def _leave(connection: Connection) -> str:
    await connection.receive(random.uniform(0.0, 0.5))
    return "left"


async def _leave_at_once(_: Connection) -> str:
    return "left"


_IDLE = Crowd(5_000, [b""], _read, pause=5.0)
# HAProxy buffers 32 kB before it asks a server.
_STOPPED = Crowd(150, [_post(b" " * 33_000, length=40_000)], _read)
_UNREAD = Crowd(150, _separators, _read_nothing, receive_buffer=_SMALL_BUFFER)
_READ_SLOWLY = Crowd(150, _separators, _read_slowly, receive_buffer=_SMALL_BUFFER)
_TRICKLED_HEADS = Crowd(500, [b"POST /v1/translate HTTP/1.1\r\nX-A: "], _trickle)
_TRICKLED_BODIES = Crowd(150, [_post(b"{", length=40_000)], _trickle)
_MUCH = Crowd(16, _of_priority("interactive"), _read, pause=0.0)
_BATCH = Crowd(64, _of_priority("batch"), _read, pause=0.0)
_GONE = Crowd(4, _costly, _leave, pause=0.1)
_AT_ONCE = Crowd(20, [b""], _leave_at_once, pause=0.02)

PROFILES = {
    "idle": Profile("5,000 connections that say nothing", (_IDLE,)),
    "trickled-heads": Profile("a byte of a head each second", (_TRICKLED_HEADS,)),
    "keep-alive": Profile(
        "a request, then silence", (Crowd(500, [_head("GET /health HTTP/1.1")], _read),)
    ),
    "stopped-bodies": Profile("33 of 40 kB, then silence", (_STOPPED,)),
    "trickled-bodies": Profile("a byte of a body each second", (_TRICKLED_BODIES,)),
    "unread": Profile("large answers that nobody reads", (_UNREAD,)),
    "trickled-reading": Profile("64 bytes of an answer each second", (_READ_SLOWLY,)),
    "upgrade": Profile("Upgrade: websocket", (Crowd(150, _upgrade, _read_first),), 10.0),
    "leaving": Profile("costly texts, and gone", (_GONE,)),
    "largest": Profile("the largest request", (Crowd(1, _largest, _read),), is_work=True),
    "four-largest": Profile("four largest requests", (Crowd(4, _largest, _read),), is_work=True),
    "separators": Profile(
        "all hypotheses of separators", (Crowd(2, _separators, _read_bounded),), is_work=True
    ),
    "churn": Profile("connect and close", (_AT_ONCE,)),
    "malformed": Profile(
        "heads that are no HTTP", (Crowd(4, _MALFORMED, _read, 0.05),), is_refused=True
    ),
    "methods": Profile("other methods", (Crowd(4, _METHODS, _read, 0.05),), is_refused=True),
    "interactive-flood": Profile("much at once, all of it interactive", (_MUCH,), is_work=True),
    "batch-flood": Profile("much at once, all of it batch", (_BATCH,), is_work=True),
    "http2-resets": Profile("streams, each reset", (Crowd(8, [_http2_resets()], _read, 0.1),)),
    "everything": Profile("idle, stopped bodies, unread answers", (_IDLE, _STOPPED, _UNREAD)),
}
"""All of them, by the names that the command line takes."""
