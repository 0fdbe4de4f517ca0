from loadtest.cases import CASES, TARGETS, Target
from loadtest.request_frames import KINDS, MIXED, OWN_KINDS


def test_targets_are_of_cases() -> None:
    """Each names cases that are measured, and each case a kind of load."""
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {target.case for target in TARGETS} | {target.other_case or target.case for target in TARGETS} <= set(names)
    assert {case.load.kind for case in CASES if not case.own} == set(KINDS) - set(MIXED)
    assert {case.load.kind for case in CASES if case.own} == {"constant", *OWN_KINDS}


def test_a_rate_is_to_be_high_and_a_time_low() -> None:
    """And the target says so in words."""
    rate, cpu = Target("a", "rate", "peer", 11), Target("a", "cpu_us", "ours", 1.3, "b")
    assert (rate.reached(11), rate.reached(10.9), cpu.reached(1.3), cpu.reached(1.31)) == (True, False, True, False)
    assert str(rate) == "a: req/s ≥ 11 × peer"
    assert str(cpu) == "a: CPU per request ≤ 1.3 × ours b"
