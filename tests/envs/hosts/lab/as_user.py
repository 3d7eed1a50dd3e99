"""An ordinary user's lab, from up to down. Run by ``test_lab_manage`` as nobody."""

import sys
import time

from msgspec.structs import replace

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost


def main(name: str) -> None:
    """Set every knob but the weights, and take it all back."""
    status = manage.up(LabConfig(name=name))
    try:
        assert status.up
        assert status.why_no_weights == "weights need root"
        host = LabHost.open(name)
        limits = host.describe().limits
        assert limits.weights == ()
        assert limits.why_not == {"weight": "weights need root"}
        before, stock = host.snapshot(), host.settings()
        one, *_, other = host.describe().core_ids
        for setting in (
            replace(stock, tx_queue={"vif1": 8, "vif2": 9}),
            replace(stock, bridge="lean"),
            replace(stock, bridge="direct"),
            replace(
                stock,
                side_cores=(one,),
                polling=True,
                placement={"relay1": (one,), "relay2": (one,), "g1/0": (other,), "g2/0": (other,)},
            ),
        ):
            host.apply(setting)
            assert host.settings() == setting
            deadline = time.monotonic() + 30
            while not host.measure(0.2).uplink.inward.bytes:
                assert time.monotonic() < deadline
            host.restore(before)
            assert host.snapshot() == before
    finally:
        manage.down(name)
    assert name not in [lab.name for lab in manage.status()]
    sys.stdout.write("all knobs but weights\n")


if __name__ == "__main__":
    main(sys.argv[1])
