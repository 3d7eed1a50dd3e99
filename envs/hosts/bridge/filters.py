"""Packet filters that see the frames a bridge forwards, and that other modes would bypass.

Rules of the families ``bridge`` and ``netdev`` (and ebtables) always see them; those of the IP and
ARP families only where bridge netfilter calls them, so only then are they asked for. A base chain
counts if it has a rule or drops what no rule names. An empty one changes no frame.
Sources: nft(8), libnftables-json(5), ebtables(8), iptables-save(8),
``Documentation/networking/bridge.rst``.
"""

from collections.abc import Collection, Iterator

import msgspec

from envs.hosts.change import Command
from envs.hosts.transport import Result
from envs.hosts.unexpected import decoded

_CALLED = r"""
called() {
    { cat /proc/sys/net/bridge/bridge-nf-call-*tables; ip -d link show dev "$1"; } 2>/dev/null |
        grep -q -e '^1' -e 'nf_call_[a-z0-9]*tables 1'
}
"""

_NFT = r"""
if ! command -v nft >/dev/null; then
    if ! grep -q '^nf_tables ' /proc/modules; then exit 0; fi
    echo 'nf_tables is in use, but nft is not installed' >&2
    exit 1
fi
families='bridge netdev'
if called "$1"; then families="$families inet ip ip6 arp"; fi
for family in $families; do nft -j list ruleset "$family" || exit; done
"""

_SAVE = r"""
tools='ebtables-save ebtables-legacy-save'
if called "$1"; then
    for kind in ip ip6 arp; do
        if grep -qs . "/proc/net/${kind}_tables_names"; then
            tools="$tools ${kind}tables-save ${kind}tables-legacy-save"
        fi
    done
fi
for tool in $tools; do
    if command -v "$tool" >/dev/null; then
        echo "# of $tool"
        "$tool" || exit
    fi
done
"""
"""The legacy tables; only tools that are installed can have filled them.

A tool asked of tables that nobody uses would bring some of them to life. Their names are hidden
from root of a user namespace, but there nobody else can have made any.
"""

_HOOKS = ("ingress", "prerouting", "forward", "postrouting", "egress")
"""Where nftables sees frames on their way through a bridge. A redirect skips egress as well."""
_CHAINS = ("BROUTING", "PREROUTING", "FORWARD", "POSTROUTING")


class _Chain(msgspec.Struct, frozen=True):
    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = ""
    dev: str | list[str] = []


class _Rule(msgspec.Struct, frozen=True):
    family: str
    table: str
    chain: str


class _Item(msgspec.Struct, frozen=True):
    chain: _Chain | None = None
    rule: _Rule | None = None


class _Ruleset(msgspec.Struct, frozen=True):
    nftables: list[_Item]


def questions(bridge: str) -> tuple[Command, ...]:
    """What must be asked to know the filters of a bridge."""
    return tuple(("sh", "-c", _CALLED + script, "sh", bridge) for script in (_NFT, _SAVE))


def reasons(nft: Result, saved: Result, ports: Collection[str]) -> Iterator[str]:
    """Each filter that bridged frames between ``ports`` meet, as a clause that names it."""
    for result, name in ((nft, "nftables"), (saved, "iptables and ebtables")):
        if result.rc != 0:
            complaint = (result.err.strip().splitlines() or [f"return code {result.rc}"])[0]
            yield f"whether {name} filter its frames cannot be told: {complaint}"
    if nft.rc == 0:
        yield from _nftables(nft.out, ports)
    if saved.rc == 0:
        yield from dict.fromkeys(_saved(saved.out))


def _nftables(text: str, ports: Collection[str]) -> Iterator[str]:
    """``text`` is one ruleset a line."""
    items = [i for line in text.splitlines() for i in decoded("nft", line, _Ruleset).nftables]
    ruled = {(i.rule.family, i.rule.table, i.rule.chain) for i in items if i.rule}
    for chain in (item.chain for item in items if item.chain):
        devices = {chain.dev} if isinstance(chain.dev, str) else set(chain.dev)
        if chain.hook not in _HOOKS or (devices and not devices & set(ports)):
            continue
        if (chain.family, chain.table, chain.name) in ruled or chain.policy == "drop":
            where = f"chain {chain.name} of table {chain.family} {chain.table}"
            yield f"nftables filter its frames: {where}"


def _saved(text: str) -> Iterator[str]:
    tool = table = ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if line.startswith("# of "):
            tool = rest.partition(" ")[2].removesuffix("-save").removesuffix("-legacy")
        elif line.startswith("*"):
            table = line[1:].strip()
        elif word == "-A" and rest.split(" ", 1)[0] in _CHAINS:
            yield f"{tool} filter its frames: chain {rest.split(' ', 1)[0]} of table {table}"
        elif line.startswith(":") and word[1:] in _CHAINS and rest.split(" ", 1)[0] == "DROP":
            yield f"{tool} filter its frames: chain {word[1:]} of table {table}"
