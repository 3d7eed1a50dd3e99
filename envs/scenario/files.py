"""Scenarios as TOML files: the shipped ones by name, any other by its path."""

import re
from importlib.resources import files
from pathlib import Path

import msgspec
import tomli_w

from envs import reading
from envs.errors import InputError
from envs.scenario.generator import generate
from envs.scenario.records import Scenario

_SHIPPED = files("envs") / "scenarios"
_GENERATED = re.compile(r"generated-(\d{1,9})")


def names() -> tuple[str, ...]:
    """The shipped scenarios, sorted."""
    found = (item.name for item in _SHIPPED.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def load(name_or_path: str) -> Scenario:
    """A shipped or generated scenario by name, or one from a TOML file (a slash or ``.toml``).

    Raises InputError naming the file, the key and the reason.
    """
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return parse(reading.text(path), str(path))
    if generated := _GENERATED.fullmatch(name_or_path):
        return generate(int(generated[1]))
    if name_or_path not in names():
        known = ", ".join([*names(), "generated-SEED"])
        raise InputError(f"no scenario {name_or_path!r}; there are {known}")
    file = _SHIPPED / f"{name_or_path}.toml"
    return parse(file.read_text(encoding="utf-8"), file.name)


def render(scenario: Scenario) -> str:
    """The scenario as TOML that ``load`` reads, with every value in it."""
    return tomli_w.dumps(msgspec.to_builtins(scenario))


def parse(text: str, file: str) -> Scenario:
    """The scenario in ``text``; ``file`` is named in errors. Raises InputError."""
    try:
        return msgspec.convert(reading.toml(text, file), Scenario)
    except msgspec.ValidationError as error:
        raise InputError(f"{file}: {error}") from error
