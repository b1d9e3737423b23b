"""The routes of the page: its files, their headers, and what is no file."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.fakes import Gateway
from tests.page_links import links

FILES = ["/", "/web/style.css", "/web/icon.svg", "/web/scripts/main.js"]


async def ask(method: str, path: str, **headers: str) -> httpx.Response:
    async with Gateway().client() as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("path", FILES)
async def test_every_answer_has_the_policy(path: str) -> None:
    answer = await ask("GET", path)
    assert answer.status_code == 200
    policy = dict(
        each.strip().split(" ", 1) for each in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", FILES)
async def test_what_a_browser_has_is_not_sent_again(path: str) -> None:
    first = await ask("GET", path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = await ask("GET", path, **{"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("path", FILES)
async def test_its_head_alone(path: str) -> None:
    answer = await ask("HEAD", path)
    assert answer.status_code == 200
    assert answer.headers["ETag"]
    assert answer.content == b""


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nothing.js", "/web/scripts", "/web/%2e%2e/settings.py"]
)
async def test_other_files_are_answered_like_any_wrong_path(path: str) -> None:
    answer = await ask("GET", path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


async def test_files_are_only_read() -> None:
    answer = await ask("POST", "/web/style.css")
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "method_not_allowed"


@pytest.mark.parametrize("path", FILES)
async def test_an_operator_may_have_no_page(path: str) -> None:
    async with Gateway(web_page=False).client() as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


@pytest.mark.parametrize("prefix", ["", "/translation"])
async def test_everything_it_loads_is_there_under_any_prefix(prefix: str) -> None:
    app = Gateway().app
    transport = httpx.ASGITransport(Starlette(routes=[Mount(prefix, app)]) if prefix else app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        page = await client.get(f"{prefix}/")
        found = [page.url.join(link) for link in links(page.text) if not link.startswith("#")]
        seen = set()
        while found:
            url = found.pop()
            answer = await client.get(url)
            assert answer.status_code == 200, url
            assert url.path.startswith(f"{prefix}/")
            if "/scripts/" in url.path and url not in seen:
                found += [url.join(one) for one in re.findall(r'from "(\./.*?)"', answer.text)]
            seen.add(url)
    assert len([url for url in seen if "/scripts/" in url.path]) > 8
