"""QEMU's monitor: one command, one answer, as JSON lines. Source: QEMU's QMP specification."""

import json
import socket
from pathlib import Path
from typing import Any

from envs.errors import HostError

PATIENCE = 300.0
"""Seconds that a snapshot of an emulated machine may take on a busy one."""


def tell(monitor: Path, command: str) -> str:
    """Give a command of the human monitor, such as ``savevm``; what it printed.

    Raises HostError where QEMU does not run, or complains.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(monitor))
            with line.makefile("rw") as stream:
                _ask(stream, "qmp_capabilities")
                said = _ask(stream, "human-monitor-command", {"command-line": command})
    except OSError as error:
        raise HostError(f"QEMU does not answer at {monitor}: {error}") from error
    if said.startswith("Error"):
        raise HostError(f"QEMU: {said.strip()}")
    return said


def _ask(stream: Any, execute: str, arguments: dict[str, str] | None = None) -> str:  # noqa: ANN401 - a text stream both ways
    stream.write(json.dumps({"execute": execute, "arguments": arguments or {}}) + "\n")
    stream.flush()
    for answer in map(json.loads, stream):
        if "return" in answer:
            return answer["return"] or ""
        if "error" in answer:
            raise HostError(f"QEMU: {answer['error'].get('desc', answer['error'])}")
    return ""
