"""How many of a set's translations hold, by category, and which do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.training.robustness.cases import Case, RobustnessSet
from model.training.robustness.checks import failures

__all__ = ["Result", "RobustnessReport", "check_translations"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One case, its translation, and what is wrong with that."""

    category: str
    case: Case
    translation: str
    failures: tuple[str, ...]


@dataclass(frozen=True)
class RobustnessReport:
    """The results of one model on one set, in the set's order."""

    results: tuple[Result, ...]

    @property
    def pass_rate(self) -> float:
        """Share of all cases without a failure, 0 to 1."""
        return sum(not result.failures for result in self.results) / len(self.results)

    @property
    def failed(self) -> list[Result]:
        """Those with a failure."""
        return [result for result in self.results if result.failures]

    def by_category(self) -> dict[str, RobustnessReport]:
        """A report of each category alone."""
        categories = dict.fromkeys(result.category for result in self.results)
        return {
            category: RobustnessReport(
                tuple(result for result in self.results if result.category == category)
            )
            for category in categories
        }

    def failure_counts(self) -> dict[str, int]:
        """How many translations have each failure, most frequent first; one may have several."""
        return dict(
            Counter(name for result in self.results for name in result.failures).most_common()
        )

    def summary(self) -> dict[str, object]:
        """The figures, as JSON knows them; rates are 0 to 1."""
        return {
            "num_cases": len(self.results),
            "pass_rate": round(self.pass_rate, 4),
            "failures": self.failure_counts(),
            "categories": {
                category: round(part.pass_rate, 4) for category, part in self.by_category().items()
            },
        }

    def table(self) -> Iterator[str]:
        """Lines for a person: a row for each category, and one for all."""
        yield f"{'category':20} {'cases':>6} {'passed':>7}  failures"
        for category, part in [*self.by_category().items(), ("all", self)]:
            counts = ", ".join(f"{name} {count}" for name, count in part.failure_counts().items())
            row = f"{category:20} {len(part.results):6} {part.pass_rate:7.1%}  {counts}"
            yield row.rstrip()


def check_translations(cases: RobustnessSet, translations: Sequence[str]) -> RobustnessReport:
    """Checks the translations (N,) of all of a set's texts, in its order."""
    ordered = [(category, case) for category, group in cases.cases.items() for case in group]
    return RobustnessReport(
        tuple(
            Result(
                category=category,
                case=case,
                translation=translation,
                failures=tuple(failures(case, translation, cases.target)),
            )
            for (category, case), translation in zip(ordered, translations, strict=True)
        )
    )
