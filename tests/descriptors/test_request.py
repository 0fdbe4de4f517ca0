from ratelimit.descriptors.request import Descriptor, Request


def test_absent_is_not_zero() -> None:
    """A descriptor without hits_addend differs from one that only looks."""
    assert Descriptor(()).hits_addend is None
    assert Request("d", ()).hits_addend == 0
