"""A suite's outcome as a table, and where the agent did worst."""

from rich.table import Table

from tuner.judge import Interval
from tuner.suite import AGENT, MARKS, RANKED, Suite
from tuner.tables import plain_table


def table(suite: Suite) -> Table:
    """A row for each policy, the best after ``RANKED`` measurements first."""
    marks = [str(mark) for mark in MARKS]
    found = plain_table(
        "policy", *marks, f"95 % at {RANKED}", f"agent better at {RANKED}", "stays", numbers=5
    )
    count = len(suite.with_headroom)
    found.title = (
        f"Share of the best known gain after so many measurements, {count} of {suite.hosts} hosts"
    )
    found.title_justify, found.title_style = "left", "bold"
    for one in suite.standings:
        found.add_row(
            one.policy,
            *(f"{one.scores[mark].mean:.2f}" if mark in one.scores else "" for mark in MARKS),
            _interval(one.scores[RANKED]),
            f"{one.better[RANKED]:.0%}" if one.better and one.policy != AGENT else "",
            "" if one.stays is None else f"{one.stays:.0%}",
        )
    return found


def worst(suite: Suite) -> str:
    """Where the agent did worst, as commands that show these hosts."""
    agent = next((one for one in suite.standings if one.policy == AGENT), None)
    if agent is None:
        return ""
    lines = [f"  tuner simulate generated-{seed}" for seed in agent.worst]
    return "\n".join(["The agent's worst hosts:", *lines])


def _interval(score: Interval) -> str:
    if score.low is None or score.high is None:
        return ""
    return f"{score.low:.2f} to {score.high:.2f}"
