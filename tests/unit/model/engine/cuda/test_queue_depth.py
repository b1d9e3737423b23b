"""As many steps are queued as keep a device busy beside its host."""

from model.engine.cuda.queue_depth import QueueDepth


def _after(depth: QueueDepth, windows: int, idle_share: float) -> int:
    """Steps of a second, with what is between two marks anyway."""
    for _ in range(128 * windows):
        depth.note(idle_seconds=idle_share + 5e-6, busy_seconds=1 - idle_share)
    return depth.steps


def test_it_grows_while_the_device_is_idle_up_to_a_bound() -> None:
    depth = QueueDepth()
    assert depth.steps == 3
    assert [_after(depth, 1, 0.02) for _ in range(6)] == [4, 5, 6, 7, 8, 8]


def test_it_shrinks_after_each_two_windows_without_idleness() -> None:
    depth = QueueDepth()
    depth.steps = 5
    assert [_after(depth, 1, 0.0) for _ in range(8)] == [5, 4, 4, 3, 3, 2, 2, 2]


def test_in_between_it_stays() -> None:
    depth = QueueDepth()
    assert _after(depth, 9, 0.005) == 3
    assert _after(depth, 9, 0.0095) == 3
    assert _after(depth, 1, 0.0105) == 4


def test_quiet_windows_count_in_a_row() -> None:
    depth = QueueDepth()
    assert [_after(depth, 1, share) for share in (0.0, 0.005, 0.0, 0.0)] == [3, 3, 3, 2]


def test_what_a_mark_takes_the_device_is_no_idleness() -> None:
    depth = QueueDepth()
    depth.steps = 8
    for _ in range(4 * 128):
        depth.note(idle_seconds=2e-6, busy_seconds=165e-6)
    assert depth.steps == 6


def test_quiet_windows_before_an_idle_one_do_not_count() -> None:
    depth = QueueDepth()
    assert [_after(depth, 1, share) for share in (0.0, 0.02, 0.0, 0.0)] == [3, 4, 4, 3]


def test_one_long_pause_in_a_window_is_as_good_as_many_short_ones() -> None:
    depth = QueueDepth()
    for step in range(128):
        depth.note(idle_seconds=2.0 if step == 60 else 0.0, busy_seconds=1.0)
    assert depth.steps == 4


def test_steps_that_took_no_time_change_it_little() -> None:
    depth = QueueDepth()
    assert _after(depth, 1, 0.0) == 3
    for _ in range(256):
        depth.note(idle_seconds=0.0, busy_seconds=0.0)
    assert depth.steps == 2
