"""One fault, what became of the host, and whether that is as it must be."""

from limits import STOOD_STILL, kind_of, limits_of

from envs.host import Record

NOT_BACK = "NOT BACK"
NEVER = "never thrown"
KEPT, UNDONE, UNSEEN = "; edit kept", "; edit undone", "; edit undone unseen"
"""What became of an administrator's edit; no answer that the tuner got had the unseen one in it."""
BEFORE = ("describe", "lock", "recover")
"""Steps at which nothing has begun that would have to be undone."""
EDGES = ("snapshot and arm", "undo", "roll back", "confirm by hand", NEVER)
"""Steps in the course of which what there is to undo begins or ends."""
LASTING = ("guest destroyed", "guest rebooted", "guest migrated", "guest renamed", "vif removed")
"""Faults by which the host itself is another one."""
STORIES = {
    "as found": "untouched",
    "as confirmed": "confirmed",
    "the tuner that began": "reverted",
    "nobody confirmed": "reverted",
    "left in the middle": "reverting",
}
"""The state of a host that cannot be read, by how its status tells what the journal says."""


class Row(Record, frozen=True):
    """One fault, and what became of the host.

    ``back`` is how many seconds the host took to be as it must be (see ``how_soon``); ``took`` is
    all of it from the beginning of the play. ``stood_still`` is the longest time for which guests
    that the fault itself does not stop got nothing, ``load`` how many processes wanted to run on
    this machine by then. ``left`` names what was left over.
    """

    number: int
    host: str
    fault: str
    play: str
    step: str
    call: int
    outcome: str
    back: float
    took: float
    stood_still: float
    load: float
    exit_code: int
    error: str
    status: str
    summary: str
    left: str

    @property
    def failed(self) -> bool:
        """Whether anything is not as it must be."""
        limits = limits_of(self.host)
        return (
            self.outcome == NOT_BACK
            or bool(self.left)
            or "crashed" in self.error
            or self.edit_lost
            or self.told not in self.truths
            or self.back > limits.back
            or self.took > limits.took
            or self.stood_still > STOOD_STILL
        )

    @property
    def edit_lost(self) -> bool:
        """Whether an edit is gone that the tuner has seen.

        In the midst of setting the host it may go, where that is told: what is half set is put
        back.
        """
        told = self.step == "apply" and "tx_queue" in self.error
        return self.outcome.endswith(UNDONE) and not told

    @property
    def told(self) -> str:
        """The state that was told; by the journal alone where a lab has lost a part of itself."""
        if self.status != "unreadable":
            return self.status
        lab = kind_of(self.host) == "lab:faults" and self.fault in LASTING
        story = self.summary.partition("; by the journal: ")[2]
        states = (state for begins, state in STORIES.items() if story.startswith(begins))
        return next(states, self.status) if lab else self.status

    @property
    def truths(self) -> tuple[str, ...]:
        """The states that may be told once no watchdog runs; none where the exit code is a lie."""
        found: tuple[str, ...] = ()
        match self.outcome.partition(";")[0], self._begun, self.play, self._ending:
            case ("as found", _, "keep" | "hold", "well") | ("as confirmed", _, "go back", "well"):
                found = ()
            case ("as found", "no", _, _) | ("as found", _, _, "well"):
                found = ("untouched",)
            case "as found", "yes", _, "silent":
                found = ("reverted",)
            case "as found", _, "keep" | "give up", "not put back":
                found = ("reverted",)
            case "as found", _, "keep" | "give up", "ill":
                found = ("untouched",)
            case "as found", _, _, _:
                found = ("untouched", "reverted")
            case "as confirmed", _, "go back", _:  # the rollback had not begun, or was only noted
                found = ("interrupted", *self._kept)
            case "as confirmed", _, "keep" | "hold", _:
                found = self._kept
        return found

    @property
    def _begun(self) -> str:
        """Whether there was something to undo when the fault was thrown."""
        return "no" if self.step in BEFORE else "perhaps" if self.step in EDGES else "yes"

    @property
    def _ending(self) -> str:
        """How the tuner ended, or whether it was cut off before it could put anything back."""
        if self.exit_code == -9 or self.fault == "port blocked":
            return "silent"
        if self.exit_code == 0:
            return "well"
        return "not put back" if "could not be put back" in self.error else "ill"

    @property
    def _kept(self) -> tuple[str, ...]:
        """The states of a confirmed change; a person who confirms what is held confirms edits."""
        if self.fault in LASTING or (self.outcome.endswith(KEPT) and self.play == "hold"):
            return ("confirmed", "changed")
        return ("changed",) if self.outcome.endswith(KEPT) else ("confirmed",)
