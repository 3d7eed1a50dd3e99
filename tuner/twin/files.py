"""A twin on disk: the scenario as TOML, and beside it how sure its constants are as JSON."""

import os
from pathlib import Path

import msgspec

from envs.errors import InputError
from envs.host import from_json
from envs.scenario import Scenario, render
from tuner.twin.fit import FACTORS, PRIOR, Fit


def check(path: Path) -> None:
    """Raise InputError where a twin could not be written to ``path``; nothing is made."""
    if path.suffix != ".toml":
        raise InputError(f"--out {path}: a scenario's file ends in .toml")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"cannot write {path}: no such folder, or not permitted")


def write(path: Path, scenario: Scenario, fit: Fit) -> None:
    """Write both files, each whole or not at all."""
    sureness = msgspec.json.format(msgspec.json.encode(fit), indent=1) + b"\n"
    texts = {path.with_suffix(".json"): sureness, path: render(scenario).encode()}
    try:
        for file, text in texts.items():
            fresh = file.with_name(f"{file.name}.new")
            fresh.write_bytes(text)
            fresh.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def spread_of(path: Path) -> tuple[float, ...]:
    """How unsure the constants of the twin at ``path`` are; as a guess's where nothing tells."""
    beside = path.with_suffix(".json")
    try:
        text = beside.read_bytes()
    except OSError:
        return (float(PRIOR),) * len(FACTORS)
    fit = from_json(text, Fit)
    if len(fit.factors) != len(FACTORS):
        raise InputError(f"{beside}: of another version: calibrate anew")
    return fit.spread
