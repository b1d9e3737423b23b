"""Log lines are JSON, and say nothing that a user wrote, whoever logs."""

from __future__ import annotations

import io
import json
import logging
import select
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from model.errors import InvalidRequestError, QueueFullError
from service.observability.logs import LineHandler, configure_logging
from service.settings import LogLevel
from tests.fakes import FakeBackend, Gateway

SECRET = "my grandmother's recipe"
BODY = {"text": SECRET, "source": "en", "target": "de"}

ReadLines = Callable[[LogLevel], Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test makes of the process's logging is undone."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    loggers = [logging.getLogger(name) for name in ("polyhead", "python_multipart", None)]
    before = [(list(each.handlers), each.level, each.propagate) for each in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def logged(restored: None) -> ReadLines:
    """Switches the log on at a level; then reads the lines that were written."""
    logger = logging.getLogger("polyhead")

    def switch_on(level: LogLevel) -> Callable[[], list[dict[str, Any]]]:
        stream = io.StringIO()
        configure_logging(level, stream)
        (handler,) = logger.handlers
        assert isinstance(handler, LineHandler)
        written = handler.lines

        def read() -> list[dict[str, Any]]:
            written.join()
            return [json.loads(line) for line in stream.getvalue().splitlines()]

        return read

    return switch_on


async def test_a_request_is_one_line(logged: ReadLines) -> None:
    lines = logged(LogLevel.INFO)
    async with Gateway().client() as client:
        body = {"texts": [SECRET, "b"], "source": "en", "target": "de"}
        await client.post("/v1/translate", json=body, headers={"X-Request-Id": "r-1"})
    (line,) = lines()
    assert line["milliseconds"] > 0
    assert line["time"].endswith("Z")
    picked = {name: line[name] for name in line if name not in ("milliseconds", "time")}
    assert picked == {
        "level": "info",
        "logger": "polyhead.gateway",
        "message": "request",
        "method": "POST",
        "route": "/v1/translate",
        "status": 200,
        "texts": 2,
        "request_id": "r-1",
    }


async def test_a_path_that_does_not_exist_is_not_written_down(logged: ReadLines) -> None:
    lines = logged(LogLevel.INFO)
    async with Gateway().client() as client:
        await client.get(f"/{SECRET}")
    (line,) = lines()
    assert (line["route"], line["status"]) == ("other", 404)
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("error", [ValueError(SECRET), QueueFullError(SECRET)])
async def test_a_failure_is_written_without_its_message(
    logged: ReadLines, error: Exception
) -> None:
    lines = logged(LogLevel.INFO)
    backend = FakeBackend()
    backend.fail_next(error)
    async with Gateway(backend).client() as client:
        answer = await client.post("/v1/translate", json=BODY)
    failed, request = lines()
    assert failed["error"] == type(error).__name__
    assert failed["request_id"] == request["request_id"] == answer.headers["X-Request-Id"]
    assert request["status"] == answer.status_code
    assert SECRET not in json.dumps([failed, request])


async def test_an_unexpected_failure_shows_where_it_came_from(logged: ReadLines) -> None:
    lines = logged(LogLevel.INFO)
    backend = FakeBackend()
    backend.fail_next(ValueError(SECRET))
    async with Gateway(backend).client() as client:
        await client.post("/v1/translate", json=BODY)
    (failed, _) = lines()
    assert failed["level"] == "error"
    assert "fakes.py" in failed["frames"][-1]


async def test_the_message_is_there_for_a_developer(logged: ReadLines) -> None:
    lines = logged(LogLevel.DEBUG)
    backend = FakeBackend()
    backend.fail_next(ValueError(SECRET))
    async with Gateway(backend).client() as client:
        await client.post("/v1/translate", json=BODY)
    assert lines()[0]["error_message"] == SECRET


async def test_what_a_client_did_wrong_is_no_failure_of_ours(logged: ReadLines) -> None:
    lines = logged(LogLevel.INFO)
    backend = FakeBackend()
    backend.fail_next(InvalidRequestError(SECRET))
    async with Gateway(backend).client() as client:
        await client.post("/v1/translate", json=BODY)
    assert [(line["message"], line["status"]) for line in lines()] == [("request", 422)]


async def test_requests_can_be_left_out(logged: ReadLines) -> None:
    lines = logged(LogLevel.INFO)
    async with Gateway(log_requests=False).client() as client:
        await client.get("/health")
    assert lines() == []


async def test_a_higher_level_leaves_requests_out(logged: ReadLines) -> None:
    lines = logged(LogLevel.WARNING)
    async with Gateway().client() as client:
        await client.get("/health")
    assert lines() == []


def test_an_exception_in_any_of_our_loggers_is_written_without_its_message(
    logged: ReadLines,
) -> None:
    lines = logged(LogLevel.INFO)
    try:
        raise KeyError(SECRET)
    except KeyError:
        logging.getLogger("polyhead.elsewhere").exception("broken")
    (line,) = lines()
    assert (line["message"], line["error"]) == ("broken", "KeyError")
    assert SECRET not in json.dumps(line)


MALFORMED_FORMS = (
    f"{SECRET}--b--",
    f"--b{SECRET}",
    f"--b\r\n{SECRET}\r\n\r\n\r\n--b--\r\n",
    f"--b\r\n: {SECRET}\r\n\r\n--b--\r\n",
    f'--b\r\nContent-Disposition: form-data; name="q"\r{SECRET}',
    f'--b\r\nContent-Disposition: form-data; name="q"\r\n\r{SECRET}',
    f'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\na\r\n--b {SECRET}',
)


@pytest.mark.parametrize("path", ["/translate", "/translate_file"])
@pytest.mark.parametrize("level", [LogLevel.INFO, LogLevel.DEBUG])
async def test_what_is_wrong_with_a_form_is_told_to_its_client_alone(
    logged: ReadLines, monkeypatch: pytest.MonkeyPatch, path: str, level: LogLevel
) -> None:
    lines = logged(level)
    emitted: list[str] = []
    emit = logging.Logger.callHandlers

    def watched(logger: logging.Logger, record: logging.LogRecord) -> None:
        emitted.append(record.name)
        emit(logger, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", watched)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with Gateway().client() as client:
        for form in MALFORMED_FORMS:
            answer = await client.post(path, content=form, headers=headers)
            assert answer.status_code == 400, form
    assert emitted == []
    written = lines()
    assert [line["message"] for line in written] == ["request"] * len(MALFORMED_FORMS)
    assert SECRET not in json.dumps(written)


@pytest.mark.parametrize("level", [LogLevel.INFO, LogLevel.WARNING])
def test_a_library_is_written_down_by_its_place(logged: ReadLines, level: LogLevel) -> None:
    lines = logged(level)
    library = logging.getLogger("a_library.parsing")
    library.info("it has begun")
    library.warning(f"unknown: {SECRET}")
    try:
        raise ValueError(SECRET)
    except ValueError:
        library.exception("broken by %s", SECRET)
    warned, failed = lines()
    assert (warned["level"], warned["logger"]) == ("warning", "a_library.parsing")
    [frame] = warned["frames"]
    assert frame.startswith(f"{__file__}:")
    assert frame.endswith(" test_a_library_is_written_down_by_its_place")
    assert (failed["level"], failed["error"]) == ("error", "ValueError")
    assert SECRET not in json.dumps([warned, failed])


def test_what_a_library_says_is_there_for_a_developer(logged: ReadLines) -> None:
    lines = logged(LogLevel.DEBUG)
    logging.getLogger("a_library").debug("in detail")
    logging.getLogger("a_library").warning("unknown: %s", SECRET)
    (line,) = lines()
    assert line["message"] == f"unknown: {SECRET}"


def test_a_library_is_no_louder_than_we_are(logged: ReadLines) -> None:
    lines = logged(LogLevel.ERROR)
    logging.getLogger("a_library").warning("unknown")
    assert lines() == []


def test_a_warning_of_python_is_a_line_like_others(
    logged: ReadLines, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = logged(LogLevel.INFO)
    warnings.simplefilter("always")
    warnings.warn(SECRET, RuntimeWarning, stacklevel=1)
    (line,) = lines()
    assert (line["level"], line["error"]) == ("warning", "RuntimeWarning")
    [frame] = line["frames"]
    assert frame.startswith(f"{__file__}:")
    assert SECRET not in json.dumps(line)
    assert capsys.readouterr().err == ""


class StoppedStream(io.StringIO):
    """A stream that takes nothing until `resume` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.resume = threading.Event()

    def write(self, text: str) -> int:
        assert self.resume.wait(timeout=60)
        return super().write(text)


def test_nobody_waits_for_a_stream_that_takes_nothing(restored: None) -> None:
    logger = logging.getLogger("polyhead")
    stream = StoppedStream()
    try:
        configure_logging(LogLevel.INFO, stream)
        (handler,) = logger.handlers
        assert isinstance(handler, LineHandler)
        for number in range(12_000):
            logger.info("line %d", number)
        stream.resume.set()
        handler.lines.join()
    finally:
        stream.resume.set()
    lines = stream.getvalue().splitlines()
    assert 10_000 <= len(lines) <= 10_256
    assert json.loads(lines[0])["message"] == "line 0"


class Pieces(io.StringIO):
    """A stream that keeps what it is given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_processes_with_the_same_pipe_do_not_tear_each_others_lines(restored: None) -> None:
    logger = logging.getLogger("polyhead")
    stream = Pieces()
    configure_logging(LogLevel.INFO, stream)
    (handler,) = logger.handlers
    assert isinstance(handler, LineHandler)
    for number in range(300):
        logger.info("line %d is long: %s", number, "ü" * 200)
    logger.info("longer than a pipe takes at once: %s", "ü" * select.PIPE_BUF)
    handler.lines.join()
    assert all(piece.endswith("\n") for piece in stream.pieces)
    lines = "".join(stream.pieces).splitlines()
    assert len(lines) == 301
    assert json.loads(lines[299])["message"].startswith("line 299 is long")
    *fitting, longer = stream.pieces
    assert max(len(piece.encode()) for piece in fitting) <= select.PIPE_BUF
    assert longer.count("\n") == 1
    assert len(fitting) < 100  # many at once
