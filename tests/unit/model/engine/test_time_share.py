"""The balance between light and heavy sequences, in seconds that no clock has measured."""

from model.engine.time_share import TimeShare


def spend(share: TimeShare, seconds: float, *, heavy_run: bool, heavy_wait: bool = True) -> None:
    share.begin(heavy_run=heavy_run, heavy_wait=heavy_wait)
    share.end(seconds)


def test_light_ones_go_first_for_a_while_and_then_a_quarter_is_paid_back() -> None:
    share = TimeShare()
    for _ in range(14):
        spend(share, 0.01, heavy_run=False)
    assert not share.heavy_are_owed
    for _ in range(4):
        spend(share, 0.01, heavy_run=False)
    assert share.heavy_are_owed
    spend(share, 0.011, heavy_run=True)
    assert not share.heavy_are_owed


def test_nothing_is_owed_to_nobody() -> None:
    share = TimeShare()
    spend(share, 100.0, heavy_run=False, heavy_wait=False)
    assert not share.heavy_are_owed


def test_what_was_long_ago_counts_no_more() -> None:
    share = TimeShare()
    spend(share, 100.0, heavy_run=True)
    spend(share, 0.16, heavy_run=False)
    assert share.heavy_are_owed
    spend(share, 100.0, heavy_run=False)
    spend(share, 0.051, heavy_run=True)
    assert not share.heavy_are_owed
