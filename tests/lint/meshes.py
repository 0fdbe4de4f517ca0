"""Files of Envoy and the mesh as tests write them: the shipped ones with mistakes, and small ones of their own."""

from pathlib import Path
from textwrap import dedent

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.lint.finding import Finding
from ratelimit.lint.resources import MeshFile
from ratelimit.lint.together import together_findings

ROOT = Path(__file__).parents[2]
CATALOG = (ROOT / "config" / "catalog.yaml").read_text()
FILTER = "istio/ratelimit-filter.yaml"
ACTIONS = "istio/ratelimit-actions.yaml"
SERVICE = "kubernetes/ratelimit.yaml"
AUTHORIZATION = "istio/authorization-policy.yaml"
SINGLE = "istio/single-resource/ratelimit.yaml"
BOOTSTRAP = "envoy/bootstrap.yaml"
SHIPPED = (FILTER, ACTIONS, SERVICE, AUTHORIZATION)
# The catalog itself, which is not shipped: the example is what limits it.
CATALOG_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: istioinaction}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 3000}]
"""


def config_of(text: str = CATALOG) -> Config:
    """A configuration of one file."""
    return load_config([ConfigFile("catalog.yaml", text.encode())])


def shipped(name: str) -> str:
    """A file below deploy/."""
    return (ROOT / "deploy" / name).read_text()


def found_in(files: dict[str, str], config: Config | None = None) -> list[Finding]:
    """The findings of files by their names, with the catalog's configuration unless another is given."""
    given = [MeshFile(name, text.encode()) for name, text in files.items()]
    return together_findings(given, config_of() if config is None else config)


def planted(name: str, old: str, new: str, *others: str) -> list[Finding]:
    """The findings of the shipped files, or of these, when in one of them `old` is `new` at its first place."""
    files = {each: shipped(each) for each in (others or SHIPPED)}
    files.setdefault(name, shipped(name))
    assert old in files[name]
    files[name] = files[name].replace(old, new, 1)
    return found_in(files)


def filter_of(*lines: str, domain: str = "d", rate_limits: str = "") -> str:
    """A bootstrap with one rate limit filter, with lines of its config and its own rate_limits beside."""
    more = "".join(f"\n                {line}" for line in lines)
    own = f"\n                rate_limits: {rate_limits}" if rate_limits else ""
    return dedent(f"""
        static_resources:
          listeners:
          - filter_chains: [{{filters: [{{typed_config: {{
              "@type": type.googleapis.com/envoy.x.HttpConnectionManager,
              http_filters: [{{
                name: envoy.filters.http.ratelimit, typed_config: {{
                "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit,
                domain: {domain}, failure_mode_deny: true, timeout: 1s,
                rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: r}}}}}},{more}{own}
        }} }}] }} }}] }}]
    """)


def sending(*policies: str, more: str = "") -> list[Finding]:
    """The findings of a filter whose own rate_limits are these, without a configuration."""
    text = filter_of(*([more] if more else []), rate_limits="[" + ", ".join(policies) + "]")
    return together_findings([MeshFile("e.yaml", text.encode())], None)


def header(value: str, name: str = "x-tier", expect: str = "true", form: str = "string_match: {exact: %s}") -> str:
    """A policy with one header_value_match."""
    matcher = f"{{name: {name}, {form % value if '%' in form else form}}}"
    actions = f"{{header_value_match: {{descriptor_value: {value}, expect_match: {expect}, headers: [{matcher}]}}}}"
    return f"{{actions: [{actions}]}}"
