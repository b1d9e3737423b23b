"""`python -m model.training.ablations TABLE`: trains every variant of a table and scores it.

Ended and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from model.checkpoints.embedded import model_directory
from model.errors import PolyheadError
from model.training.ablations.table import TableError, Variant, read_table
from model.training.evaluation import evaluate_file, evaluate_robustness
from model.training.recipe import Recipe, load_recipe
from model.training.trainer import train

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    bleu: dict[str, float]
    """By validation file: the whole file, translated the way the service does."""
    pass_rate: float
    categories: dict[str, float]


def main() -> None:
    """Prints a Markdown table; its figures are also the one line of JSON at the end."""
    options = _options()
    rows = []
    try:
        for number, variant in enumerate(read_table(options.table)):
            rows.append(_row(variant, options.work / f"{number:02}", options))
            print(_cells(rows[-1]), file=sys.stderr, flush=True)
    except (TableError, PolyheadError) as error:
        sys.exit(f"ablations: {error}")
    print("\n".join(_as_markdown(rows)))
    print(json.dumps({"table": options.table.name, "rows": [asdict(row) for row in rows]}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model.training.ablations", description=__doc__)
    parser.add_argument("table", type=Path, help="YAML: a recipe, and variants that add to it")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the text")
    parser.add_argument("--robustness", type=Path, required=True, help="robustness set")
    parser.add_argument("--start", help="model that every variant begins with: directory or name")
    return parser.parse_args()


def _row(variant: Variant, folder: Path, options: argparse.Namespace) -> _Row:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    values = {
        **variant.recipe,
        "training": {**variant.recipe.get("training", {}), **_start(options)},
    }
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    recipe = load_recipe(path)
    model = train(path, run_dir=folder / "run", data_root=options.data_root)
    assert model is not None, "only `stop_after` puts a run aside"
    report = evaluate_robustness(model, options.robustness)
    return _Row(
        name=variant.name,
        bleu={
            Path(name).stem: round(_bleu(model, options.data_root / name, recipe), 2)
            for name in recipe.data.valid
        },
        pass_rate=round(report.pass_rate, 4),
        categories={name: round(part.pass_rate, 4) for name, part in report.by_category().items()},
    )


def _bleu(model: Path, file: Path, recipe: Recipe) -> float:
    return evaluate_file(model, file, reverse=recipe.data.reverse)[0].bleu


def _start(options: argparse.Namespace) -> dict[str, str]:
    if options.start is None:
        return {}
    return {"initialize_from": str(model_directory(options.start).resolve())}


def _as_markdown(rows: list[_Row]) -> list[str]:
    names = ["after training with", *rows[0].bleu, "robust", *rows[0].categories]
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|", *map(_cells, rows)]


def _cells(row: _Row) -> str:
    bleu = [f"{value:.1f}" for value in row.bleu.values()]
    rates = [f"{100 * value:.0f}" for value in (row.pass_rate, *row.categories.values())]
    return f"| {' | '.join([row.name, *bleu, *rates])} |"


if __name__ == "__main__":
    main()
