"""A Linux bridge: its state, how it is read, its modes, and the steps from state to state."""

from envs.hosts.bridge.modes import in_mode, mode_of
from envs.hosts.bridge.read import BridgeFound, found, questions
from envs.hosts.bridge.state import BridgeState, Plug, PortFlags
from envs.hosts.bridge.steps import commands, restoring

__all__ = [
    "BridgeFound",
    "BridgeState",
    "Plug",
    "PortFlags",
    "commands",
    "found",
    "in_mode",
    "mode_of",
    "questions",
    "restoring",
]
