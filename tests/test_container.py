from pathlib import Path

import pytest

from ratelimit import container as module
from ratelimit.container import container

ID = "4bf92f3577b34da6a3ce929d0e0e4736" * 2
MOUNT = f"1 2 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"


def process(folder: Path, cgroup: str, mountinfo: str = "") -> Path:
    """What /proc/self would have."""
    (folder / "ns").mkdir()
    for name, text in (("cgroup", cgroup), ("mountinfo", mountinfo), ("ns/cgroup", "")):
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"12:memory:/kubepods/pod1/{ID}", ID),
        (f"0::/system.slice/docker-{ID}.scope", ID),
        ("1:name=x:/ecs/4bf92f3577b34da6a3ce929d0e0e4736-1234567890", "4bf92f3577b34da6a3ce929d0e0e4736-1234567890"),
        ("1:x:/garden/34dc0b5e-626f-4f5a-8f0a-5c3a7e2b0b1e", "34dc0b5e-626f-4f5a-8f0a-5c3a7e2b0b1e"),
        ("0::/user.slice", ""),
    ],
)
def test_the_hosts_namespace_tells_the_id(
    line: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a control group's path, in each of its forms."""
    folder = process(tmp_path, f"13:cpu:/\n{line}\n")
    monkeypatch.setattr(module, "HOST_NAMESPACE", (folder / "ns" / "cgroup").stat().st_ino)
    assert container(folder, tmp_path) == found


@pytest.mark.parametrize(("line", "group"), [("5:memory:/a", "memory/a"), ("0::/", ""), ("0::/b\n9:cpu:/", "b")])
def test_a_namespace_of_its_own_tells_the_inode(line: str, group: str, tmp_path: Path) -> None:
    """Of the control group, where a container's files are mounted."""
    folder, groups = process(tmp_path, line, MOUNT), tmp_path / "groups"
    (groups / group).mkdir(parents=True)
    assert container(folder, groups) == f"in-{(groups / group).stat().st_ino}"


@pytest.mark.parametrize("mountinfo", ["", MOUNT.replace("containers", "sandboxes"), MOUNT.replace(ID, "x")])
def test_what_is_no_container_has_no_name(mountinfo: str, tmp_path: Path) -> None:
    """Nor has a pod's sandbox, or a process whose files cannot be read."""
    assert container(process(tmp_path, "0::/a", mountinfo), tmp_path) == ""
    assert container(tmp_path / "none") == ""


def test_a_control_group_that_is_not_mounted_has_no_inode(tmp_path: Path) -> None:
    """Then nothing is told."""
    assert container(process(tmp_path, "0::/a\n", MOUNT), tmp_path / "none") == ""
