"""Version 1, version 2 or both at once: found out from what is mounted."""

from pathlib import Path

import pytest

from envs.hosts import cgroup
from envs.hosts.cgroup import Controller

V1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n"
UNIFIED = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
SET = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n"
TMPFS = "tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0\n"
NINEP = "host /host 9p rw,aname=drvfs;path=C:\\Program Files\\Host;uid=0,trans=fd 0 0\n"

ALL = "cpuset cpu io memory hugetlb pids\n"


@pytest.mark.parametrize(
    ("mounts", "trees", "found"),
    [
        (V2, {"/sys/fs/cgroup": ALL}, Controller(version=2, root="/sys/fs/cgroup")),
        (TMPFS + SET + V1, {}, Controller(version=1, root="/sys/fs/cgroup/cpu,cpuacct")),
        (
            TMPFS + UNIFIED + V1,
            {"/sys/fs/cgroup/unified": "hugetlb\n"},
            Controller(version=1, root="/sys/fs/cgroup/cpu,cpuacct"),
        ),
        (NINEP + V2, {"/sys/fs/cgroup": ALL}, Controller(version=2, root="/sys/fs/cgroup")),
        (V2, {"/sys/fs/cgroup": "memory pids\n"}, None),
        (TMPFS + SET, {}, None),
    ],
    ids=[
        "v2",
        "v1",
        "hybrid",
        "beside a mount with blanks in its options",
        "v2 without cpu",
        "v1 without cpu",
    ],
)
def test_the_controller_is_found(
    mounts: str, trees: dict[str, str], found: Controller | None
) -> None:
    assert cgroup.find(mounts, trees) == found


def test_each_version_has_its_own_file_range_and_default() -> None:
    one, two = (Controller(version=version, root="/x") for version in (1, 2))
    assert (one.weight_file, one.default, one.range) == ("cpu.shares", 1024, (2, 262144))
    assert (two.weight_file, two.default, two.range) == ("cpu.weight", 100, (1, 10000))


def test_a_version_2_group_passes_the_controller_on_when_told(tmp_path: Path) -> None:
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("memory pids\n")
    assert not cgroup.passed_on(tmp_path)
    cgroup.pass_on(tmp_path)
    assert control.read_text() == "+cpu"


def test_a_group_goes_with_those_in_it_unless_one_is_in_use(tmp_path: Path) -> None:
    group = tmp_path / "group"
    (group / "used").mkdir(parents=True)
    (group / "used" / "process").touch()  # what makes a folder busy, as a process does a group
    assert not cgroup.remove(group)
    (group / "used" / "process").unlink()
    assert cgroup.remove(group)
    assert not group.exists()
    assert cgroup.remove(group)
