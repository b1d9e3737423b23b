"""The page that describes the API, for browsers that may know no host but ours."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.fakes import Gateway
from tests.page_links import links


@pytest.fixture
async def page() -> httpx.Response:
    async with Gateway().client() as client:
        answer = await client.get("/docs")
    assert answer.status_code == 200
    return answer


def _policy(page: httpx.Response) -> dict[str, list[str]]:
    directives = page.headers["Content-Security-Policy"].split(";")
    return {name: sources for name, *sources in map(str.split, directives)}


def test_no_link_leaves_the_page_s_own_folder(page: httpx.Response) -> None:
    found = links(page.text)
    assert len(found) == 4
    for link in found:
        parts = urlsplit(link)
        assert not parts.scheme
        assert not parts.netloc
        assert not parts.path.startswith(("/", "."))


@pytest.mark.parametrize("prefix", ["", "/translation"])
async def test_everything_it_loads_is_there_under_any_prefix(prefix: str) -> None:
    app = Gateway().app
    transport = httpx.ASGITransport(Starlette(routes=[Mount(prefix, app)]) if prefix else app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        page = await client.get(f"{prefix}/docs")
        kinds = set()
        for link in links(page.text):
            answer = await client.get(page.url.join(link))
            assert answer.status_code == 200, link
            assert answer.content
            kinds.add(answer.headers["content-type"].partition(";")[0])
    assert kinds == {"text/css", "image/png", "text/javascript", "application/json"}


async def test_the_styles_load_nothing_either() -> None:
    async with Gateway().client() as client:
        styles = (await client.get("/docs/files/swagger-ui.css")).text
    places = re.findall(r"url\(\s*[\"']?([^)]*)", styles)
    assert all(place.startswith(("data:", "#")) for place in places), places
    assert "@import" not in styles


def test_a_browser_may_load_nothing_from_elsewhere(page: httpx.Response) -> None:
    policy = _policy(page)
    assert policy["default-src"] == ["'none'"]
    sources = {source for name in policy for source in policy[name]}
    assert {one for one in sources if not one.startswith("'sha256-")} == {
        "'none'",
        "'self'",
        "data:",
    }
    assert "data:" not in policy["script-src"]


def test_the_page_s_own_script_may_run_and_no_other(page: httpx.Response) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", page.text, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert len(digests) == 1
    assert _policy(page)["script-src"] == ["'self'", f"'sha256-{digests[0]}'"]


async def test_each_visit_has_an_id_of_its_own() -> None:
    async with Gateway().client() as client:
        for given in ("visit-1", "visit-2"):
            answer = await client.get("/docs", headers={"X-Request-Id": given})
            assert answer.headers.get_list("X-Request-Id") == [given]


async def test_what_a_browser_has_is_not_sent_again() -> None:
    async with Gateway().client() as client:
        first = await client.get("/docs/files/swagger-ui-bundle.js")
        again = await client.get(first.url, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/docs/files/", "/docs/files/nothing.js", "/docs/files/%2e%2e/core.py"]
)
async def test_other_files_are_answered_like_any_wrong_path(path: str) -> None:
    async with Gateway().client() as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"
