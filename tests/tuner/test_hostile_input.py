"""Damaged, hostile and oversized files: read, or refused by one clear line, and nothing else."""

import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as render
from stumbling_host import FOUND

from agents import artifact, config
from agents.scorer import Layout
from envs import reading
from envs.errors import InputError, TunerError
from envs.hosts.transport import LocalTransport, Result
from envs.layout import SCHEMA
from envs.scenario import files as scenarios
from tuner import fleet, merge
from tuner import settings as settings_file
from tuner.cli import LONGEST, one_line
from tuner.journal import Applied, Applying, Begun, Confirmed, RollingBack, decode, standing
from tuner.watchdog import Look, look

Tree = Any
"""What JSON holds."""

HOSTILE = ("", "-x", "$(touch /tmp/run)", "../../etc/passwd", "a\nb", "\x1b[31m", "\0", "ä" * 300)
JUNK: st.SearchStrategy[Tree] = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([[], {}, [[]], {"": {}}, True, 0, -1, 2**63, -(2**70), 1e308]),
    st.recursive(st.integers() | st.text(max_size=5), st.lists, max_leaves=5),
)


@st.composite
def spoilt(draw: st.DrawFn, tree: Tree, junk: st.SearchStrategy[Tree] = JUNK) -> Tree:
    """A tree with one part of it replaced, removed or added."""
    if not isinstance(tree, dict | list) or not tree or draw(st.integers(0, 5)) == 0:
        return draw(junk)
    if isinstance(tree, list):
        at = draw(st.integers(0, len(tree) - 1))
        return [*tree[:at], draw(spoilt(tree[at], junk)), *tree[at + 1 :]]
    key = draw(st.sampled_from(sorted(tree)))
    match draw(st.sampled_from(["spoil", "spoil", "remove", "add"])):
        case "remove":
            return {k: v for k, v in tree.items() if k != key}
        case "add":
            return {**tree, draw(st.sampled_from(HOSTILE)): draw(junk)}
        case _:
            return {**tree, key: draw(spoilt(tree[key], junk))}


@st.composite
def damaged(draw: st.DrawFn, document: bytes) -> bytes:
    """Bytes that were cut off, overwritten, or had something put into them."""
    at = draw(st.integers(0, len(document)))
    more = draw(st.binary(max_size=20) | st.sampled_from([b"[" * 9999, b"{" * 9999, b"\0" * 99]))
    return document[:at] + more + document[at + draw(st.integers(0, len(document) - at)) :]


def journal() -> bytes:
    events = [
        Begun(snapshot="{}", found=FOUND),
        Applying(settings=FOUND, commands=(("true",),)),
        Applied(snapshot='{"a":1}'),
        Confirmed(settings=FOUND, snapshot='{"a":1}'),
        RollingBack(to=1),
    ]
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


SCENARIO = (Path(scenarios.__file__).parents[1] / "scenarios" / "lab.toml").read_bytes()
LAYOUT = Layout(width=2, embed=2)
WEIGHTS = render({name: np.zeros(shape, np.float32) for name, shape in LAYOUT.shapes.items()})
AGENT = artifact.About(
    schema=SCHEMA,
    layout=LAYOUT,
    sha256=sha256(WEIGHTS).hexdigest(),
    training={"seed": 1},
    scores={"gain": 0.5},
)
VALID: dict[str, bytes] = {
    artifact.ABOUT: msgspec.json.encode(AGENT),
    artifact.WEIGHTS: WEIGHTS,
    "journal.jsonl": journal(),
    "setting.json": b'{"placement": {"one/0": [0, 1]}, "tx_queue": {"vif1": 64}, "bridge": "lean"}',
    "hosts": b"# a rack\nlab:a\nxen+ssh://root@b:2222\nqemu:///system\n",
    "scenario.toml": SCENARIO,
    "training.toml": config.render(config.TrainConfig()).encode(),
}


def read(path: Path) -> object:
    """What each kind of file is read by."""
    match path.name:
        case artifact.ABOUT | artifact.WEIGHTS:
            return artifact.load(path.parent)
        case "journal.jsonl":
            return standing(decode(path.read_text(errors="replace"), str(path)))
        case "setting.json":
            return settings_file.read(path).over(FOUND)
        case "hosts":
            return fleet.expand([f"@{path}"])
        case "scenario.toml":
            return scenarios.load(str(path))
        case "training.toml":
            return config.load(path)
    raise AssertionError(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    for name, document in VALID.items():
        (made / name).write_bytes(document)
    return made


def read_or_refused(folder: Path, name: str, document: bytes) -> None:
    path = folder / name
    path.write_bytes(document)
    try:
        read(path)
    except TunerError as error:
        line = one_line(error)
        assert line.isprintable()
        assert 0 < len(line) <= 10 * LONGEST
    finally:
        path.write_bytes(VALID[name])


@pytest.mark.parametrize("name", VALID)
def test_what_is_valid_is_read(folder: Path, name: str) -> None:
    read(folder / name)


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=50)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(folder: Path, name: str, data: st.DataObject) -> None:
    read_or_refused(folder, name, data.draw(damaged(VALID[name])))


@pytest.mark.parametrize("name", [name for name in VALID if name.endswith((".json", ".jsonl"))])
@settings(max_examples=50)
@given(data=st.data())
def test_spoilt_documents_are_read_or_refused(folder: Path, name: str, data: st.DataObject) -> None:
    lines = VALID[name].splitlines() if name.endswith(".jsonl") else [VALID[name]]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = json.dumps(data.draw(spoilt(json.loads(lines[at])))).encode()
    read_or_refused(folder, name, b"\n".join([*lines, b""]))


@pytest.mark.parametrize("name", ["scenario.toml", "training.toml"])
@settings(max_examples=50)
@given(data=st.data())
def test_spoilt_configurations_are_read_or_refused(
    folder: Path, name: str, data: st.DataObject
) -> None:
    tree = data.draw(spoilt(tomllib.loads(VALID[name].decode())))
    try:
        document = tomli_w.dumps(tree)
    except (TypeError, ValueError, AttributeError):  # not everything can be said in TOML
        return
    read_or_refused(folder, name, document.encode())


@pytest.mark.parametrize("name", sorted(VALID.keys() - {"journal.jsonl"}))
def test_a_file_that_never_ends_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink()
    path.symlink_to("/dev/zero")
    limit = artifact.MAX_BYTES if name in (artifact.ABOUT, artifact.WEIGHTS) else reading.LARGEST
    try:
        with pytest.raises(InputError, match=f"larger than {limit} bytes"):
            read(path)
    finally:
        path.unlink()
        path.write_bytes(VALID[name])


SNAPSHOT: Tree = {"affinity": {"g1/0": [0, 1]}, "bridge": {"mode": "stock"}, "kept": None}


@settings(max_examples=50)
@given(*[spoilt(SNAPSHOT).map(json.dumps).map(str.encode) | st.binary(max_size=50)] * 3)
def test_spoilt_snapshots_are_merged_or_refused(found: bytes, ours: bytes, now: bytes) -> None:
    for work in (
        lambda: merge.merge(found, [ours], now),
        lambda: merge.missed(found, now),
        lambda: merge.same(found, now),
    ):
        try:
            work()
        except TunerError as error:
            assert one_line(error).isprintable()  # noqa: PT017 - some are merged, some refused


class Says(LocalTransport):
    """A host on which everything that is asked gives the same text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, *_: object, **__: object) -> Result:
        return Result(argv=(), rc=0, out=self.text)


WORDS = st.sampled_from(["held ", "lease ", "uptime ", "undo ", "undone ", "\n", "1", "-1", "x"])


@given(st.lists(WORDS | st.text(max_size=5), max_size=12).map("".join))
def test_whatever_a_host_says_of_its_watchdog_something_is_found(text: str) -> None:
    assert isinstance(look(Says(text), Path("/run")), Look)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_is_one_line_that_a_terminal_can_show(text: str) -> None:
    assert one_line(InputError(f"no guest {text}")).isprintable()
    assert len(one_line(InputError(text * 99_999))) < 10 * LONGEST


def test_what_may_be_read_is_not_changed_by_being_made_one_line() -> None:
    text = "vif 'für alle' of g1 has no queue: see tuner doctor"
    assert one_line(InputError(text)) == text
