"""The watcher: what keeps every guest reachable while no tuner runs.

A redirect to an interface that is gone swallows frames, and a port that is not flooded misses
what is sent to an address that the bridge has not heard of. So while a bridge is in a mode of
ours, ``watch.sh`` runs on the host, detached from whoever started it, and takes back what has
become doubtful.

It needs no list of what can go wrong, because the kernel keeps one: both modes set a static entry
of the forwarding table for each address that they rely on. The kernel removes it when the port is
gone or leaves the bridge, and moves it when the address shows up behind another port; a person who
deletes it means what that says. An address is relied on while its entry stands as it was set and
its port forwards; under ``lean``, while nothing else is behind that port. Otherwise its redirects
are removed, or its port is flooded again, and the bridge does what it did before; so also when
VLANs begin to be filtered, or a port is isolated.

The script waits for ``bridge monitor`` and costs nothing meanwhile. It ends when nothing is left
to watch, so also when the mode is left and when the interfaces or the network namespace vanish. If
one of its processes is killed, the others take everything back.
Sources: bridge(8), ``br_fdb_update`` and ``br_fdb_delete_by_port`` in ``net/bridge/br_fdb.c``.
"""

import re
from importlib.resources import files

from envs.hosts.bridge.state import WORD
from envs.hosts.change import Command

_MARK = "viotune-watch:"

_WATCH = files(__package__).joinpath("watch.sh").read_text()

_GROUPS = r"""
tries="1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"
groups() {
    here=$(readlink /proc/self/ns/net)
    for file in $(grep -slzxF -e"viotune-watch:$1" /proc/[0-9]*/cmdline); do
        folder=${file%/cmdline}
        if [ "$(readlink "$folder/ns/net")" = "$here" ]; then
            read -r _ name _ _ group _ 2>/dev/null <"$folder/stat" || continue
            if [ "$name" = "(sh)" ]; then echo "$group"; fi
        fi
    done | sort -u
}
"""
"""The process groups of a bridge's watchers in this network namespace, each led by its watcher.

They are known by a word of their processes' command lines, so the commands that look for it must
not have that very word as an argument of their own. (``setsid`` has it, before it is the watcher
and while its group is still that of whoever starts it: it does not count.)
"""

_START = r"""
script=$1 bridge=$2
shift 2
WATCH=$script setsid sh -c 'eval "$WATCH"' "viotune-watch:$bridge" "$@" </dev/null >/dev/null 2>&1 &
for _ in $tries; do
    if [ -n "$(groups "$bridge")" ]; then exit 0; fi
    sleep 0.1
done
echo "the watcher of $bridge did not start: are setsid, bridge and tc installed?" >&2
exit 1
"""

_STOP = r"""
for group in $(groups "$1"); do kill -TERM "-$group" 2>/dev/null; done
for _ in $tries; do
    if [ -z "$(groups "$1")" ]; then exit 0; fi
    sleep 0.1
done
echo "the watcher of $1 does not end: process group" $(groups "$1") >&2
exit 1
"""

_SHOW = r"""
for group in $(groups "$1"); do
    cat "/proc/$group/cmdline" 2>/dev/null && break
done
true
"""
"""Prints the words of the watcher itself: its helpers have the same, but come and go meanwhile."""


def start(bridge: str, words: tuple[str, ...]) -> Command:
    """The command that starts a watcher and waits until it is seen."""
    return ("sh", "-c", _GROUPS + _START, "sh", _WATCH, bridge, *words)


def stop(bridge: str) -> Command:
    """The command that ends the watchers of a bridge, and fails where one is seen after 2 s.

    They take nothing back.
    """
    return ("sh", "-c", _GROUPS + _STOP, "sh", bridge)


def question(bridge: str) -> Command:
    """What must be asked to know what is watched."""
    return ("sh", "-c", _GROUPS + _SHOW, "sh", bridge)


def watched(bridge: str, answer: str) -> tuple[str, ...]:
    """The words a watcher was started with, none where there is no watcher.

    Anybody may call a process of theirs like one: a word that we never say makes it none of ours.
    """
    words = answer.split("\0")
    mark = _MARK + bridge
    told = tuple(words[words.index(mark) + 1 : -1]) if mark in words else ()
    return told if all(re.match(WORD, word) for word in told) else ()
