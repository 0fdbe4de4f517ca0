from pathlib import Path

import pytest

from ratelimit.errors import ConfigError
from ratelimit.migration.deployment import Deployment, read_deployment

WORKLOAD = """\
apiVersion: v1
kind: List
items:
  - kind: ConfigMap
    metadata: {name: settings}
    data: {REDIS_TYPE: single, LOG_LEVEL: info, redis: "redis:6379"}
  - kind: Deployment
    spec:
      template:
        spec:
          containers:
            - name: proxy
              env: [{name: PORT, value: "1"}]
            - name: ratelimit
              envFrom:
                - configMapRef: {name: settings}
                - secretRef: {name: secret}
              env:
                - {name: LOG_LEVEL, value: debug}
                - {name: USE_STATSD, value: false}
                - {name: GRPC_PORT, value: 8081}
                - {name: REDIS_URL, valueFrom: {configMapKeyRef: {name: settings, key: redis}}}
                - {name: REDIS_AUTH, valueFrom: {secretKeyRef: {name: secret, key: password}}}
                - {name: RUNTIME_SUBDIRECTORY}
---
kind: Service
"""


def read(folder: Path, text: str, name: str = "deployment.yaml") -> Deployment:
    """What a file of that text says."""
    path = folder / name
    path.write_text(text)
    return read_deployment(path)


def test_a_workload_of_kubernetes_is_read(tmp_path: Path) -> None:
    """The container that is ours, with what its ConfigMap says; what stands in a Secret is named."""
    found = read(tmp_path, WORKLOAD)
    assert found.environ == {
        "REDIS_TYPE": "single",
        "LOG_LEVEL": "debug",
        "redis": "redis:6379",
        "USE_STATSD": "false",
        "GRPC_PORT": "8081",
        "REDIS_URL": "redis:6379",
        "RUNTIME_SUBDIRECTORY": "",
    }
    assert found.elsewhere == ("those of secret", "REDIS_AUTH")


def test_lines_are_read(tmp_path: Path) -> None:
    """As docker, systemd and the shell have them."""
    text = '# comment\n\nPORT=80\nexport LOG_LEVEL=info\nEXTRA_TAGS="a:b"\nREDIS_AUTH=a=b\nGRPC_UDS=\n'
    assert read(tmp_path, text, ".env") == Deployment(
        {"PORT": "80", "LOG_LEVEL": "info", "EXTRA_TAGS": "a:b", "REDIS_AUTH": "a=b", "GRPC_UDS": ""}
    )


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.env", "PORT=1\nnothing\n", "a.env:2: NAME=value is wanted"),
        ("a.yaml", "{", "no YAML"),
        ("a.yaml", "kind: Service\nspec: {ports: []}", "no container"),
        ("a.yaml", "- 1\n---\ntext", "no container"),
        ("a.yaml", "spec: {containers: [1], template: []}", "no container"),
        ("a.env", "#" * (4 * 1024 * 1024 + 1), "larger than"),
    ],
    ids=["line", "yaml", "service", "other", "odd", "large"],
)
def test_what_is_no_deployment_is_refused(tmp_path: Path, name: str, text: str, reason: str) -> None:
    """With the file, and the line where there is one."""
    with pytest.raises(ConfigError, match=reason):
        read(tmp_path, text, name)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Not there, or no text."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_deployment(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_deployment(tmp_path / "bytes")
