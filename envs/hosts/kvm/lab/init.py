"""The first process of a KVM lab's namespaces: makes its network, runs libvirt, reaps the dead.

    unshare --mount --net --pid --fork --mount-proc python init.py FOLDER CACHE READY

It has mounts, a network and processes of its own, so the libvirt in it has nothing to do with
one of the machine's, and when it ends everything in it ends. It writes a line to READY when
libvirt answers. Run as a script with the standard library alone.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BRIDGE = "br0"
UPLINK = "uplink"
OUTSIDE = "10.77.255.1"

_QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
"""
_LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'


def run(*command: str) -> None:
    """One command that must succeed."""
    subprocess.run(command, check=True)


def mounts(folder: Path, cache: Path) -> None:
    """What libvirt keeps on the machine is ours alone: empty, and gone at the end.

    Only what it has learned of QEMU, by starting it several times, outlives the lab in ``cache``.
    """
    config = folder / "etc"
    config.mkdir(exist_ok=True)
    (config / "qemu.conf").write_text(_QEMU_CONF)
    (config / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    (config / "virtlogd.conf").write_text("")
    run("mount", "--make-rprivate", "/")
    _own_sys(folder)
    run("mount", "--bind", str(config), "/etc/libvirt")
    cache.mkdir(parents=True, exist_ok=True)
    run("mount", "--bind", str(cache), "/var/cache/libvirt")
    for place in ("/run", "/var/lib/libvirt", "/var/log/libvirt"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)


def _own_sys(folder: Path) -> None:
    """A /sys that shows the interfaces of our network, with the machine's cgroups in it."""
    aside = folder / "cgroup"
    aside.mkdir()
    run("mount", "--rbind", "/sys/fs/cgroup", str(aside))
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "--move", str(aside), "/sys/fs/cgroup")


def network() -> None:
    """A bridge with an uplink; behind that, in a namespace named outside, another machine."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "netns", "add", "outside")
    run("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "eth0", "netns", "outside")
    run("ip", "link", "set", UPLINK, "master", BRIDGE, "up")
    run("ip", "link", "set", BRIDGE, "up")
    for words in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{OUTSIDE}/16", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
    ):
        run("ip", "-n", "outside", *words)


def serve() -> None:
    """Start libvirt's daemons and wait until they answer."""
    for daemon in ("virtlogd", "libvirtd"):
        subprocess.Popen([daemon], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while subprocess.run(["virsh", "-q", "list"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("libvirt does not answer")
        time.sleep(0.1)


def main(folder: Path, cache: Path, ready: int) -> None:
    """Make everything, say so, and then reap whatever loses its parent."""
    os.set_inheritable(ready, False)
    mounts(folder, cache)
    network()
    serve()
    os.write(ready, b"ready\n")
    os.close(ready)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    os.environ["LIBVIRT_DEFAULT_URI"] = "qemu:///system"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
