"""A KVM host that is only files in a dictionary, for what no test machine has.

It answers the commands of the backend, and pins as libvirt and taskset do: ``virsh`` gives all
threads of a group the group's cores, ``taskset`` gives one thread some of them. As by the kernel,
a thread gets those of them that are in its cpusets, and it is an error if none is; and from a
group with threads its own set of cores cannot be taken away.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from envs.hosts import linux
from envs.hosts.kvm import guests, qemu
from envs.hosts.transport import Result, replace_file, write_file

_COUNTERS = " 0" * 16 + "\n"


class FakeKvm:
    """Cgroup version 2, libvirt, guests as they are added; ``refused`` commands fail."""

    def __init__(self, cores: int = 4) -> None:
        self.files = {
            "/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
            "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory\n",
            "/sys/devices/system/cpu/isolated": "\n",
            "/proc/stat": "".join(f"cpu{n} 1 0 1 9 0 0 0 0 0 0\n" for n in range(cores)),
            "/proc/net/dev": f"Inter-|\n face |\neth0:{_COUNTERS}",
        }
        self.cores = tuple(range(cores))
        self.nodes = 1
        self.links: dict[str, dict[str, object]] = {}
        self.uuids: list[str] = []
        self.interrupts = ""
        self.user = 0
        self.members: dict[tuple[str, str], tuple[str, list[int]]] = {}
        self.asked: list[tuple[str, ...]] = []
        self.trips = 0
        self.refused: Callable[[tuple[str, ...]], bool] = lambda _: False

    def add(
        self, name: str, pid: int, *, vcpus: int = 2, vhost: Sequence[int] = (), tap: str = "vnet0"
    ) -> str:
        """A guest of libvirt's: vcpus, an I/O thread, perhaps vhost workers; its UUID."""
        uuid = f"00000000-0000-0000-0000-{pid:012d}"
        scope = rf"/machine.slice/machine-qemu\x2d{pid}.scope"
        root = f"/sys/fs/cgroup{scope}"
        words = ["qemu-system-x86_64", "-name", f"guest={name.replace(',', ',,')}", "-uuid", uuid]
        self.files[f"/proc/{pid}/cmdline"] = "\0".join([*words, ""])
        self.files[f"/proc/{pid}/cgroup"] = f"0::{scope}/libvirt/emulator\n"
        self.files[f"/proc/{pid}/fdinfo/30"] = f"iff:\t{tap}\n"
        self.files[f"{root}/cpu.weight"] = "100\n"
        self.files[f"{root}/cpuset.cpus.effective"] = f"0-{self.cores[-1]}\n"
        self.links[tap] = {"ifname": tap, "txqlen": 1000}
        self.files["/proc/net/dev"] += f"{tap}:{_COUNTERS}"
        self.uuids.append(uuid)
        threads = {pid: "qemu-system-x86", pid + 1: "IO iothread1", pid + 2: "worker"}
        threads |= {pid + 10 + n: f"CPU {n}/KVM" for n in range(vcpus)}
        for tid, comm in threads.items():
            self._thread(pid, tid, comm)
        for tid in vhost:
            self._thread(tid, tid, f"vhost-{pid}")
        for group, tids in (
            *((f"vcpu{n}", [pid + 10 + n]) for n in range(vcpus)),
            ("emulator", [pid, pid + 2, *vhost]),
            ("iothread1", [pid + 1]),
        ):
            file = f"{root}/libvirt/{group}/cpuset.cpus"
            self.files[file] = "\n"
            self.members[uuid, group] = (file, tids)
        return uuid

    def _thread(self, pid: int, tid: int, comm: str) -> None:
        stat = f"{tid} ({comm}) S" + " 0" * 10 + " 5 5" + " 0" * 6 + f" {pid * 100} 0\n"
        leader = (f"/proc/{pid}",) if tid == pid else ()
        for folder in (f"/proc/{pid}/task/{tid}", *leader):
            self.files[f"{folder}/comm"] = comm + "\n"
            self.files[f"{folder}/stat"] = stat
            self.files[f"{folder}/status"] = f"Cpus_allowed_list:\t0-{self.cores[-1]}\n"

    def cores_of(self, tid: int) -> tuple[int, ...]:
        """Where a thread may run."""
        return linux.affinity(self.files[self._status(tid)])

    def _status(self, tid: int) -> str:
        return next(f for f in self.files if f.endswith(f"/task/{tid}/status"))

    def run(self, argv: Sequence[str], **_: object) -> Result:
        self.trips += 1
        return self._run(tuple(argv))

    def run_all(self, commands: Sequence[Sequence[str]], **_: object) -> tuple[Result, ...]:
        self.trips += 1
        return tuple(self._run(tuple(argv)) for argv in commands)

    def close(self) -> None:
        """Nothing is held."""

    def _run(self, argv: tuple[str, ...]) -> Result:
        self.asked.append(argv)
        if self.refused(argv):
            return Result(argv=argv, rc=1, err="error: it is refused\n")
        programs: dict[str, Callable[[list[str]], str]] = {
            "cat": lambda words: self.files[words[0]],
            "date": lambda _: f"{1700000000 + len(self.asked)}.5\n",
            "find": lambda _: "".join(
                f.replace("cmdline", "exe\n") for f in self.files if f.endswith("/cmdline")
            ),
            "id": lambda _: f"{self.user}\n",
            "grep": lambda words: self._shown(f for f in words[3:] if f in self.files),
            "ip": self._ip,
            "lscpu": lambda _: "".join(
                f"{n},{n},0,{n * self.nodes // len(self.cores)},0:0:0:0\n" for n in self.cores
            ),
            "mkdir": lambda _: "",
            "rm": lambda words: self.files.pop(words[-1], "") and "",
            "sh": lambda words: self._script(words[1], words[3:]),
            "systemctl": self._systemctl,
            "taskset": self._taskset,
            "uname": lambda _: "6.1.0\n",
            "virsh": lambda words: self._virsh(words[3:]),
        }
        try:
            out = programs[argv[0]](list(argv[1:]))
            script = argv[2] if argv[:2] == ("sh", "-c") else argv[0]
            greps = script.startswith("grep") or script == guests.SHARERS
            return Result(argv=argv, rc=0 if out or not greps else 1, out=out)
        except KeyError:
            return Result(argv=argv, rc=1, err=f"{argv[0]}: there is no such thing\n")
        except OSError as error:
            return Result(argv=argv, rc=1, err=f"{argv[0]}: {error}\n")

    def _ip(self, words: list[str]) -> str:
        match words:
            case ["link", "set", "dev", name, "txqueuelen", length]:
                self.links[name]["txqlen"] = int(length)
        return json.dumps([{"ifname": "lo"}, *self.links.values()])

    def _systemctl(self, words: list[str]) -> str:
        _, _, unit, weight = words
        (file,) = (f for f in self.files if f.endswith(f"/{unit}/cpu.weight"))
        self.files[file] = weight.removeprefix("CPUWeight=") + "\n"
        return ""

    def _taskset(self, words: list[str]) -> str:
        _, _, cores, tid = words
        self._pin(int(tid), cores)
        return ""

    def _virsh(self, words: list[str]) -> str:
        match words:
            case ["list", "--uuid"]:
                return "\n".join(self.uuids) + "\n"
            case ["schedinfo", uuid, "--live", "--set", share]:
                scope = self.members[uuid, "emulator"][0].partition("/libvirt/")[0]
                self.files[f"{scope}/cpu.weight"] = share.partition("=")[2] + "\n"
            case [kind, uuid, *which, cores, "--live"] if kind.endswith("pin"):
                file, tids = self.members[uuid, kind.removesuffix("pin") + "".join(which)]
                self.files[file] = cores + "\n"
                for tid in tids:
                    self._pin(tid, cores)
        return ""

    def _pin(self, tid: int, cores: str) -> None:
        own = next((file for file, tids in self.members.values() if tid in tids), "")
        above = (f"{folder}/cpuset.cpus.effective" for folder in PurePosixPath(own).parents)
        texts = [text for f in (own, *above) if (text := self.files.get(f, "").strip())]
        outside = {c for text in texts for c in self.cores if c not in linux.core_list(text)}
        inside = set(linux.core_list(cores)) - outside
        if not inside:
            raise OSError("Invalid argument")
        self.files[self._status(tid)] = f"Cpus_allowed_list:\t{linux.as_list(inside)}\n"

    def _script(self, script: str, words: list[str]) -> str:
        heads = {qemu._TASKS: "/proc/{}/task/", qemu._TAPS: "/proc/{}/fdinfo/"}
        if script in heads:
            head, tail = heads[script].format(*words), "comm" if script == qemu._TASKS else ""
            return self._shown(f for f in self.files if f.startswith(head) and f.endswith(tail))
        if script == guests.SHARERS:
            members = [(f, pid) for f in words for pid in self.files.get(f, "").split()]
            programs = [(f, pid) for f, pid in members if f"/proc/{pid}/cmdline" in self.files]
            return "".join(f"{file}\0{pid}\n" for file, pid in programs)
        if script == qemu.VHOST[2]:
            leaders = [f for f in self.files if f.count("/") == 3 and f.endswith("/comm")]
            return self._shown(f for f in leaders if self.files[f].startswith("vhost-"))
        if script in (write_file("", "")[2], replace_file("", "")[2]):
            if words[0].endswith("/cpuset.cpus") and self.files[words[0]].strip() and not words[1]:
                raise OSError("No space left on device")
            self.files[words[0]] = words[1] + "\n"
        return self.interrupts if "msi_irqs" in script else ""

    def _shown(self, paths: Iterable[str]) -> str:
        lines = [
            f"{path}\0{line}\n" for path in paths for line in self.files[path].splitlines() or [""]
        ]
        return "".join(lines)
