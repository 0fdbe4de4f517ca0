from ratelimit.simulation import tallies
from ratelimit.simulation.tallies import BUCKETS_MAX, KEYS_MAX, Busiest, KeyCount, Tallies, Tally, Timeline


def test_buckets_widen_with_the_log() -> None:
    """A second each at first; what was there before is summed, and none is lost."""
    timeline = Timeline()
    series = timeline.series()
    for second in range(1_000, 1_000 + 3_600):
        assert timeline.reach(second) > second
        timeline.add(series, second, 2, 1)
        assert len(series) <= BUCKETS_MAX
    assert timeline.width_s == 20
    assert all(second % 20 == 0 for second in series)
    assert [sum(column) for column in zip(*series.values(), strict=True)] == [7_200, 3_600]


def test_buckets_of_years() -> None:
    """Wider than a day where the log is: twice as wide each time."""
    timeline = Timeline()
    timeline.reach(0)
    assert timeline.reach(86_400 * 2_000) > 86_400 * 2_000
    assert timeline.width_s == 16 * 86_400


def test_the_busiest_keys_are_bounded() -> None:
    """Exact for few keys; of many, those that are over most stay, and it is told what may lack."""
    busiest = Busiest()
    for number in range(2 * KEYS_MAX):
        busiest.add(f"k{number}", 1 + number % 3, int(number == 7))
    assert busiest.dropped == 0
    busiest.add("k7", 4, 4)
    busiest.add("one more", 1, 0)
    assert len(busiest) == KEYS_MAX + 1
    assert busiest.dropped == 2
    assert busiest.most(2) == [("k7", KeyCount(6, 5)), ("k2", KeyCount(3, 0))]


def test_a_tally_keeps_the_ends() -> None:
    """The first and the last moment over the limit, in whatever order they are told, and the highest count."""
    tally = Tally("d.a", "counted")
    tally.was_over(50, 60)
    tally.was_over(20, 30)
    for count in (3, 9, 4):
        tally.saw(count)
    assert (tally.first_over_ms, tally.last_over_ms, tally.peak) == (20, 60, 9)


def test_series_of_many_limits_are_bounded() -> None:
    """The first limits have one."""
    made = Tallies(Timeline().series)
    for number in range(tallies.SERIES_MAX + 2):
        made.of(f"d.{number}", str(number), None, None)
    assert sum(each.series is not None for each in made.all()) == tallies.SERIES_MAX
