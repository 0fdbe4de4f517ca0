import pytest

from ratelimit.lint.actions import network_descriptors, policies
from tests.lint.test_items import item


def sent(actions: str) -> list[str]:
    """The descriptors of one policy, their entries as text."""
    (policy,) = policies(item(f"[{{actions: [{actions}]}}]"))
    return [",".join(map(str, descriptor)) for descriptor in policy.descriptors()]


@pytest.mark.parametrize(
    ("actions", "descriptors"),
    [
        ("{remote_address: {}}, {source_cluster: {}}", ["remote_address=*,source_cluster=*"]),
        ("{masked_remote_address: {v4_prefix_mask_len: 24}}", ["masked_remote_address=*"]),
        ("{request_headers: {header_name: x, descriptor_key: user}}", ["user=*"]),
        ("{genericKey: {descriptorValue: slow}}", ["generic_key=slow"]),
        ("{generic_key: {descriptor_value: slow, descriptor_key: path}}", ["path=slow"]),
        ("{header_value_match: {descriptor_value: gold, headers: []}}", ["header_match=gold"]),
        ("{query_parameter_value_match: {descriptor_value: a}}", ["query_match=a"]),
        ("{remote_address_match: {descriptor_value: office}}", ["remote_address_match=office"]),
        ("{generic_key: {descriptor_value: '%REQ(x)%'}}", ["generic_key=*"]),
        ("{metadata: {descriptor_key: tier, metadata_key: {}}}", ["tier=*"]),
        ("{extension: {name: x, typed_config: {descriptor_key: cel}}}", ["cel=*"]),
        ("{extension: {name: x}}", ["?=*"]),
        ("{unknown: {}}", ["?=*"]),
        ("{}", ["?=*"]),
        ("{request_headers: {descriptor_key: a, skip_if_absent: true}}, {remote_address: {}}",
         ["a=*,remote_address=*", "remote_address=*"]),
        ("{request_headers: {descriptor_key: a, skip_if_absent: true}}", ["a=*"]),
        ("", []),
    ],
)  # fmt: skip
def test_what_is_sent(actions: str, descriptors: list[str]) -> None:
    """Keys as Envoy has them by default, values where they are fixed."""
    assert sent(actions) == descriptors


def test_many_optional_entries_stay_few_descriptors() -> None:
    """Beyond some they count as sent."""
    optional = ", ".join(
        f"{{request_headers: {{descriptor_key: k{index}, skip_if_absent: true}}}}" for index in range(30)
    )
    assert len(sent(optional)) == 64


@pytest.mark.parametrize(
    ("action", "with_gold", "without"),
    [
        ("{remote_address: {}}", True, True),
        ("{request_headers: {header_name: X-Tier, descriptor_key: t}}", True, False),
        ("{request_headers: {header_name: X-Tier, descriptor_key: t, skip_if_absent: true}}", True, True),
        ("{request_headers: {header_name: other, descriptor_key: t}}", False, False),
        ("{request_headers: {header_name: ':path', descriptor_key: t}}", True, True),
        ("{query_parameters: {query_parameter_name: q, descriptor_key: t}}", False, False),
        ("{query_parameter_value_match: {descriptor_value: q}}", False, False),
        ("{query_parameter_value_match: {descriptor_value: q, expect_match: false}}", True, True),
        ("{header_value_match: {headers: [{name: x-tier, exact_match: gold}]}}", True, False),
        ("{header_value_match: {expect_match: false, headers: [{name: x-tier, exact_match: gold}]}}", False, True),
        ("{header_value_match: {headers: [{name: ':path', exact_match: /a}]}}", True, True),
        ("{header_value_match: {expect_match: false, headers: [{name: ':path', exact_match: /a}]}}", True, True),
        (
            "{header_value_match: {headers: [{name: x-tier, exact_match: gold}, {name: b, exact_match: c}]}}",
            False,
            False,
        ),
    ],
)
def test_which_requests_make_a_descriptor(action: str, with_gold: bool, without: bool) -> None:
    """Of x-tier: gold, and without it; nothing else is sent but what every request has."""
    (policy,) = policies(item(f"[{{actions: [{action}], stage: 2, limit: {{}}}}]"))
    assert (policy.fires("x-tier", "gold"), policy.fires("x-tier", None)) == (with_gold, without)
    assert (policy.stage, policy.overrides) == (2, True)


def test_a_network_filter_sends_what_is_written() -> None:
    """Each descriptor with its entries."""
    found = network_descriptors(item("descriptors: [{entries: [{key: a, value: b}]}]"))
    assert [str(entry) for descriptor in found for entry in descriptor] == ["a=b"]
