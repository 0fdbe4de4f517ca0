import pytest

from ratelimit.descriptors.tree import Config
from ratelimit.lint.finding import Finding
from ratelimit.lint.sent_rules import UNSENT_MAX
from tests.lint.meshes import config_of, filter_of, found_in, header, sending

LIMIT = "rate_limit: {unit: day, requests_per_unit: 1}"
USERS = f"domain: d\ndescriptors: [{{key: user, value: alice, {LIMIT}}}, {{key: tier, value: gold, {LIMIT}}}]"
ANY = "string_match: {safe_regex: {regex: '.+'}}"
WORD = "string_match: {safe_regex: {regex: '[a-z-]+'}}"
USER = "{actions: [{request_headers: {header_name: x-user, descriptor_key: user}}]}"
TIER = "{actions: [{generic_key: {descriptor_key: tier, descriptor_value: %s}}]}"


def together(*policies: str, config: str = USERS, **options: str) -> list[Finding]:
    """The findings of a filter with these policies and a configuration."""
    text = filter_of(rate_limits="[" + ", ".join(policies) + "]", **options)
    return found_in({"e.yaml": text}, config_of(config))


def rules(found: list[Finding]) -> list[str]:
    """Their rules, in order of names."""
    return sorted(each.rule for each in found)


def test_a_descriptor_that_nothing_matches() -> None:
    """With what is near; a limit of its own is a match."""
    found = together(TIER % "glod", TIER % "gold", USER)
    (unmatched,) = [each for each in found if each.rule == "descriptor-unmatched"]
    assert "sends 'tier=glod'" in unmatched.said
    assert unmatched.cure == "there are 'tier_gold'"
    assert "descriptor-unmatched" not in rules(
        together(TIER.replace("}]}", "}], limit: {}}") % "glod", TIER % "gold", USER)
    )
    assert "add the descriptor" in next(
        each.cure for each in together("{actions: [{remote_address: {}}]}") if each.rule == "descriptor-unmatched"
    )


def test_a_limit_that_nobody_sends() -> None:
    """At its place in the configuration; of many the rest as a number."""
    assert "limit-unsent" not in rules(together(USER, TIER % "gold"))
    (found,) = [each for each in together(USER) if each.rule == "limit-unsent"]
    assert (found.place.file, found.place.line) == ("catalog.yaml", 2)
    many = ", ".join(f"{{key: k{index}, {LIMIT}}}" for index in range(UNSENT_MAX + 5))
    unsent = [
        each for each in together(USER, config=f"domain: d\ndescriptors: [{many}]") if each.rule == "limit-unsent"
    ]
    assert unsent[0].said.startswith("5 more limits")
    assert len(unsent) == UNSENT_MAX + 1


def test_values_that_callers_choose() -> None:
    """Only some have limits; not where another policy limits every request."""
    assert "values-unlimited" not in rules(together(USER, TIER % "gold"))
    (found,) = [each for each in together(USER) if each.rule == "values-unlimited"]
    assert "only 'alice' of 'user'" in found.said


def test_domains() -> None:
    """One that is not there is an error with what is near; one that nobody asks for is told."""
    config = f"domain: shop\ndescriptors: [{{key: k, {LIMIT}}}]"
    found = {each.rule: each for each in together(TIER % "gold", config=config, domain="shpo")}
    assert found.keys() == {"unknown-domain", "domain-unasked"}
    assert found["unknown-domain"].cure == "did you mean 'shop'?"
    far = {each.rule: each for each in together(TIER % "gold", config=config, domain="x")}
    assert far["unknown-domain"].cure == "there are 'shop'"


def test_a_network_filter() -> None:
    """Its descriptors are held against the configuration too."""
    kind = "type.googleapis.com/envoy.extensions.filters.network.ratelimit.v3.RateLimit"
    text = f"""a: {{"@type": {kind}, stat_prefix: x, domain: d, failure_mode_deny: true, timeout: 1s,
      rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: r}}}}}},
      descriptors: [{{entries: [{{key: tier, value: %s}}]}}]}}"""
    assert rules(found_in({"e.yaml": text % "gold"}, config_of(USERS))) == ["limit-unsent"]
    assert "descriptor-unmatched" in rules(found_in({"e.yaml": text % "tin"}, config_of(USERS)))
    other = text.replace("domain: d", "domain: e") % "tin"
    assert rules(found_in({"e.yaml": other}, config_of(USERS))) == ["domain-unasked", "unknown-domain"]


def test_actions_alone_are_held_against_every_domain() -> None:
    """Where the files have no filter."""
    text = f"virtual_hosts: [{{rate_limits: [{TIER % 'gold'}, {USER}]}}]"
    assert rules(found_in({"e.yaml": text}, config_of(USERS))) == []
    several = {**config_of(USERS.replace("domain: d", "domain: e")).domains, **config_of().domains}
    assert rules(found_in({"e.yaml": text}, Config(several))) == []


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ([header("gold"), header("silver")], "only 'gold', 'silver' makes a descriptor: any other value and"),
        ([header("gold"), header("gold", expect="false")], ""),
        ([header("gold"), "{actions: [{remote_address: {}}]}"], ""),
        ([header("gold", form="present_match: true")], "a request without x-tier makes no descriptor"),
        ([header("gold", form=ANY), header("n", form="present_match: false")], "an empty value is not limited"),
        ([USER], "a request without x-user makes no descriptor"),
        ([header("gold", name="':path'")], ""),
        ([header("gold"), header("x", form=WORD)], "a request without it is"),
        ([header("a", form=WORD + ", invert_match: true"), header("gold")], "a request without it is not"),
    ],
)  # fmt: skip
def test_who_escapes(policies: list[str], said: str) -> None:
    """Values that no action names, an empty one, or no such header; nobody where something is always sent."""
    found = [each.said for each in sending(*policies) if each.rule == "header-escapes"]
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_actions_and_filters_belong_together() -> None:
    """By stage; and the filter's own go before those of routes."""
    action = "{actions: [{remote_address: {}}]}"
    filter_ = filter_of(rate_limits=f"[{action}]")
    both = filter_ + f"\nroutes: {{rate_limits: [{action}]}}"
    assert rules(found_in({"e.yaml": both}))[-1] == "unknown-domain"
    assert "legacy-ignored" in rules(found_in({"e.yaml": both}))
    assert "stage-mismatch" in rules(sending("{actions: [{remote_address: {}}], stage: 1}"))
    assert "filter-without-actions" in rules(found_in({"e.yaml": filter_of()}))


def test_patches_that_are_merged_cover_for_each_other() -> None:
    """Two EnvoyFilters for one virtual host: one finding for both, or none where the second takes the rest."""
    patch = "{applyTo: VIRTUAL_HOST, match: {}, patch: {operation: MERGE, value: {rate_limits: [%s]}}}"
    text = "kind: EnvoyFilter\nspec: {workloadSelector: {labels: {a: b}}, configPatches: [" + patch + "]}"
    config = config_of("domain: d")
    first = text % header("gold")
    found = found_in({"1.yaml": first, "2.yaml": text % header("tin")}, config)
    assert [each.rule for each in found].count("header-escapes") == 1
    rest = text % header("gold", expect="false")
    assert "header-escapes" not in rules(found_in({"1.yaml": first, "2.yaml": rest}, config))
