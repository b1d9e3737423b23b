"""`polyhead train` and `polyhead evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.messages import fail
from service.cli.model_options import (
    BeamOption,
    DeviceOption,
    EngineDtypeOption,
    ModelOption,
    SourceOption,
    TargetOption,
    resolve,
)

if TYPE_CHECKING:
    from model.training.evaluation import Score
    from model.training.robustness.report import RobustnessReport

__all__ = ["evaluate", "train"]

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


def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Parallel text: a source, a tab and its reference a line."),
    ] = None,
    model: ModelOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
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
    if not files and robustness is None:
        raise typer.BadParameter("there must be FILES, --robustness, or both, but is neither")
    if robustness is None and (verbose or min_pass_rate is not None):
        raise typer.BadParameter("--verbose and --min-pass-rate must come with --robustness")
    from model.training.evaluation import evaluate_file, evaluate_robustness

    directory, engine, generation = resolve(model, device, dtype, beam_size)
    chosen: dict[str, Any] = {"generation": generation, "engine": engine}
    if files:
        scores = (
            evaluate_file(
                directory,
                file,
                source=source,
                target=target,
                max_lines=max_lines,
                reverse=reverse,
                **chosen,
            )[0]
            for file in files
        )
        _print_scores(scores, as_json=as_json)
    if robustness is not None:
        report = evaluate_robustness(directory, robustness, **chosen)
        _print_robustness(report, robustness, directory, verbose=verbose, as_json=as_json)
        if min_pass_rate is not None and report.pass_rate < min_pass_rate:
            fail(f"the pass rate must be at least {min_pass_rate}, but is {report.pass_rate:.4f}")


def _print_scores(scores: Iterable[Score], *, as_json: bool) -> None:
    """Prints a table and the signatures of its metrics, or a line of JSON for each file."""
    signatures: dict[str, None] = {}
    if not as_json:
        print(f"{'file':40} {'lines':>6} {'BLEU':>6} {'chrF':>6}")
    for score in scores:
        if as_json:
            print(json.dumps(asdict(score), ensure_ascii=False), flush=True)
            continue
        row = f"{score.file:40} {score.num_lines:6} {score.bleu:6.2f} {score.chrf:6.2f}"
        print(row, flush=True)
        signatures |= {f"BLEU {score.bleu_signature}": None, f"chrF {score.chrf_signature}": None}
    for signature in signatures:
        print(signature)


def _print_robustness(
    report: RobustnessReport, file: Path, directory: Path, *, verbose: bool, as_json: bool
) -> None:
    """Prints failures if `verbose`, a table, and a line of JSON; with `as_json` that line alone."""
    if not as_json:
        for result in report.failed if verbose else ():
            print(f"{result.category}: {', '.join(result.failures)}")
            print(f"  {result.case.text!r}\n  {result.translation!r}")
        print(*report.table(), sep="\n")
    summary = {"file": file.name, "model": str(directory)} | report.summary()
    print(json.dumps(summary, ensure_ascii=False), flush=True)
