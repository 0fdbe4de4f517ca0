"""Rate limit filters and `rate_limits`, wherever they stand in Envoy's files and in patches of EnvoyFilters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ratelimit.descriptors.specification import Place
from ratelimit.lint.actions import Entry, Policy, network_descriptors, policies
from ratelimit.lint.items import Item, number
from ratelimit.lint.resources import Resource, labels_of

ROOT_NAMESPACE = "istio-system"
_ANY_CONTEXTS = ("", "ANY")
_HTTP_FILTERS = (".filters.http.ratelimit.v3.RateLimit", ".filter.http.rate_limit.v2.RateLimit")
_NETWORK_FILTERS = (".filters.network.ratelimit.v3.RateLimit", ".filter.network.rate_limit.v2.RateLimit")
_PER_ROUTE = ".filters.http.ratelimit.v3.RateLimitPerRoute"
_ROOTS = frozenset(
    (
        *("static_resources", "dynamic_resources", "listeners", "filter_chains", "http_filters"),
        *("virtual_hosts", "routes", "clusters", "rate_limits"),
    )
)
_MANAGER = ".HttpConnectionManager"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which proxies, and of which of their listeners: by an EnvoyFilter's words, or by the `manager` of a file.

    `namespace` is "" for files of Envoy's own; `manager` is "" for routes that stand alone.
    """

    folder: str
    namespace: str = ""
    labels: frozenset[tuple[str, str]] = frozenset()
    context: str = ""
    manager: str = ""

    def meets(self, other: "Scope") -> bool:
        """Whether there may be a listener that is of both."""
        if bool(self.namespace) != bool(other.namespace):
            return False
        if not self.namespace:
            return self.manager == other.manager or not (self.manager and other.manager)
        same = self.namespace == other.namespace or ROOT_NAMESPACE in {self.namespace, other.namespace}
        ours = dict(self.labels)
        agree = all(ours.get(name, value) == value for name, value in other.labels)
        contexts = self.context == other.context or self.context in _ANY_CONTEXTS or other.context in _ANY_CONTEXTS
        return same and agree and contexts


@dataclass(slots=True)
class Filter:
    """A rate limit filter; `network` tells that it is not one of HTTP."""

    config: Item
    scope: Scope
    network: bool = False

    @property
    def place(self) -> Place:
        return self.config.place

    @property
    def domain(self) -> str:
        return self.config.get("domain").text

    @property
    def stage(self) -> int:
        return number(self.config.get("stage")) or 0


@dataclass(slots=True)
class Group:
    """One `rate_limits`. `kind` is filter, typed or legacy; those with one `key` act on the same requests together.

    `above` are the policies that may act beside its own; `domain` is an override, "" for the filter's.
    """

    item: Item
    policies: list[Policy]
    scope: Scope
    kind: str
    key: object
    domain: str = ""
    above: list[Policy] = field(default_factory=list)


@dataclass(slots=True)
class Patch:
    """One patch of an EnvoyFilter."""

    resource: Resource
    item: Item
    scope: Scope

    @property
    def applies_to(self) -> str:
        return self.item.get("applyTo").text

    @property
    def operation(self) -> str:
        return self.item.get("patch", "operation").text

    @property
    def match(self) -> Item:
        return self.item.get("match")

    @property
    def value(self) -> Item:
        return self.item.get("patch", "value")


@dataclass(slots=True)
class Envoy:
    """Everything about rate limits that the files say to Envoy."""

    filters: list[Filter] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    documents: list[Item] = field(default_factory=list)

    def domains_of(self, group: Group) -> list[str]:
        """The domains that a group's descriptors may be of."""
        if group.domain:
            return [group.domain]
        return list(dict.fromkeys(each.domain for each in self.filters_of(group.scope) if not each.network))

    def filters_of(self, scope: Scope) -> list[Filter]:
        """The filters that may stand before a scope's routes."""
        return [each for each in self.filters if each.scope.meets(scope)]

    def beside(self, group: Group) -> list[Policy]:
        """All policies that act on the requests of a group."""
        merged = [policy for each in self.groups if each.key == group.key for policy in each.policies]
        return merged + group.above

    def network(self) -> Iterator[tuple[Filter, tuple[Entry, ...]]]:
        """What network filters send."""
        for each in self.filters:
            if each.network:
                yield from ((each, descriptor) for descriptor in network_descriptors(each.config))


def read_envoy(resources: Sequence[Resource]) -> Envoy:
    """Read all of it."""
    envoy = Envoy()
    for resource in resources:
        if not resource.kind and _is_envoys(resource.item):
            envoy.documents.append(resource.item)
            _walk(envoy, resource.item, Scope(resource.folder))
        elif resource.kind == "EnvoyFilter":
            for item in resource.spec.get("configPatches").elements:
                patch = Patch(resource, item, _scope(resource, item))
                envoy.patches.append(patch)
                if patch.operation != "REMOVE":
                    # A variant's actions are often merged beside those of the folder above it.
                    key = (
                        replace(patch.scope, folder=""),
                        patch.applies_to,
                        _shape(patch.match.get("routeConfiguration")),
                    )
                    _walk(envoy, patch.value, patch.scope, key)
    return envoy


def _is_envoys(document: Item) -> bool:
    """Whether a document without a kind is Envoy's, and not the values of a chart or another tool's file."""
    return any(name in _ROOTS for name, _ in document.named()) or any(
        "@type" in each.fields for each in document.within()
    )


def _scope(resource: Resource, patch: Item) -> Scope:
    labels = labels_of(resource.spec.get("workloadSelector", "labels"))
    context = patch.get("match", "context").text
    return Scope(resource.folder, resource.namespace, frozenset(labels.items()), context)


def _shape(item: Item) -> object:
    """What an item says, without its place."""
    inner = tuple(sorted((name, _shape(value)) for name, value in item.named()))
    return item.text, inner, tuple(map(_shape, item.elements))


def _walk(envoy: Envoy, item: Item, scope: Scope, key: object = None, above: Sequence[Policy] = ()) -> None:
    config, named = unwrapped(item)
    if named.endswith((*_HTTP_FILTERS, *_NETWORK_FILTERS)):
        found = Filter(config, scope, network=named.endswith(_NETWORK_FILTERS))
        envoy.filters.append(found)
        _add(envoy, Group(config.get("rate_limits"), [], scope, "filter", ("filter", config.place)))
        return
    if named.endswith(_MANAGER) and not scope.namespace:
        scope = replace(scope, manager=f"{item.place.file}:{item.place.key_path}")
    own = config.get("rate_limits")
    if own.elements:
        typed = named.endswith(_PER_ROUTE)
        group = Group(own, [], scope, "typed" if typed else "legacy", config.place if key is None else (key, typed))
        group.domain = config.get("domain").text if typed else ""
        group.above = list(above)
        _add(envoy, group)
        above = group.policies
    for name, inner in config.named():
        if name != "rate_limits":
            # Below a virtual host that a patch merges, a route has a place of its own.
            _walk(envoy, inner, scope, key if name == "typed_per_filter_config" else None, above)
    for inner in config.elements:
        _walk(envoy, inner, scope, key, above)


def unwrapped(item: Item) -> tuple[Item, str]:
    """A typed config and the name of its type, out of a TypedStruct too."""
    named = item.get("@type").text
    if named.endswith(".TypedStruct"):
        return item.get("value"), item.get("type_url").text
    return item, named


def _add(envoy: Envoy, group: Group) -> None:
    group.policies = policies(group.item)
    if group.policies:
        envoy.groups.append(group)
