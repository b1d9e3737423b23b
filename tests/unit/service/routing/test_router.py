"""Which model serves which pair, also while some models are not there."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import LanguageNotServedError, ModelUnavailableError
from service.routing.router import ReplicaLostError, Router
from tests.fakes import FakeBackend, until


def _router(
    *backends: FakeBackend, pivot: str | None = None, info_timeout_seconds: float = 20.0
) -> Router:
    return Router(
        {backend.name: backend for backend in backends},
        pivot=pivot,
        info_timeout_seconds=info_timeout_seconds,
    )


def test_a_router_needs_a_model() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        Router({})


async def test_a_pair_goes_to_its_model() -> None:
    there, back = FakeBackend("en-de"), FakeBackend("de-en", (("de", "en"),))
    router = _router(there, back)
    assert (await router.find("en", "de")).hops[0].backend is there
    assert (await router.find("de", "en")).hops[0].backend is back


async def test_the_first_of_two_models_serves_the_pair_they_share() -> None:
    first, second = FakeBackend("first"), FakeBackend("second", (("en", "de"), ("en", "fr")))
    router = _router(first, second)
    assert (await router.find("en", "de")).hops[0].backend is first
    assert (await router.find("en", "fr")).hops[0].backend is second


async def test_letter_case_does_not_matter() -> None:
    route = await _router(FakeBackend(pairs=(("en", "zh-Hant"),))).find("EN", "ZH-hant")
    assert (route.source, route.target) == ("en", "zh-Hant")


@pytest.mark.parametrize(
    ("source", "target", "field", "words"),
    [
        ("xx", "de", "source", "`source` must be one of en, fr, but is 'xx'"),
        ("en", "xx", "target", "`target` must be one of de, fr for source en, but is 'xx'"),
        ("de", "en", "source", "`source` must be one of en, fr, but is 'de'"),
        ("fr", "de", "target", "`target` must be one of en for source fr, but is 'de'"),
    ],
)
async def test_a_pair_nobody_serves_is_refused_with_what_there_is(
    source: str, target: str, field: str, words: str
) -> None:
    router = _router(
        FakeBackend("one", (("en", "de"), ("en", "fr"))), FakeBackend("two", (("fr", "en"),))
    )
    with pytest.raises(LanguageNotServedError) as caught:
        await router.find(source, target)
    assert (str(caught.value), caught.value.field) == (words, field)


async def test_models_are_asked_once() -> None:
    backend = FakeBackend()
    router = _router(backend)
    for _ in range(3):
        await router.find("en", "de")
        await router.models()
        with pytest.raises(LanguageNotServedError):
            await router.find("en", "xx")
    assert backend.num_info_calls == 1


async def test_those_who_wait_for_a_model_share_one_question() -> None:
    backend = FakeBackend()
    backend.info_answers.clear()
    router = _router(backend)
    finding = [asyncio.ensure_future(router.find("en", "de")) for _ in range(20)]
    await until(lambda: backend.num_info_calls == 1)
    finding[0].cancel()
    await asyncio.wait(finding[:1])
    backend.info_answers.set()
    routes = await asyncio.gather(*finding[1:])
    assert {route.hops[0].backend for route in routes} == {backend}
    assert backend.num_info_calls == 1


async def test_a_model_that_is_not_there_does_not_hide_the_others() -> None:
    there, missing = FakeBackend("there"), FakeBackend("missing", (("en", "fr"),))
    missing.info_answers.clear()
    router = _router(there, missing, info_timeout_seconds=0.01)
    assert (await router.find("en", "de")).hops[0].backend is there
    assert [info.name for info in await router.models()] == ["there"]
    with pytest.raises(ModelUnavailableError, match="not ready yet: missing"):
        await router.find("en", "fr")
    missing.info_answers.set()
    assert (await router.find("en", "fr")).hops[0].backend is missing


async def test_no_model_at_all_is_an_error() -> None:
    backend = FakeBackend()
    backend.info_error = ReplicaLostError()
    router = _router(backend)
    with pytest.raises(ModelUnavailableError, match="no model is ready"):
        await router.models()
    backend.info_error = None
    assert len(await router.models()) == 1


async def test_a_check_asks_every_model_anew_and_names_the_problem() -> None:
    well, slow, broken = FakeBackend("well"), FakeBackend("slow"), FakeBackend("broken")
    slow.info_answers.clear()
    broken.info_error = ReplicaLostError("secret")
    router = _router(well, slow, broken, info_timeout_seconds=0.01)
    expected = {
        "slow": "did not answer within 0.01 s",
        "broken": "failed with ReplicaLostError",
    }
    assert await router.check() == expected
    assert await router.check() == expected
    assert well.num_info_calls == 2
    slow.info_answers.set()
    broken.info_error = None
    assert await router.check() == {}


BROAD = tuple(f"l{number:03}_Latn" for number in range(202))


def _broad() -> FakeBackend:
    return FakeBackend("broad", sources=BROAD, targets=BROAD)


async def test_languages_of_a_broad_model_are_looked_up() -> None:
    router = _router(_broad())
    route = await router.find("L000_latn", BROAD[201])
    assert (route.source, route.target, route.pivot) == (BROAD[0], BROAD[201], None)
    with pytest.raises(LanguageNotServedError, match="and 181 more for source l000_Latn, but is"):
        await router.find(BROAD[0], BROAD[0])
    languages = await router.languages()
    assert languages[BROAD[0]] == BROAD[1:]
    assert await router.languages() is languages
    await router.check()
    assert await router.languages() is languages


async def test_a_pair_that_no_model_has_goes_through_the_pivot() -> None:
    first = FakeBackend("de-en", (("de", "EN"),))
    second = FakeBackend("en-fr", (("en", "fr"), ("en", "es")))
    router = _router(first, second, pivot="en")
    route = await router.find("DE", "FR")
    assert [hop.backend for hop in route.hops] == [first, second]
    assert (route.source, route.target, route.pivot) == ("de", "fr", "EN")
    assert len((await router.find("en", "fr")).hops) == 1
    assert dict(await router.languages()) == {
        "EN": ("es", "fr"), "de": ("EN", "es", "fr"), "es": (), "fr": (),
    }  # fmt: skip
    for source, target in (("fr", "de"), ("de", "de"), ("fr", "en")):
        with pytest.raises(LanguageNotServedError):
            await router.find(source, target)
    with pytest.raises(LanguageNotServedError, match="must be one of EN, es, fr for source de"):
        await router.find("de", "xx")


async def test_a_model_of_its_own_goes_before_the_pivot() -> None:
    backends = [
        FakeBackend("de-en", (("de", "en"),)),
        FakeBackend("en-fr", (("en", "fr"),)),
        FakeBackend("de-fr", (("de", "fr"),)),
    ]
    route = await _router(*backends, pivot="en").find("de", "fr")
    assert [hop.info.name for hop in route.hops] == ["de-fr"]


async def test_without_a_pivot_there_is_no_way() -> None:
    router = _router(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    with pytest.raises(LanguageNotServedError, match="`target` must be one of en for source de"):
        await router.find("de", "fr")
    assert (await router.languages())["de"] == ("en",)
