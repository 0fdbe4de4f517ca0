"""From Envoy's and the mesh's files to all findings about them, with the configuration where there is one."""

from collections.abc import Sequence

from ratelimit.descriptors.tree import Config
from ratelimit.lint.envoy import read_envoy
from ratelimit.lint.finding import Finding, in_order
from ratelimit.lint.form_rules import form_findings
from ratelimit.lint.gateway_rules import gateway_findings
from ratelimit.lint.mesh import Mesh
from ratelimit.lint.mesh_rules import mesh_findings
from ratelimit.lint.policy_rules import policy_findings
from ratelimit.lint.resources import MeshFile, read_resources
from ratelimit.lint.sent_rules import escape_findings, pairing_findings, sent_findings
from ratelimit.lint.timeout_rules import timeout_findings


def together_findings(files: Sequence[MeshFile], config: Config | None) -> list[Finding]:
    """What is hardly meant in the files; without a configuration that loads, only what they show by themselves."""
    found: list[Finding] = []
    resources = read_resources(files, found)
    envoy, mesh = read_envoy(resources), Mesh(resources)
    if config is not None:
        found += sent_findings(envoy, config)
    found += escape_findings(envoy)
    found += pairing_findings(envoy)
    found += form_findings(envoy)
    found += timeout_findings(envoy, resources)
    found += mesh_findings(envoy, mesh)
    found += policy_findings(envoy, mesh)
    found += gateway_findings(mesh)
    return in_order(found)
