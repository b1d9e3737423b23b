"""The whole command, on a model that learns nothing."""

import json
from pathlib import Path

import pytest
import yaml

from model.training.ablations.__main__ import main
from tests.unit.model.training.test_trainer import RECIPE
from tests.unit.model.training.test_trainer import data as data


def test_every_line_is_trained_and_scored_once(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {**RECIPE["training"], "max_steps": 2, "validate_every": 2}
    table = {
        "recipe": {**RECIPE, "training": training},
        "lines": [{"name": "as it is"}, {"name": "+ dropout", "add": {"model": {"dropout": 0.5}}}],
    }
    (data / "table.yaml").write_text(yaml.safe_dump(table))
    cases = {"one word": [{"text": "red"}], "numbers": [{"text": "7 green"}]}
    robustness = {"source": "en", "target": "de", "cases": cases}
    (data / "robustness.yaml").write_text(yaml.safe_dump(robustness, sort_keys=False))
    arguments = [
        "ablations", str(data / "table.yaml"), "--work", str(data / "work"),
        "--data-root", str(data), "--robustness", str(data / "robustness.yaml"),
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", arguments)
    main()
    *table_lines, last = capsys.readouterr().out.splitlines()
    assert table_lines[0] == "| after training with | valid | robust | one word | numbers |"
    rows = json.loads(last)["rows"]
    assert [row["name"] for row in rows] == ["as it is", "+ dropout"]
    assert all(0 <= row["bleu"]["valid"] <= 100 for row in rows)
    assert set(rows[0]["categories"]) == {"one word", "numbers"}
    metrics = sorted(data.glob("work/*/run/metrics.jsonl"))
    validations = [path.read_text().count('"kind": "valid"') for path in metrics]
    main()
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert again == rows
    assert [path.read_text().count('"kind": "valid"') for path in metrics] == validations == [1, 1]
