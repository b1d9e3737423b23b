"""Which model serves which pair, while models come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.errors import InvalidFieldError, LanguageNotServedError, ModelUnavailableError
from service.routing.router import ReplicaLostError, Router
from tests.fakes import HOSTED, FakeBackend


def _router(
    *backends: FakeBackend, pivot: str | None = None, info_timeout_seconds: float = 20.0
) -> Router:
    return Router(
        [backend.routed for backend in backends],
        pivot=pivot,
        info_timeout_seconds=info_timeout_seconds,
    )


def test_a_pair_goes_to_its_model() -> None:
    there, back = FakeBackend("en-de"), FakeBackend("de-en", (("de", "en"),))
    router = _router(there, back)
    assert router.find("en", "de").hops[0].model.backend is there
    assert router.find("de", "en").hops[0].model.backend is back


def test_the_first_of_two_models_serves_the_pair_they_share() -> None:
    first, second = FakeBackend("first"), FakeBackend("second", (("en", "de"), ("en", "fr")))
    router = _router(first, second)
    assert router.find("en", "de").hops[0].model.backend is first
    assert router.find("en", "fr").hops[0].model.backend is second


def test_a_model_of_the_codes_themselves_goes_before_one_of_other_names_for_them() -> None:
    broad = FakeBackend("broad", (("eng_Latn", "deu_Latn"), ("eng_Latn", "fra_Latn")))
    router = _router(broad, narrow := FakeBackend("narrow"))
    assert router.find("en", "de").hops[0].model.backend is narrow
    assert router.find("EN", "fr").hops[0].model.backend is broad


def test_letter_case_does_not_matter() -> None:
    route = _router(FakeBackend(pairs=(("en", "zh-Hant"),))).find("EN", "ZH-hant")
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
def test_a_pair_nobody_serves_is_refused_with_what_there_is(
    source: str, target: str, field: str, words: str
) -> None:
    router = _router(
        FakeBackend("one", (("en", "de"), ("en", "fr"))), FakeBackend("two", (("fr", "en"),))
    )
    with pytest.raises(LanguageNotServedError) as caught:
        router.find(source, target)
    assert (str(caught.value), caught.value.field) == (words, field)


async def test_a_check_asks_every_model_anew_and_names_the_problem() -> None:
    well, slow, broken = FakeBackend("well"), FakeBackend("slow"), FakeBackend("broken")
    slow.check_answers.clear()
    broken.check_error = ReplicaLostError("secret")
    router = _router(well, slow, broken, info_timeout_seconds=0.01)
    expected = {
        "slow": "did not answer within 0.01 s",
        "broken": "failed with ReplicaLostError",
    }
    assert await router.check() == expected
    assert await router.check() == expected
    assert well.num_checks == 2
    slow.check_answers.set()
    broken.check_error = None
    assert await router.check() == {}


BROAD = tuple(f"l{number:03}_Latn" for number in range(202))


def _broad() -> FakeBackend:
    return FakeBackend("broad", sources=BROAD, targets=BROAD)


async def test_languages_of_a_broad_model_are_looked_up() -> None:
    router = _router(_broad())
    route = router.find("L000_latn", BROAD[201])
    assert (route.source, route.target, route.pivot) == (BROAD[0], BROAD[201], None)
    with pytest.raises(LanguageNotServedError, match="and 181 more for source l000_Latn, but is"):
        router.find(BROAD[0], BROAD[0])
    languages = router.languages
    assert languages[BROAD[0]] == BROAD[1:]
    assert router.languages is languages
    await router.check()
    assert router.languages is languages


def test_a_pair_that_no_model_has_goes_through_the_pivot() -> None:
    first = FakeBackend("de-en", (("de", "EN"),))
    second = FakeBackend("en-fr", (("en", "fr"), ("en", "es")))
    router = _router(first, second, pivot="en")
    route = router.find("DE", "FR")
    assert [hop.model.backend for hop in route.hops] == [first, second]
    assert (route.source, route.target, route.pivot) == ("de", "fr", "EN")
    assert len(router.find("en", "fr").hops) == 1
    assert router.languages == {
        "EN": ("es", "fr"), "de": ("EN", "es", "fr"), "es": (), "fr": (),
    }  # fmt: skip
    for source, target in (("fr", "de"), ("de", "de"), ("fr", "en")):
        with pytest.raises(LanguageNotServedError):
            router.find(source, target)
    with pytest.raises(LanguageNotServedError, match="must be one of EN, es, fr for source de"):
        router.find("de", "xx")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("de", "deu", "`target` must be one of en, fr for source de, but is 'deu'"),
        ("deu_Latn", "DE", "`target` must be one of en, fr for source deu_Latn, but is 'DE'"),
        ("deu", "xx", "`target` must be one of en, fr for source deu, but is 'xx'"),
        ("xx", "de", "`source` must be one of de, en, but is 'xx'"),
    ],
)
def test_other_names_of_a_language_are_that_language(source: str, target: str, words: str) -> None:
    back = FakeBackend("back", (("en", "de"), ("en", "fr")))
    router = _router(FakeBackend("de-en", (("de", "en"),)), back, pivot="en")
    assert len(router.find("deu", "fra_Latn").hops) == 2
    with pytest.raises(LanguageNotServedError, match=words):
        router.find(source, target)


def test_a_model_of_its_own_goes_before_the_pivot() -> None:
    backends = [
        FakeBackend("de-en", (("de", "en"),)),
        FakeBackend("en-fr", (("en", "fr"),)),
        FakeBackend("de-fr", (("de", "fr"),)),
    ]
    route = _router(*backends, pivot="en").find("de", "fr")
    assert [hop.info.name for hop in route.hops] == ["de-fr"]


def test_without_a_pivot_there_is_no_way() -> None:
    router = _router(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    with pytest.raises(LanguageNotServedError, match="`target` must be one of en for source de"):
        router.find("de", "fr")
    assert router.languages["de"] == ("en",)


def test_a_request_may_name_its_model() -> None:
    first = FakeBackend("first", (("en", "de"), ("de", "en")))
    second = FakeBackend("second", aliases=("news", "2"))
    router = _router(first, second, pivot="en")
    for name in ("second", "news", "2"):
        assert router.find("EN", "de", name).hops[0].model.backend is second
    with pytest.raises(InvalidFieldError, match="must be one of first, second, but is 'x'") as why:
        router.find("en", "de", "x")
    assert why.value.field == "model"
    with pytest.raises(InvalidFieldError, match="translates 'de' to 'en', but news has en to de"):
        router.find("de", "en", "news")


def test_the_catalog_may_change_while_routes_are_in_use() -> None:
    old, new, other = FakeBackend("m"), FakeBackend("m"), FakeBackend("x", (("en", "fr"),))
    router = _router(old)
    languages = router.languages
    with router.held(router.find("en", "de")):
        router.update([replace(new.routed, hosted=replace(HOSTED, key="m@2")), other.routed])
        assert router.held_keys == {"m@1"}
        assert router.find("en", "de").hops[0].model.backend is new
        assert router.find("en", "fr").hops[0].model.backend is other
        assert router.languages is not languages
    assert router.held_keys == frozenset()
    router.update([])
    with pytest.raises(ModelUnavailableError, match="there is no model"):
        router.find("en", "de")


def test_both_models_of_a_route_are_held_and_share_the_load() -> None:
    first, second = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    router = _router(first, second, pivot="en")
    assert router.load_shares() == {}
    route = router.find("de", "fr")
    with router.held(route), router.held(route), router.held(router.find("de", "en")):
        assert router.held_keys == {"de-en@1", "en-fr@1"}
        assert router.load_shares() == {"de-en": 0.6, "en-fr": 0.4}


async def test_nobody_is_woken_and_a_pool_is_asked_once() -> None:
    asleep, pool = FakeBackend("asleep", can_sleep=True), FakeBackend("pool")
    asleep.num_replicas = 0
    models = [asleep.routed, *(replace(pool.routed, hosted=replace(HOSTED, id=i)) for i in "ab")]
    router = Router(models, info_timeout_seconds=0.01)
    assert await router.check() == {}
    assert (asleep.num_checks, pool.num_checks) == (0, 1)
    pool.check_error = ReplicaLostError()
    asleep.num_replicas = 1
    asleep.check_answers.clear()
    assert set(await router.check()) == {"asleep", "a", "b"}


def test_a_pair_waits_for_no_unrelated_model() -> None:
    unrelated = FakeBackend("de-en", (("de", "en"),))
    unrelated.check_answers.clear()
    router = _router(FakeBackend("en-fr", (("en", "fr"),)), unrelated, pivot="en")
    assert len(router.find("de", "fr").hops) == 2
    assert unrelated.num_checks == 0
