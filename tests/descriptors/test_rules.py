import pytest

from ratelimit.descriptors.rules import METADATA_BYTES_MAX, REPLACES_MAX, SpecificationRules
from ratelimit.descriptors.specification import (
    DescriptorSpecification,
    DomainSpecification,
    LimitSpecification,
    OnStoreError,
    Place,
)
from ratelimit.descriptors.tree import Config, TreeBuilder
from ratelimit.errors import ConfigError

HERE = Place("resource", None, "descriptors[0]")
DAY = LimitSpecification(HERE, "Day", 1)


def descriptor(
    key: str = "k", rate_limit: LimitSpecification | None = None, **fields: object
) -> DescriptorSpecification:
    """A descriptor of a source that is no file."""
    return DescriptorSpecification(HERE, key, rate_limit=rate_limit, **fields)


def nodes(*descriptors: DescriptorSpecification, rules: SpecificationRules | None = None) -> list[tuple[int, str]]:
    """Depth and composite key of what one domain gives."""
    found = (rules or SpecificationRules()).nodes(DomainSpecification(HERE, "d", descriptors))
    return [(depth, node.composite) for depth, node in found]


def test_a_parent_comes_before_its_children() -> None:
    """In the order written, with the depth of each."""
    below = [descriptor("b", DAY, value="x"), descriptor("c")]
    assert nodes(descriptor("a", descriptors=below), descriptor("d")) == [
        (0, "d"), (1, "a"), (2, "b_x"), (2, "c"), (1, "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (descriptor(""), "descriptor has empty key"),
        (descriptor(rate_limit=LimitSpecification(HERE, "fortnight")), "invalid rate limit unit 'fortnight'"),
        (descriptor(rate_limit=LimitSpecification(HERE)), "invalid rate limit unit ''"),
        (descriptor(rate_limit=LimitSpecification(HERE, "day", unlimited=True)), "unit when unlimited"),
        (descriptor(rate_limit=LimitSpecification(HERE, "day", name="a", replaces=["a"])), "name of same descriptor"),
        (descriptor(rate_limit=LimitSpecification(HERE, "day", replaces=[""])), "empty replaces entry"),
        (descriptor(rate_limit=LimitSpecification(HERE, "day", replaces=["x"] * (REPLACES_MAX + 1))), "more than 1000"),
        (descriptor(share_threshold=True), r"share_threshold can only be used with wildcard values"),
        (descriptor(metadata={"a": "x" * METADATA_BYTES_MAX}), "more than 65536 bytes as JSON"),
        (descriptor(descriptors=[descriptor("a"), descriptor("a")]), "duplicate descriptor composite key 'd.k.a'"),
    ],
)
def test_each_rule_holds_for_every_reader(wrong: DescriptorSpecification, reason: str) -> None:
    """A specification that no YAML was read for breaks the same rules, and the error has its place."""
    with pytest.raises(ConfigError, match=reason) as caught:
        nodes(wrong)
    assert caught.value.file == "resource"


def test_a_domain_may_come_again_where_domains_are_merged() -> None:
    """Else it is refused; a descriptor that stands in both is refused either way, naming the first."""
    rules = SpecificationRules(merge_domains=True)
    nodes(descriptor("a"), rules=rules)
    nodes(descriptor("b"), rules=rules)
    with pytest.raises(ConfigError, match=r"duplicate descriptor composite key 'd\.a', first in"):
        nodes(descriptor("a"), rules=rules)
    strict = SpecificationRules()
    nodes(rules=strict)
    with pytest.raises(ConfigError, match="duplicate domain 'd' in config file, first in resource"):
        nodes(rules=strict)


def test_a_domain_needs_a_name() -> None:
    """Whoever sends it."""
    with pytest.raises(ConfigError, match="empty domain"):
        next(SpecificationRules().nodes(DomainSpecification(HERE, "")))


def merged_choice(*written: str | None) -> OnStoreError:
    """What comes of files of one domain."""
    rules, builder = SpecificationRules(merge_domains=True), TreeBuilder()
    for number, text in enumerate(written):
        place = Place(f"{number}.yaml", 2, "on_store_error")
        for depth, node in rules.nodes(
            DomainSpecification(place, "d", on_store_error=text, places={"on_store_error": place})
        ):
            builder.add(depth, node)
    return Config(builder.domains).on_store_error("d")


@pytest.mark.parametrize(
    ("written", "choice"),
    [
        ((None,), OnStoreError.ERROR),
        (("allow",), OnStoreError.ALLOW),
        (("deny", None), OnStoreError.DENY),
        ((None, "allow", "allow"), OnStoreError.ALLOW),
        (("error", "error"), OnStoreError.ERROR),
    ],
)
def test_on_store_error_is_of_the_domain(written: tuple[str | None, ...], choice: OnStoreError) -> None:
    """Any of its files may say it for all; without a word it is `error`."""
    assert merged_choice(*written) is choice
    assert Config({}).on_store_error("d") is OnStoreError.ERROR


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (("error", "deny"), "1.yaml:2: on_store_error: on_store_error is deny here and error in 0.yaml:2"),
        (("Deny",), "0.yaml:2: on_store_error: invalid on_store_error 'Deny': one of error, allow, deny is wanted"),
        (("",), "invalid on_store_error ''"),
    ],
)
def test_on_store_error_is_one_of_three(written: tuple[str, ...], reason: str) -> None:
    """And files that are merged do not say two; the error names both places."""
    with pytest.raises(ConfigError) as caught:
        merged_choice(*written)
    assert reason in str(caught.value)
