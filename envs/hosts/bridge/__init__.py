"""A Linux bridge: its state, how it is read, its modes, the steps from state to state, its watcher.

A backend puts the ``questions`` into a round trip of its own, has the answers read by ``found``,
and runs the ``commands`` from the state that is to ``in_mode(mode, stock, plugs, found.others)``.
"""

from envs.hosts.bridge.modes import in_mode, mode_of
from envs.hosts.bridge.read import BridgeFound, found, questions
from envs.hosts.bridge.state import BridgeState, Others, Plug, PortFlags, among, carried
from envs.hosts.bridge.steps import commands, restoring

__all__ = [
    "BridgeFound",
    "BridgeState",
    "Others",
    "Plug",
    "PortFlags",
    "among",
    "carried",
    "commands",
    "found",
    "in_mode",
    "mode_of",
    "questions",
    "restoring",
]
