"""What a shell sees of the command: one JSON document or one clear line, and an exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from expiry import expire
from stumbling_host import FOUND, StumblingHost, by_queue

from envs.errors import HostError
from envs.host import Host
from tuner import cli, watchdog
from tuner.commands import options
from tuner.journal import Restored, copy_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tuner", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StumblingHost:
    """A live host that every URI names."""
    found = StumblingHost(tmp_path / "state", by_queue)

    def open_it(_uri: str) -> Host:
        return found

    monkeypatch.setattr(options, "open_host", open_it)
    return found


@pytest.fixture
def setting(tmp_path: Path) -> str:
    path = tmp_path / "setting.json"
    path.write_text('{"tx_queue": {"vif1": 1000}}')
    return str(path)


APPLY = ("apply", "--host", "fake:", "--pairs", "2", "--seconds", "0.1")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tuner import cli; sys.argv = ['tuner', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'gymnasium', 'numpy', 'numba', 'scipy', 'matplotlib', 'rich'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_and_json(tuner: Run, verb: str) -> None:
    code, out, _ = tuner(verb, *(("up",) if verb == "lab" else ()), "--help")
    assert code == 0
    assert "--json" in out


@pytest.mark.parametrize("words", [("frob",), ("status",), ("status", "--hots", "lab:")])
def test_wrong_usage_is_told_by_click(tuner: Run, words: tuple[str, ...]) -> None:
    code, out, err = tuner(*words)
    assert (code, out) == (2, "")
    assert "Usage: tuner" in err


@pytest.mark.parametrize("verb", ["status", "rollback", "confirm", "plan", "doctor", "watch"])
@pytest.mark.parametrize("hosts", [("--host", "fake:", "--host", "sim:lab"), ("--host", "@all")])
def test_many_hosts_are_refused_where_but_the_last_would_be_heard(
    tuner: Run, verb: str, hosts: tuple[str, ...]
) -> None:
    code, _, err = tuner(verb, *hosts)
    assert code == 2
    assert 'one host at a time; many: "tuner apply"' in err


@pytest.mark.parametrize("number", ["nan", "inf", "0", "-1"])
@pytest.mark.parametrize(
    "words", [(*APPLY[:3], "--seconds"), ("watch", "--host", "fake:", "--every")]
)
def test_a_time_is_a_finite_number(tuner: Run, words: tuple[str, ...], number: str) -> None:
    code, _, err = tuner(*words, number)
    assert code == 2
    assert words[-1] in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("status", "--host", "nonsense"), 2, "names no host"),
        (("status", "--host", "lab:no-such"), 4, "run: tuner lab up"),
        (("lab", "up", "xen"), 2, "'xen' is that of an emulated lab: use --kind xen"),
        (("lab", "up", "mine", "--kind", "kvm"), 2, "is named kvm, not 'mine'"),
        (("lab", "up", "--kind", "kvm", "--guests", "3"), 2, "--guests is for a lab of namespaces"),
        (("plan", "--host", "lab:", "--policy", "no-such"), 2, "no policy 'no-such'"),
        (("plan", "--host", "lab:", "--setting", "/no/such.json"), 2, "cannot read /no/such"),
        (("plan", "--host", "lab:", "--policy", "lee", "--guard", "luck=1"), 2, "no guard 'luck'"),
        (("plan", "--host", "lab:", "--policy", "lee", "--guard", "drops=x"), 2, "drops=NUMBER"),
        (("plan", "--host", "lab:", "--guard", "bandwidth=0"), 2, "> 0.0 - at `$.bandwidth`"),
        (("plan", "--host", "lab:", "--guard", "tolerance=1"), 2, "< 1.0 - at `$.tolerance`"),
        (("plan", "--host", "lab:", "--guard", "drops=nan"), 2, "finite number"),
        (("plan", "--host", "lab:", "--json", "--script"), 2, "choose one"),
        (("plan", "--host", "lab:", "--policy", "lee", "--setting", "x"), 2, "choose one"),
        (("simulate",), 2, "tuner simulate --list"),
        (("compare", "--scenario", "lab", "--host", "lab:"), 2, "choose one"),
        (("compare", "--host", "lab:no-such", "--out", "/proc/x"), 2, "cannot make /proc/x"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(
    tuner: Run, words: tuple[str, ...], code: int, says: str
) -> None:
    got, out, err = tuner(*words)
    assert (got, out) == (code, "")
    assert err.startswith("tuner: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_folder_that_holds_no_agent_has_an_exit_code_of_its_own(
    tuner: Run, tmp_path: Path
) -> None:
    code, _, err = tuner("plan", "--host", "lab:", "--policy", str(tmp_path))
    assert code == 3
    assert err.startswith("tuner: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"speed": 9}', "unknown field `speed`"),
        ('{"weight": {"driver": "much"}}', "Expected `int`"),
        ("{", "setting.json"),
        ('{"tx_queue": {"vif9": 5}}', "tx_queue names 'vif9'"),
        ('{"tx_queue": {"vif1": 99999}}', "outside 1..4000"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    tuner: Run, host: StumblingHost, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "setting.json"
    path.write_text(text)
    code, _, err = tuner(*APPLY, "--setting", str(path))
    assert code == 2
    assert says in err
    assert "apply" not in host.calls


def test_a_plan_shows_the_difference_and_touches_nothing(
    tuner: Run, host: StumblingHost, setting: str
) -> None:
    code, out, _ = tuner("plan", "--host", "fake:", "--setting", setting, "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["changes"] == [
        {"knob": "tx_queue", "subject": "vif1", "before": "32", "after": "1000"}
    ]
    assert "apply" not in host.calls


def test_apply_then_status_then_rollback(tuner: Run, host: StumblingHost, setting: str) -> None:
    code, out, _ = tuner(*APPLY, "--setting", setting, "--json")
    assert code == 0
    assert json.loads(out)["kept"] == 0
    assert host.now.tx_queue["vif1"] == 1000
    assert json.loads(tuner("status", "--host", "fake:", "--json")[1])["state"] == "confirmed"
    assert tuner("rollback", "--host", "fake:")[0] == 0
    assert host.now == FOUND


def test_the_journal_tells_every_command_with_its_result(
    tuner: Run, host: StumblingHost, setting: str
) -> None:
    tuner(*APPLY, "--setting", setting)
    tuner("rollback", "--host", "fake:")
    code, out, _ = tuner("status", "--host", "fake:", "--journal", "--json")
    events = json.loads(out)
    assert code == 0
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("begun", "restored")
    assert names.index("applying") < names.index("ran") < names.index("confirmed")
    assert names.count("ran") == host.calls.count("apply")  # each time that it was set
    assert events[names.index("ran")]["commands"] == [
        {"argv": ["set", "half"], "rc": 0, "complaint": ""},
        {"argv": ["set", "the rest"], "rc": 1, "complaint": "not quite"},
    ]
    _, out, _ = tuner("status", "--host", "fake:", "--journal")
    for words in ("set 'the rest'  [return code 1: not quite]", "tx_queue of vif1: 32 -> 1000"):
        assert words in out


def test_the_journal_of_a_host_that_cannot_be_reached_is_read_from_its_copy(
    tuner: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(_uri: str) -> Host:
        raise HostError("no route to it")

    monkeypatch.setattr(options, "open_host", unreachable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = ("status", "--host", "xen+ssh://a", "--journal")
    assert tuner(*words) == (4, "", "tuner: no route to it\n")
    copy = copy_of("xen+ssh://a")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(msgspec.json.encode(Restored(reason="it is back")) + b"\n")
    code, out, err = tuner(*words)
    assert code == 0
    assert "it is back" in out
    assert f"no route to it; this is the copy in {copy}" in err


def test_the_journal_of_a_host_that_was_booted_anew_is_read_from_its_copy(
    tuner: Run, host: StumblingHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del host
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    copy = copy_of("fake:")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(msgspec.json.encode(Restored(reason="it is back")) + b"\n")
    code, out, err = tuner("status", "--host", "fake:", "--journal")
    assert (code, "it is back" in out) == (0, True)
    assert f"the host has no journal, as after a reboot; this is the copy in {copy}" in err


def test_what_went_back_by_itself_cannot_be_confirmed_which_is_no_wrong_usage(
    tuner: Run, host: StumblingHost
) -> None:
    del host
    code, out, err = tuner("confirm", "--host", "fake:")
    assert (code, out) == (1, "")
    assert err == "tuner: fake: nothing waits for a confirmation; see: tuner status\n"


def test_who_confirms_too_late_is_told_when_the_host_put_itself_back(
    tuner: Run, host: StumblingHost, setting: str
) -> None:
    assert tuner(*APPLY, "--setting", setting, "--hold")[0] == 0
    expire(host.state_dir)
    while watchdog.look(host.transport, host.state_dir).reverted is None:
        pass
    code, _, err = tuner("confirm", "--host", "fake:")
    assert code == 4
    assert err.startswith("tuner: fake: too late, the host put itself back 2")


def test_a_hold_says_how_long_the_host_waits(tuner: Run, host: StumblingHost, setting: str) -> None:
    out = tuner(*APPLY, "--setting", setting, "--hold", "--confirm-within", "1000")[1]
    lease = int((host.state_dir / "lease").read_text().split()[1])
    assert f"It goes back in {lease} s" in out
    tuner("rollback", "--host", "fake:")


def test_what_a_rollback_changed_is_not_called_as_found(
    tuner: Run, host: StumblingHost, setting: str
) -> None:
    tuner(*APPLY, "--setting", setting)
    out = tuner("rollback", "--host", "fake:")[1]
    assert "before" in out
    assert "as found" not in out
    assert host.now == FOUND


def test_rolling_back_where_nothing_is_to_be_undone_succeeds_and_says_so(
    tuner: Run, host: StumblingHost
) -> None:
    code, out, _ = tuner("rollback", "--host", "fake:")
    assert (code, out) == (0, "fake: nothing to undo: no change of this host is confirmed\n")
    code, out, _ = tuner("rollback", "--host", "fake:", "--json")
    assert (code, json.loads(out)["changes"]) == (0, [])
    assert host.now == FOUND
    code, _, err = tuner("rollback", "--host", "fake:", "--to", "1")
    assert code == 2
    assert "no change of this host is confirmed" in err


def test_apply_says_what_it_did_to_people(tuner: Run, host: StumblingHost, setting: str) -> None:
    code, out, _ = tuner(*APPLY, "--setting", setting)
    assert code == 0
    for words in ("tx_queue", "1000", "as found", "as kept", "better beyond noise"):
        assert words in out


def test_a_host_that_fails_in_the_middle_is_put_back(
    tuner: Run, host: StumblingHost, setting: str
) -> None:
    host.stumble = lambda moment: moment == "apply halfway"
    code, out, err = tuner(*APPLY, "--setting", setting, "--json")
    assert (code, out) == (4, "")
    assert "stumbled" in err
    assert host.now == FOUND


def test_a_simulated_host_is_tuned_as_well(tuner: Run) -> None:
    words = ("--policy", "liao-all", "--seconds", "0.02", "--guard", "tolerance=0.5", "--json")
    code, out, err = tuner("apply", "--host", "sim:lab", *words)
    assert code == 0, err
    assert json.loads(out)["kept"] is not None


def test_a_simulated_host_keeps_nothing(tuner: Run) -> None:
    code, out, _ = tuner("status", "--host", "sim:lab")
    assert code == 0
    assert "nothing is kept" in out
