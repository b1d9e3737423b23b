"""Suggestions are kept in their order, up to a number."""

from __future__ import annotations

from service.store.store import Store


async def test_suggestions_are_kept_up_to_a_number(store: Store) -> None:
    for text in ("Hello", "Good day"):
        assert await store.suggestions.add("en", "de", text, f"de: {text} 😀", most=2)
    assert not await store.suggestions.add("en", "de", "more", "mehr", most=2)
    found = [each async for each in store.suggestions.all()]
    assert [(one.source, one.target, one.text, one.suggestion) for one in found] == [
        ("en", "de", "Hello", "de: Hello 😀"),
        ("en", "de", "Good day", "de: Good day 😀"),
    ]
    assert await store.suggestions.remove_all() == 2
    assert [each async for each in store.suggestions.all()] == []
