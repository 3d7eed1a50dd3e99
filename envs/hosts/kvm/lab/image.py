"""What the guests of a KVM lab boot: a distribution's kernel, and busybox with iperf3 around it.

Both are kept in a folder of the user's cache, and made anew when the kernel package or this file
changes. The package is fetched and unpacked, never installed.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from envs.errors import HostError
from envs.host import Record

_META = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_net")

INIT = """#!/bin/busybox sh
# The words of the kernel's command line that hold a dot are ours: ip.ADDRESS, to.ADDRESS, busy.N
/bin/busybox --install -s /bin
send() {  # after a silence, TCP would try again ever more seldom, so it starts anew
    while :; do
        iperf3 -c "$1" -t 86400 --connect-timeout 5000 --snd-timeout 10000 >/dev/null 2>&1
        sleep 7
    done
}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules.order); do insmod /modules/$module.ko; done
ip link set lo up
for number in 0 1 2 3; do
    [ -e /sys/class/net/eth$number ] && ip link set eth$number up
done
for word in $(cat /proc/cmdline); do
    case $word in
        ip.*) ip addr add ${word#ip.}/16 dev eth0; echo "up ${word#ip.}";;
        to.*) send ${word#to.} & ;;
        busy.*) for n in $(seq ${word#busy.}); do (while :; do :; done) & done;;
    esac
done
# It serves one at a time. One that is gone it gives up after five seconds in which nobody else
# has asked: each attempt, although refused, makes it wait anew. So senders pause for longer.
while :; do iperf3 -s --rcv-timeout 5000 >/dev/null 2>&1; sleep 1; done
"""


class Image(Record, frozen=True):
    """The files a guest boots."""

    kernel: str
    initrd: str


def cache() -> Path:
    """Where images are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "viotune" / "kvm"


def image() -> Image:
    """The image, made if there is none yet. Raises HostError where a program or package lacks."""
    package = _package()
    folder = cache() / f"{package}-{_digest()}"
    if not folder.exists():
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache(), prefix="new-") as scratch:
            made = _make(package, Path(scratch))
            made.rename(folder)  # whole or not at all
    return Image(kernel=str(folder / "kernel"), initrd=str(folder / "initrd"))


def _digest() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _package() -> str:
    shown = _run("apt-cache", "depends", _META)
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if not found:
        raise HostError(f"no kernel package for guests: {_META} is not known; run: apt-get update")
    return found[1]


def _make(package: str, scratch: Path) -> Path:
    _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=scratch)
    (archive,) = scratch.glob("*.deb")
    _run("dpkg", "-x", str(archive), str(scratch / "kernel"))
    made, root = scratch / "image", scratch / "root"
    made.mkdir()
    (kernel,) = (scratch / "kernel" / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, made / "kernel")
    for name in ("bin", "dev", "modules", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    built = {path.stem: path for path in (scratch / "kernel" / "lib").rglob("*.ko")}
    order = list(dict.fromkeys(name for module in _MODULES for name in _needed(module, built)))
    for name in order:
        shutil.copy(built[name], root / "modules")
    (root / "modules.order").write_text("\n".join(order) + "\n")
    for program in ("busybox", "iperf3"):
        for source, target in _with_libraries(program):
            there = root / target.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, there)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with (made / "initrd").open("wb") as archive_file:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"],
            cwd=root,
            input=names.encode(),
            stdout=archive_file,
            check=True,
        )
    return made


def _needed(name: str, built: Mapping[str, Path]) -> Iterator[str]:
    """A module behind those it depends on, as it says itself. What is built in is not there."""
    if name in built:
        found = re.search(rb"\0depends=([^\0]*)\0", built[name].read_bytes())
        for other in found[1].decode().split(",") if found else ():
            yield from _needed(other, built)
        yield name


def _with_libraries(program: str) -> Iterator[tuple[str, str]]:
    """(file here, path there) of a program and of each library that it loads."""
    path = shutil.which(program)
    if path is None:
        raise HostError(f"{program} is not installed: the guests need it")
    yield path, f"/bin/{program}"
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+)", listed):
        yield library, library


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise HostError(
            f"{command[0]} is not installed: the guests' kernel is a Debian one"
        ) from None
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr or "no message").strip().splitlines()[-1]
        raise HostError(f"{' '.join(command)}: {complaint}") from error
    return done.stdout
