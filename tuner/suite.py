"""Policies on many test hosts, with up to a hundred measurements each: ``tuner compare --suite``.

The score of a policy on a host after some measurements is what it would keep by then, over what is
the best known there: 0 is the host as found, 1 the best known, below 0 a change for the worse. Both
are worths under loads that nobody has seen (``agents.suite``). The best known is the most that
anything kept there, or found by a long search, is worth. Hosts on which hardly anything can be
gained are counted apart: there it is right to stay.

What is played is kept on disk, one line each, so a suite that was cut off goes on where it ended,
and another policy is compared with what is there.
"""

import hashlib
import multiprocessing
import os
import signal
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

import agents
import envs
from agents import registry
from agents.learned import AgentPolicy
from agents.suite import BEST_KNOWN, Played, long_search, play
from envs.errors import InputError
from envs.host import Record
from envs.scenario import TEST_SEEDS
from tuner.judge import Interval
from tuner.statistics import interquartile_mean
from tuner.tune import Step

AGENT = "agent"
MARKS = (1, 3, 10, 30, 100)
"""After how many measurements policies are scored."""
RANKED = 3
"""After how many they are ranked: about what a live host allows."""
HEADROOM = 0.02
"""A host on which no more than this can be gained is counted apart."""
STAYS = 0.01
"""There, what is within this of the host as found passes."""
SLOW = {"gp": 30}
"""Policies that take seconds to propose get no more measurements than this."""
PLAYED = "played.jsonl"
SHOWN = 5
"""How many of the worst hosts are named."""


class Line(Record, frozen=True):
    """What was played, by which version of the program and, for an agent, with which weights."""

    code: int
    weights: str
    played: Played


class Standing(Record, frozen=True):
    """A policy's scores over all hosts.

    ``scores`` holds the interquartile mean after each of ``MARKS`` measurements, ``better`` the
    chance that the agent's score is higher after as many, a tie counting half. ``stays`` is the
    share of the hosts without headroom that it left no worse, None where there is none. ``worst``
    are the seeds with the lowest scores after ``RANKED`` measurements.
    """

    policy: str
    scores: dict[int, Interval]
    better: dict[int, float]
    stays: float | None
    worst: tuple[int, ...]


class Suite(Record, frozen=True):
    """The outcome: the hosts, those of them with headroom, and the policies, best first.

    ``each`` holds each policy's score on each host with headroom, in order, after ``MARKS``.
    """

    hosts: int
    with_headroom: tuple[int, ...]
    standings: tuple[Standing, ...]
    each: dict[str, dict[int, list[float]]]


def run(folder: Path, hosts: int, names: Sequence[str], workers: int, step: Step) -> Suite:
    """Play what is not yet played of ``names`` on the first test hosts, and score all of them.

    Raises InputError for an unknown policy, too many hosts, hosts on which nothing can be gained,
    or a folder that cannot be used.
    """
    if hosts > len(TEST_SEEDS):
        raise InputError(f"--suite {hosts}: there are {len(TEST_SEEDS)} test hosts")
    seeds = list(TEST_SEEDS[:hosts])
    weights = {name: _weights(name) for name in names} | {BEST_KNOWN: ""}
    lines = list(_read(folder / PLAYED))
    known = {(one.played.policy, one.weights, one.played.seed) for one in lines}
    wanted = [
        (name, seed)
        for seed in seeds
        for name in weights
        if (name, weights[name], seed) not in known
    ]
    for played in _in_parallel(wanted, workers):
        step(f"{played.policy} on {played.seed}")
        line = Line(code=_code(), weights=weights[played.policy], played=played)
        _append(folder / PLAYED, msgspec.json.encode(line))
        lines.append(line)
    return _scored([line for line in lines if line.played.seed in seeds], names, weights)


def _in_parallel(wanted: Sequence[tuple[str, int]], workers: int) -> Iterator[Played]:
    """Each game as soon as it is over. Whatever ends this ends the processes at once."""
    if not wanted:
        return
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends the pool
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=signal.signal, initargs=ignore) as pool:
        yield from pool.imap_unordered(_play, wanted)


def _play(wanted: tuple[str, int]) -> Played:
    name, seed = wanted
    if name == BEST_KNOWN:
        return long_search(seed)
    return play(registry.get(name, seed), seed, SLOW.get(name, MARKS[-1]))


def _weights(name: str) -> str:
    """A digest of an agent's weights, nothing for other policies."""
    policy = registry.get(name)
    if not isinstance(policy, AgentPolicy):
        return ""
    agent = policy.agent
    arrays = [*sorted(agent.weights.items()), *sorted(agent.forecast.items())]
    return hashlib.sha256(b"".join(value.tobytes() for _, value in arrays)).hexdigest()[:16]


def _read(path: Path) -> Iterator[Line]:
    """What has been played by this version; a line cut off by a crash is played again."""
    try:
        texts = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    for text in texts:
        try:
            line = msgspec.json.decode(text, type=Line)
        except msgspec.DecodeError:
            continue
        if line.code != _code():
            raise InputError(f"{path}: played by another version of the program: move it away")
        yield line


def _append(path: Path, line: bytes) -> None:
    """One line more, on a line of its own even after one that was cut off."""
    try:
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else b"\n" + line
            file.write(line + b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


@cache
def _code() -> int:
    """A checksum of all that decides what is played: hosts, settings, rewards and policies.

    What reaches live hosts decides nothing here.
    """
    live = Path(envs.__path__[0]) / "hosts"
    value = 0
    for package in (envs, agents):
        for file in sorted(Path(package.__path__[0]).rglob("*.py")):
            if live not in file.parents:
                value = zlib.crc32(file.read_bytes(), value)
    return value


def _scored(lines: Iterable[Line], names: Sequence[str], weights: Mapping[str, str]) -> Suite:
    lines = list(lines)
    best: dict[int, float] = {}
    for line in lines:
        best[line.played.seed] = max(best.get(line.played.seed, 0.0), line.played.most)
    seeds = sorted(seed for seed, most in best.items() if most > HEADROOM)
    if not seeds:
        raise InputError(
            f"on none of these {len(best)} hosts can more than 2 % be gained: take more"
        )
    table = {
        (line.played.policy, line.played.seed): line.played.kept
        for line in lines
        if line.weights == weights.get(line.played.policy)
    }
    each = {
        name: {
            mark: [_after(table[name, seed], mark) / best[seed] for seed in seeds]
            for mark in MARKS
            if mark <= SLOW.get(name, MARKS[-1])
        }
        for name in names
    }
    rest = [seed for seed in best if seed not in seeds]
    agent = each.get(AGENT)
    standings = [
        Standing(
            policy=name,
            scores={mark: interquartile_mean(scores) for mark, scores in by_mark.items()},
            better={mark: _better(agent[mark], s) for mark, s in by_mark.items()} if agent else {},
            stays=_mean_of(_after(table[name, s], MARKS[-1]) >= -STAYS for s in rest),
            worst=tuple(seeds[i] for i in np.argsort(by_mark[RANKED])[:SHOWN]),
        )
        for name, by_mark in each.items()
    ]
    standings.sort(key=lambda standing: -standing.scores[RANKED].mean)
    return Suite(hosts=len(best), with_headroom=tuple(seeds), standings=tuple(standings), each=each)


def _after(kept: Sequence[float], mark: int) -> float:
    """What was kept after that many measurements; who measured no more keeps what there was."""
    return kept[min(mark, len(kept)) - 1] if kept else 0.0


def _better(agent: Sequence[float], other: Sequence[float]) -> float:
    """The share of hosts on which the agent's score is higher, ties counting half."""
    ours, theirs = np.array(agent), np.array(other)
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())


def _mean_of(passed: Iterable[bool]) -> float | None:
    found = list(passed)
    return sum(found) / len(found) if found else None
