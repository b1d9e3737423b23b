"""The pages in deploy/ name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize("page", sorted(path.name for path in DEPLOY.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    text = (DEPLOY / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert links
    assert [link for link in links if not (DEPLOY / link).exists()] == []


def test_every_overlay_is_on_the_page() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    overlays = {path.parent.name for path in DEPLOY.glob("kubernetes/*/kustomization.yaml")}
    assert {name for name in overlays - {"base"} if f"(kubernetes/{name})" not in text} == set()


def test_the_limits_on_the_page_are_the_defaults() -> None:
    from service.settings import Connections, Limits, RetrySettings

    page = (DEPLOY / "SECURITY.md").read_text(encoding="utf-8").partition("\n## Limits")[2]
    limits, retry, connections = Limits(), RetrySettings(), Connections()
    for number in (
        limits.max_texts, limits.max_text_chars, limits.max_total_chars, limits.max_beam_size,
        limits.max_num_hypotheses, limits.max_new_tokens, limits.max_in_flight,
        limits.max_body_bytes // 2**20, int(limits.body_timeout_seconds),
        int(limits.request_timeout_seconds), retry.max_attempts, retry.lost_retry_burst,
        limits.max_hypothesis_chars, connections.max_large_bodies, int(connections.head_seconds),
        int(connections.idle_seconds), int(connections.stall_seconds),
    ):  # fmt: skip
        assert re.search(rf"\b{number:,}\b", page), number
    assert retry.lost_retry_ratio == 0.5
