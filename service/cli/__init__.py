"""The `polyhead` command. What a subcommand needs is imported when it runs: help is quick."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from model.config import EngineConfig, GenerationConfig
    from model.training.robustness.report import RobustnessReport

__all__ = ["app", "main"]

_OLDEST_PYTHON = (3, 11)

app = typer.Typer(
    name="polyhead",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model directory, or en-de, de-en  [default: en-de]"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
_DTYPES = "auto, int8, float32 or bfloat16"
_AUTO_DTYPE = "auto: int8 on the CPU, bfloat16 on CUDA"
EngineDtypeOption = Annotated[str, typer.Option("--dtype", help=f"{_DTYPES}; {_AUTO_DTYPE}.")]
BeamOption = Annotated[
    int | None,
    typer.Option("--beam-size", min=1, help="Hypotheses kept  [default: the model's own choice]"),
]

RobustnessOption = Annotated[
    Path | None,
    typer.Option(help="A set of texts with expectations, as in tests/robustness/."),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", help="Show the translations that fail its checks.")
]
MinPassRateOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Of the robustness set, or the exit status is 1."),
]

RegimeOption = Annotated[str, typer.Option(help="latency, throughput, online, or all of them.")]
BenchModelOption = Annotated[
    str,
    typer.Option("--model", "-m", help="embedded, paper-base, deep-shallow, or a model directory."),
]
PeerOption = Annotated[
    list[str] | None, typer.Option(help="ctranslate2 or transformers, any number of times.")
]
DtypeOption = Annotated[
    list[str] | None,
    typer.Option(
        help="int8, float32, bfloat16 or auto, any number of times  [default: auto: int8 on the "
        "CPU, bfloat16 on CUDA]"
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPUs of whoever has its turn  [default: all]")
]
SentencesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Sentences drawn, of which latency takes 50  [default: 2048; of random weights 512; "
        "with references all]",
    ),
]
TextOption = Annotated[
    Path | None,
    typer.Option(help="Texts, one a line, or source, tab, reference (.tsv, also .gz and .xz)."),
]

ProfileArgument = Annotated[
    str, typer.Argument(help="constant, ramp, steps, spike, soak or overload.")
]
RateOption = Annotated[float, typer.Option(help="Requests a second, at the beginning.")]
PeakOption = Annotated[
    float | None,
    typer.Option(
        help="Requests a second at the peak, in overload at most in the search for it  [default: "
        "ramp 20, steps 100, spike 5, overload 500 times]"
    ),
]
LoadSecondsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of the whole, in steps of each, in overload of that  [default: 60, ramp 180, steps "
        "15, spike 150, soak 1200]",
    ),
]
DeadlineOption = Annotated[
    float | None, typer.Option(help="Seconds that requests of overload allow, in their header.")
]
PidOption = Annotated[
    int | None, typer.Option(help="Of the service, if it runs here, to look at its memory.")
]
InFlightOption = Annotated[
    int | None, typer.Option(help="Most requests at the same time  [default: 256, overload 1024]")
]
MixOption = Annotated[
    str, typer.Option(help="realistic, sentences, documents, lists or libretranslate.")
]
ParagraphsOption = Annotated[
    Path | None, typer.Option(help="Paragraphs, blank lines between them.")
]
WaitOption = Annotated[
    float, typer.Option(help="Seconds a request waits for a place in flight; then it is not sent.")
]
KneeLimitOption = Annotated[
    float | None,
    typer.Option(help="Of a step that holds  [default: 5 times that of the first step]"),
]
ForeignOption = Annotated[
    bool, typer.Option("--foreign", help="It is another service, which echoes no X-Request-Id.")
]
LimitOption = Annotated[float | None, typer.Option(help="Or the exit status is 1.")]
MaxFailuresOption = Annotated[
    float | None, typer.Option(help="A share, 0 to 1, or the exit status is 1.")
]
ReportOption = Annotated[
    Path | None, typer.Option(help="A page of HTML  [default: a new one in runs/loadtests]")
]


def main() -> NoReturn:
    """What the console script calls; what a user can put right ends as one line on stderr."""
    if sys.version_info < _OLDEST_PYTHON:
        _fail(f"Python must be 3.11 or newer, but is {sys.version.split()[0]}")
    from model.errors import PolyheadError

    try:
        app()
    except PolyheadError as error:
        _fail(str(error))
    sys.exit(0)


def _fail(message: str) -> NoReturn:
    _remark(message)
    sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"polyhead {_version()}")
        raise typer.Exit


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("polyhead")
    except PackageNotFoundError:
        return "from a checkout that is not installed"


@app.callback()
def polyhead(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A translation service to run yourself, on a Transformer of its own.

    \b
    Examples:
      polyhead serve
      polyhead translate "Good morning!"
      polyhead train recipe.yaml
    """


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every network of this machine.")
    ] = "127.0.0.1",
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Replicas of each model  [default: 1]")
    ] = None,
    max_replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Lets each model have up to so many replicas, as the load asks."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Model directory, or en-de, de-en; any number of times  [default: the two]",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda  [default: auto]")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{_DTYPES}  [default: {_AUTO_DTYPE}]")] = None,
) -> None:
    """Serve translations over HTTP from this machine, until Ctrl-C.

    Further settings come from the environment: POLYHEAD_LIMITS__MAX_TEXTS=64, for one.

    \b
    Examples:
      polyhead serve
      polyhead serve --port 9000 --replicas 2
      polyhead serve --model path/to/model --dtype float32
    """
    from service.launcher.launch import Address, run
    from service.settings import Settings

    given: dict[str, Any] = {}
    if replicas is not None:
        given["replicas"] = replicas
    if max_replicas is not None:
        given["autoscaling"] = {"min_replicas": replicas or 1, "max_replicas": max_replicas}
    if model:
        given["models"] = model
    engine = {"device": device, "dtype": dtype}
    given["engine"] = {name: value for name, value in engine.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValueError as error:  # pydantic's, and that of a variable that should be JSON
        _fail(_first_problem(error))
    run(settings, Address(host=host, port=port))


@app.command()
def translate(
    text: Annotated[
        str | None, typer.Argument(help="What to translate; without it, lines of standard input.")
    ] = None,
    model: ModelOption = None,
    beam_size: BeamOption = None,
    device: DeviceOption = "auto",
    dtype: EngineDtypeOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with scores and token counts.")
    ] = False,
) -> None:
    """Translate in this process, without a server.

    Lines keep their order: line by line, output belongs to input.

    \b
    Examples:
      polyhead translate "The animal didn't cross the street because it was tired."
      polyhead translate < english.txt > german.txt
      polyhead translate --model de-en "Das Tier war zu müde."
      polyhead translate --beam-size 1 --json < english.txt
    """
    from model.checkpoints.embedded import DEFAULT, model_directory
    from service.cli.translate_lines import print_translations, read_lines

    directory = DEFAULT if model is None else model_directory(model)
    print_translations(
        [text] if text is not None else read_lines(sys.stdin.buffer, hint=sys.stderr),
        directory,
        engine=_engine(directory, device=device, dtype=dtype),
        generation=_generation(directory, beam_size),
        as_json=as_json,
        # A person at a terminal waits for each line's answer before writing the next one.
        one_by_one=text is not None or sys.stdin.isatty(),
        one_line_each=text is None,
    )


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Where the run is kept  [default: runs/ and the recipe's name]"),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Takes the place of the recipe's `data.root`.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where an earlier run stopped.")
    ] = True,
    stop_after: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Put the run aside then, to go on later."),
    ] = None,
) -> None:
    """Train a model by a recipe, and go on after an interruption.

    With several GPUs or machines: torchrun --nproc-per-node 8 -m model.training recipe.yaml

    \b
    Examples:
      polyhead train model/training/recipes/en-de.yaml
      polyhead train recipe.yaml --run-dir runs/second --no-resume
    """
    from model.training.trainer import train as train_by_recipe

    directory = train_by_recipe(
        config,
        run_dir=run_dir or Path("runs") / config.stem,
        data_root=data_root,
        resume=resume,
        stop_after=stop_after,
    )
    if directory is not None:
        print(directory)


@app.command()
def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Parallel text: a source, a tab and its reference a line."),
    ] = None,
    model: ModelOption = None,
    beam_size: BeamOption = None,
    device: DeviceOption = "auto",
    dtype: EngineDtypeOption = "auto",
    max_lines: Annotated[
        int | None, typer.Option(min=1, help="Only the first lines of each file.")
    ] = None,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="The references stand before the tabs.")
    ] = False,
    robustness: RobustnessOption = None,
    verbose: VerboseOption = False,
    min_pass_rate: MinPassRateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
) -> None:
    """Score a model with sacreBLEU and chrF, or check its translations of everyday and noisy input.

    \b
    Examples:
      polyhead evaluate multi30k-2016.tsv tatoeba.tsv
      polyhead evaluate --model runs/en-de/model --beam-size 1 --json test.tsv
      polyhead evaluate --model de-en --reverse multi30k-2016.tsv
      polyhead evaluate --robustness tests/robustness/en-de.yaml --min-pass-rate 0.8
    """
    from model.checkpoints.embedded import DEFAULT, model_directory

    if not files and robustness is None:
        raise typer.BadParameter("there must be FILES, --robustness, or both, but is neither")
    if robustness is None and (verbose or min_pass_rate is not None):
        raise typer.BadParameter("--verbose and --min-pass-rate must come with --robustness")
    directory = DEFAULT if model is None else model_directory(model)
    engine = _engine(directory, device=device, dtype=dtype)
    generation = _generation(directory, beam_size)
    if files:
        _score_files(
            directory,
            files,
            generation,
            engine,
            max_lines=max_lines,
            reverse=reverse,
            as_json=as_json,
        )
    if robustness is not None:
        from model.training.evaluation import evaluate_robustness

        report = evaluate_robustness(directory, robustness, generation=generation, engine=engine)
        _print_robustness(report, robustness, directory, verbose=verbose, as_json=as_json)
        if min_pass_rate is not None and report.pass_rate < min_pass_rate:
            _fail(f"the pass rate must be at least {min_pass_rate}, but is {report.pass_rate:.4f}")


def _score_files(
    directory: Path,
    files: list[Path],
    generation: GenerationConfig | None,
    engine: EngineConfig,
    *,
    max_lines: int | None,
    reverse: bool,
    as_json: bool,
) -> None:
    import json

    from model.training.evaluation import evaluate_file

    signatures: dict[str, None] = {}
    if not as_json:
        print(f"{'file':40} {'lines':>6} {'BLEU':>6} {'chrF':>6}")
    for file in files:
        score, _ = evaluate_file(
            directory,
            file,
            generation=generation,
            engine=engine,
            max_lines=max_lines,
            reverse=reverse,
        )
        if as_json:
            print(json.dumps(asdict(score), ensure_ascii=False), flush=True)
            continue
        print(
            f"{score.file:40} {score.num_lines:6} {score.bleu:6.2f} {score.chrf:6.2f}", flush=True
        )
        signatures |= {f"BLEU {score.bleu_signature}": None, f"chrF {score.chrf_signature}": None}
    for signature in signatures:
        print(signature)


def _print_robustness(
    report: RobustnessReport, file: Path, directory: Path, *, verbose: bool, as_json: bool
) -> None:
    """A table, with `verbose` what failed above it, and a line of JSON; that line alone."""
    import json

    if not as_json:
        for result in report.failed if verbose else ():
            print(f"{result.category}: {', '.join(result.failures)}")
            print(f"  {result.case.text!r}\n  {result.translation!r}")
        print(*report.table(), sep="\n")
    summary = {"file": file.name, "model": str(directory)} | report.summary()
    print(json.dumps(summary, ensure_ascii=False), flush=True)


@app.command()
def bench(
    regime: RegimeOption = "throughput",
    model: BenchModelOption = "embedded",
    search: Annotated[str, typer.Option(help="greedy, beam4, or both.")] = "both",
    peer: PeerOption = None,
    dtype: DtypeOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: ThreadsOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    sentences: SentencesOption = None,
    seconds: Annotated[float, typer.Option(help="Of a round of the online regime.")] = 20.0,
    text: TextOption = None,
    references: Annotated[bool, typer.Option("--references", help="Score with BLEU.")] = False,
    seed: Annotated[int, typer.Option(help="Of texts, arrivals and random weights.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The line of JSON alone.")] = False,
    results: Annotated[Path | None, typer.Option(help="A file to add that line to.")] = None,
) -> None:
    """Measure the engine, and others beside it on the same weights, texts and CPUs.

    Contenders take turns, each in a process of its own, from token ids to token ids. Random weights
    end their targets, by construction, at planned lengths: those of the sources, +-15 %.

    \b
    latency     one sentence at a time
    throughput  everything queued at once
    online      Poisson arrivals, 25, 50 and 80 % of what each contender reaches in throughput

    Ratios are ours over theirs, medians of the rounds' ratios; above 1 this engine is faster: by
    mean latency, tokens a second, 95th percentile. A peer that lacks a type runs in the nearest one
    it has, and CTranslate2 with those threads and batches that a trial finds fastest.

    The last line is JSON: `ratios`, as in {"ctranslate2-int8/greedy": 1.4}, with "@80%" behind a
    load and the regime before all if there are several; `measurements` with every round; memory,
    machine, versions, commit, seed; and `notes`: what must be known before the rest is believed.

    \b
    Examples:
      polyhead bench --peer ctranslate2
      polyhead bench --regime all --model paper-base --peer ctranslate2 --peer transformers
      polyhead bench --peer ctranslate2 --text test.tsv --references --results results.jsonl
    """
    from loadtests.bench.command import bench as run_bench

    run_bench(
        regime, search, peer or (), text=text, references=references, as_json=as_json,
        results=results, model=model, dtypes=tuple(dtype or ("auto",)), device=device,
        threads=threads, rounds=rounds, sentences=sentences, seconds=seconds, seed=seed,
    )  # fmt: skip


@app.command()
def loadtest(
    profile: ProfileArgument,
    url: Annotated[str, typer.Option(help="Of a running service.")] = "http://127.0.0.1:8000",
    foreign: ForeignOption = False,
    rate: RateOption = 8.0,
    peak: PeakOption = None,
    seconds: LoadSecondsOption = None,
    growth: Annotated[float, typer.Option(help="Of a step over the last.")] = 1.25,
    mix: MixOption = "realistic",
    source: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    target: Annotated[str, typer.Option(help="Language wanted.")] = "de",
    text: Annotated[Path | None, typer.Option(help="Sentences, one a line.")] = None,
    paragraphs: ParagraphsOption = None,
    factor: Annotated[float, typer.Option(help="Of the peak, what overload offers.")] = 3.0,
    deadline: DeadlineOption = None,
    pid: PidOption = None,
    in_flight: InFlightOption = None,
    max_wait: WaitOption = 1.0,
    timeout: Annotated[float, typer.Option(help="Seconds without an answer that fail.")] = 60.0,
    knee_p95_ms: KneeLimitOption = None,
    max_p95_ms: LimitOption = None,
    max_p99_ms: LimitOption = None,
    max_failures: MaxFailuresOption = None,
    min_throughput: LimitOption = None,
    min_knee: LimitOption = None,
    min_goodput_share: LimitOption = None,
    max_late: LimitOption = None,
    max_refusal_p95_ms: LimitOption = None,
    max_without_retry_after: LimitOption = None,
    max_recovery_seconds: LimitOption = None,
    max_memory_growth: Annotated[
        float | None, typer.Option(help="Percent, from the second to the last quarter.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of texts and arrivals.")] = 0,
    report: ReportOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The line of JSON alone.")] = False,
    results: Annotated[Path | None, typer.Option(help="A file to add that line to.")] = None,
) -> None:
    """Put load on a running service, and report how it bears that.

    Requests start at random (Poisson) times of a plan, whatever the service does; latency counts
    from there. Steps end at the knee: the highest rate with 95 % right answers and a p95 in bounds.

    \b
    Examples:
      polyhead loadtest steps --report steps.html
      polyhead loadtest constant --rate 40 --seconds 120 --max-p95-ms 300 --max-failures 0.001
      polyhead loadtest spike --rate 20 --peak 300
      polyhead loadtest overload --deadline 5 --min-goodput-share 0.9 --max-recovery-seconds 5
    """
    options = dict(locals())  # first of all, while there is nothing else
    from loadtests.open_loop.command import loadtest as run_loadtest

    raise typer.Exit(run_loadtest(**options))


def _engine(directory: Path, *, device: str, dtype: str) -> EngineConfig:
    """How this process is to run a model, once that is possible; stderr hears of what takes time.

    Raises:
        CheckpointError: there is no model; that is known before anything is compiled for it.
        NativeBuildError: it cannot be run like that here.
    """
    from model.checkpoints.checkpoint import read_manifest
    from model.config import EngineConfig
    from service.launcher.compilation import compile_ahead

    read_manifest(directory)
    engine = EngineConfig(device=device, dtype=dtype)
    engine, note = compile_ahead(engine, say=_remark)
    if note is not None:
        _remark(note)
    return engine


def _remark(line: str) -> None:
    print(f"polyhead: {line}", file=sys.stderr)


def _generation(directory: Path, beam_size: int | None) -> GenerationConfig | None:
    """The model's own search with another beam; None leaves it as it is."""
    if beam_size is None:
        return None
    from model.checkpoints.checkpoint import read_manifest

    own = read_manifest(directory).generation
    return replace(own, beam_size=beam_size, num_hypotheses=min(own.num_hypotheses, beam_size))


def _first_problem(error: Exception) -> str:
    """One line of what a pydantic error says in several."""
    from pydantic import ValidationError

    from service.errors import shown

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error":  # one of ours, which says it all
        return f"`{place}`: {first['ctx']['error']}"
    was = f", but is {shown(first['input'])}" if first["msg"].startswith("Input should") else ""
    return f"`{place}`: {first['msg']}{was}"
