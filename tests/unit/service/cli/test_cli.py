"""The command line: help, what goes in and out, and one line for what is wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.engine.native import build as native_build
from model.engine.native import runner as native_runner
from service import cli
from tests.tiny_model import build_tiny_model

ROOT = Path(__file__).parents[4]
_MAIN = "from service.cli import main; main()"
# A suite that runs in the background hands an ignored SIGINT on, which Python leaves ignored.
_MAIN_IN_FRONT = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {_MAIN}"


@dataclass(frozen=True)
class _Outcome:
    status: int
    output: str
    errors: str


class _Polyhead:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> _Outcome:
        self._monkeypatch.setattr(sys, "argv", ["polyhead", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = self._capsys.readouterr()
        return _Outcome(int(ended.value.code or 0), captured.out, captured.err)


@pytest.fixture
def polyhead(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> _Polyhead:
    return _Polyhead(monkeypatch, capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    native_build.build()  # or the first command would say that it does
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def _only_line(errors: str) -> str:
    [line] = errors.splitlines()
    assert line.startswith("polyhead: ")
    return line


@pytest.mark.parametrize(
    "command", [(), ("serve",), ("translate",), ("train",), ("evaluate",), ("bench",)]
)
def test_help_shows_examples(polyhead: _Polyhead, command: tuple[str, ...]) -> None:
    outcome = polyhead(*command, "--help")
    assert outcome.status == 0
    _, _, examples = outcome.output.partition("Examples:\n")
    assert f"  polyhead {' '.join(command)}".rstrip() in examples


def test_help_needs_neither_torch_nor_ray() -> None:
    code = (
        "import atexit, sys; sys.argv = ['polyhead', 'serve', '--help']; "
        "atexit.register(lambda: print({'torch', 'ray'} & set(sys.modules)));" + _MAIN
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.endswith("set()\n")


def test_version(polyhead: _Polyhead) -> None:
    outcome = polyhead("--version")
    assert outcome.status == 0
    assert outcome.output.startswith("polyhead ")


def test_a_python_that_is_too_old(polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main, ...)")
    outcome = polyhead("serve")
    assert outcome.status == 1
    assert _only_line(outcome.errors) == "polyhead: Python must be 3.11 or newer, but is 3.10.4"


def test_an_option_that_does_not_exist(polyhead: _Polyhead) -> None:
    outcome = polyhead("serve", "--prot", "80")
    assert outcome.status == 2
    assert "--prot" in outcome.errors


def test_serve_hands_over_what_was_given(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "service.launcher.launch.run", lambda *arguments, **_: given.extend(arguments)
    )
    monkeypatch.setenv("POLYHEAD_GATEWAY_REPLICAS", "3")
    outcome = polyhead(
        "serve", "--port", "9000", "--host", "0.0.0.0", "--replicas", "2",
        "--model", "one", "--model", "two", "--device", "cpu", "--dtype", "float32",
    )  # fmt: skip
    assert outcome.status == 0
    settings, address = given
    assert (address.host, address.port) == ("0.0.0.0", 9000)
    assert (settings.replicas, settings.gateway_replicas) == (2, 3)
    assert settings.models == ["one", "two"]
    assert (settings.engine.device, settings.engine.dtype) == ("cpu", "float32")


def test_serve_takes_the_most_replicas_from_the_command_line_and_the_rest_from_the_environment(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "service.launcher.launch.run", lambda *arguments, **_: given.extend(arguments)
    )
    monkeypatch.setenv("POLYHEAD_AUTOSCALING__HOLD_SECONDS", "7")
    assert polyhead("serve", "--max-replicas", "5", "--replicas", "2").status == 0
    scaling = given[0].autoscaling
    assert (scaling.min_replicas, scaling.max_replicas, scaling.hold_seconds) == (2, 5, 7)


def test_options_and_the_environment_go_together(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "service.launcher.launch.run", lambda *arguments, **_: given.extend(arguments)
    )
    monkeypatch.setenv("POLYHEAD_ENGINE__DTYPE", "float32")
    assert polyhead("serve", "--device", "cpu").status == 0
    settings, _ = given
    assert (settings.engine.device, settings.engine.dtype) == ("cpu", "float32")


def test_serve_listens_on_loopback_port_8000_by_default(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "service.launcher.launch.run", lambda *arguments, **_: given.extend(arguments)
    )
    assert polyhead("serve").status == 0
    settings, address = given
    assert (address.host, address.port) == ("127.0.0.1", 8000)
    assert settings.replicas == 1


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "LIMITS__MAX_TEXTS",
            "0",
            "`limits.max_texts`: Input should be greater than or equal to 1, but is '0'",
        ),
        ("LIMITS__MAX_TEXT", "1", "`limits.max_text`: Extra inputs are not permitted"),
        ("ENGINE__DTYPE", "int3", "`engine`: `dtype` must be one of auto, float32, bfloat16"),
        ("LIMITS", "many", '"limits"'),
        ("MODELS", "[a", "`models`: "),
    ],
)
def test_a_setting_that_is_wrong(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"POLYHEAD_{name}", value)
    outcome = polyhead("serve")
    assert outcome.status == 1
    assert problem in _only_line(outcome.errors)


def test_translates_a_text(polyhead: _Polyhead, model: Path) -> None:
    outcome = polyhead("translate", "The red house.", "--model", str(model))
    assert outcome.status == 0
    assert outcome.output.endswith("\n")
    assert outcome.errors == ""


def test_translates_the_languages_that_are_asked_for(polyhead: _Polyhead, model: Path) -> None:
    text = "The red house."
    plain = polyhead("translate", "--model", str(model), text)
    asked = polyhead("translate", "--model", str(model), "--source", "EN", "--target", "de", text)
    assert (asked.status, asked.output) == (0, plain.output)
    other = polyhead("translate", "--model", str(model), "--target", "fr", text)
    assert other.status == 1
    assert "tiny-en-de translates en to de, but not en to fr" in other.errors


def test_without_a_compiler_it_translates_and_says_once_with_what(
    polyhead: _Polyhead, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native_build, "_directories", lambda: [tmp_path])
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = polyhead("translate", "The red house.", "--model", str(model), "--device", "cpu")
    assert outcome.status == 0
    assert outcome.output.endswith("\n")
    assert "plain PyTorch, which is slower: no C++ compiler" in _only_line(outcome.errors)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_type_is_what_was_asked_for(
    polyhead: _Polyhead, model: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    built: list[str] = []

    def build_native_runners(made: Any, *, dtype: str, max_slots: list[int]) -> Any:
        built.append(dtype)
        return native_runner.build_native_runners(made, dtype=dtype, max_slots=max_slots)

    stand_in = SimpleNamespace(build_native_runners=build_native_runners)
    monkeypatch.setitem(sys.modules, "model.engine.native.runner", stand_in)
    arguments = ("--model", str(model), "--device", "cpu", "--dtype", dtype)
    assert polyhead("translate", "The red house.", *arguments).status == 0
    assert built == [dtype]


def test_translates_lines_in_their_order(polyhead: _Polyhead, model: Path) -> None:
    lines = [f"The {word} house." for word in ("red", "old", "new", "green", "small")] * 80
    text = "\n".join(lines).encode()
    outcome = polyhead("translate", "--model", str(model), "--json", stdin=text)
    assert outcome.status == 0
    translated = [json.loads(line)["text"] for line in outcome.output.splitlines()]
    assert len(translated) == len(lines)
    assert len(set(translated)) > 1
    for first, later in zip(translated, translated[5:], strict=False):
        assert first == later


def test_blank_lines_and_line_ends_stay_what_they_are(polyhead: _Polyhead, model: Path) -> None:
    text = "\N{ZERO WIDTH NO-BREAK SPACE}The red house.\r\n\n  \nOld bread.".encode()
    outcome = polyhead("translate", "--model", str(model), stdin=text)
    first, empty, spaces, _, end = outcome.output.split("\n")
    assert first
    assert end == ""
    assert (empty, spaces) == ("", "  ")
    # A byte order mark, and the carriage return of another system's line end, are not the text's.
    plain = polyhead("translate", "--model", str(model), stdin=b"The red house.\n")
    assert plain.output == first + "\n"


def test_json_has_scores_and_counts(polyhead: _Polyhead, model: Path) -> None:
    outcome = polyhead(
        "translate", "--model", str(model), "--json", "--beam-size", "1", "The red house."
    )
    values = json.loads(outcome.output)
    assert values["text"] == values["hypotheses"][0]["text"]
    assert values["score"] < 0
    assert values["source_tokens"] > 1
    assert values["finish_reason"] in ("stop", "length")


def test_a_line_that_is_not_utf_8(polyhead: _Polyhead, model: Path) -> None:
    text = b"The red house.\nThe gr\xfcn house.\n"
    outcome = polyhead("translate", "--model", str(model), stdin=text)
    assert outcome.status == 1
    assert "line 2 of the input must be UTF-8" in _only_line(outcome.errors)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("translate", "a", "--model", "/nowhere"), "must be a directory"),
        (("translate", "a", "--model", "/nowhere", "--beam-size", "2"), "must be a directory"),
        (("train", "/nowhere.yaml", "--run-dir", "{folder}/run"), "/nowhere.yaml"),
        (("evaluate", "/nowhere.tsv", "--model", "{model}"), "/nowhere.tsv"),
        (("evaluate", "--robustness", "/nowhere.yaml", "--model", "{model}"), "/nowhere.yaml"),
        (("translate", "a", "--model", "{model}", "--device", "abacus"), "device"),
        (("translate", "a", "--model", "{model}", "--dtype", "int3"), "`dtype` must be one of"),
    ],
)
def test_what_is_wrong_is_one_line(
    polyhead: _Polyhead, model: Path, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    places = {"model": model, "folder": tmp_path}
    outcome = polyhead(*(argument.format_map(places) for argument in arguments))
    assert outcome.status == 1
    assert problem in _only_line(outcome.errors)


@pytest.mark.parametrize("command", [("translate", "a"), ("serve",), ("evaluate", "a.tsv")])
def test_a_directory_cannot_write_to_the_terminal(
    polyhead: _Polyhead, model: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    directory = tmp_path / "a\n\x1b[31mb"
    shutil.copytree(model, directory)
    (directory / "config.json").write_text('{"format_version": "\\u001b[2J\\u202e\\n"}')
    outcome = polyhead(*command, "--model", str(directory))
    assert outcome.status == 1
    line = _only_line(outcome.errors)
    assert line.isprintable()
    assert r"a\n\x1b[31mb/config.json: `format_version` must be 1, but is '\x1b[2J" in line


def test_evaluates_files(polyhead: _Polyhead, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.tsv"
    file.write_text("The red house.\tDas rote Haus.\nOld bread.\tAltes Brot.\n", encoding="utf-8")
    outcome = polyhead("evaluate", "--model", str(model), str(file), str(file))
    assert outcome.status == 0
    header, first, second, *signatures = outcome.output.splitlines()
    assert header.split() == ["file", "lines", "BLEU", "chrF"]
    assert first.split()[:2] == second.split()[:2] == ["test.tsv", "2"]
    assert [line.split()[0] for line in signatures] == ["BLEU", "chrF"]
    assert all("version:" in line for line in signatures)

    outcome = polyhead("evaluate", "--model", str(model), "--json", "--beam-size", "1", str(file))
    values = json.loads(outcome.output)
    assert values["num_lines"] == 2
    assert 0 <= values["bleu"] <= 100

    turned = tmp_path / "turned" / "test.tsv"
    turned.parent.mkdir()
    turned.write_text("Das rote Haus.\tThe red house.\nAltes Brot.\tOld bread.\n", encoding="utf-8")
    command = ("evaluate", "--model", str(model), "--json", "--beam-size", "1")
    assert json.loads(polyhead(*command, "--reverse", str(turned)).output) == values
    assert json.loads(polyhead(*command, str(turned)).output) != values


def test_checks_robustness(polyhead: _Polyhead, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    cases = (
        "cases: {address: [{text: www.example.com, copied: true}], word: [{text: a, says: [Qx]}]}"
    )
    file.write_text(f"source: en\ntarget: de\n{cases}\n", encoding="utf-8")
    command = ("evaluate", "--model", str(model), "--robustness", str(file))

    outcome = polyhead(*command, "--min-pass-rate", "0.5")
    assert outcome.status == 0
    *table, summary = outcome.output.splitlines()
    assert [row.split()[:3] for row in table[1:]] == [
        ["address", "1", "100.0%"],
        ["word", "1", "0.0%"],
        ["all", "2", "50.0%"],
    ]
    values = json.loads(summary)
    assert values["file"] == "set.yaml"
    assert values["pass_rate"] == 0.5
    assert values["categories"] == {"address": 1.0, "word": 0.0}

    outcome = polyhead(*command, "--json", "--min-pass-rate", "0.51")
    assert outcome.status == 1
    assert json.loads(outcome.output) == values
    problem = "the pass rate must be at least 0.51, but is 0.5"
    assert problem in _only_line(outcome.errors)

    first, texts, *_ = polyhead(*command, "--verbose").output.splitlines()
    assert first.startswith("word: ")
    assert texts == "  'a'"


def test_evaluate_needs_something_to_evaluate(polyhead: _Polyhead) -> None:
    outcome = polyhead("evaluate")
    assert outcome.status == 2
    assert "FILES" in outcome.errors
    outcome = polyhead("evaluate", "test.tsv", "--min-pass-rate", "0.5")
    assert outcome.status == 2
    assert "--robustness" in outcome.errors


def test_train_hands_over_what_was_given(
    polyhead: _Polyhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def train(recipe: Path, **options: Any) -> Path:
        given.append((recipe, options))
        return Path("runs/r/model")

    monkeypatch.setattr("model.training.trainer.train", train)
    assert polyhead("train", "recipes/r.yaml").output == "runs/r/model\n"
    polyhead("train", "r.yaml", "--run-dir", "there", "--data-root", "data", "--no-resume")
    polyhead("train", "r.yaml", "--stop-after", "540")
    nothing_said = {"data_root": None, "resume": True, "stop_after": None}
    assert given == [
        (Path("recipes/r.yaml"), {**nothing_said, "run_dir": Path("runs/r")}),
        (
            Path("r.yaml"),
            {
                "run_dir": Path("there"),
                "data_root": Path("data"),
                "resume": False,
                "stop_after": None,
            },
        ),
        (Path("r.yaml"), {**nothing_said, "run_dir": Path("runs/r"), "stop_after": 540.0}),
    ]


@contextmanager
def _started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command with pipes; killed if it runs at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN_IN_FRONT, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_letters_beyond_ascii_in_a_locale_without_them(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Übung mit Leerzeichen"
    shutil.copytree(model, folder / "modèle")
    (folder / "Tür.txt").write_text("The door – it is grün.\n", encoding="utf-8")
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*arguments: str) -> tuple[int, bytes, str]:
        ran = subprocess.run(
            [sys.executable, "-c", _MAIN, *arguments], cwd=folder, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables, capture_output=True,
        )  # fmt: skip
        return ran.returncode, ran.stdout, ran.stderr.decode()

    status, output, errors = run("translate", "--model", "modèle", "The door – it is grün.")
    assert (status, errors) == (0, "")
    assert output.decode().strip()
    status, _, errors = run("translate", "--model", "modèle", "Tür.txt")
    assert (status, errors) == (0, "polyhead: Tür.de.txt is the translation\n")
    translated = (folder / "Tür.de.txt").read_text(encoding="utf-8")
    assert translated.strip() == output.decode().strip()
    status, _, errors = run("translate", "--model", "weg ✗", "The door.")
    assert status == 1
    assert "weg ✗" in _only_line(errors)


def test_utf8_is_required_once_where_the_command_line_is_against_it() -> None:
    program = (
        "import sys; from service.cli.utf8_mode import require_utf8; require_utf8(); "
        "print(sys.getfilesystemencoding(), sys.argv[1])"
    )
    ran = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", program, "more"], cwd=ROOT, timeout=60, check=True,
        env=os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, capture_output=True,
    )  # fmt: skip
    assert ran.stdout == b"utf-8 more\n"


_MANY_LINES = b"The red house.\n" * 1100
"""More than are held back to fill the batch, so that an answer shows that it works."""


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_ctrl_c_ends_quietly(model: Path, inherited: signal.Handlers) -> None:
    with ExitStack() as cleanup:
        ours = signal.signal(signal.SIGINT, inherited)
        try:
            process = cleanup.enter_context(_started("translate", "--model", str(model)))
        finally:
            signal.signal(signal.SIGINT, ours)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_MANY_LINES)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == b""


def test_a_reader_that_has_gone_ends_it_quietly(model: Path) -> None:
    with _started("translate", "--model", str(model)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(_MANY_LINES)
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        # It may have noticed already.
        with suppress(BrokenPipeError):
            process.stdin.write(_MANY_LINES)
        with suppress(BrokenPipeError):
            process.stdin.close()
        errors = process.stderr.read()
        assert process.wait(timeout=60) != 0
    assert errors == b""
