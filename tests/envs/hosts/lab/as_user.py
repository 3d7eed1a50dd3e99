"""An ordinary user's lab, from up to down. Run by ``test_lab_manage`` as nobody."""

import sys

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
        for setting in (
            replace(stock, tx_queue={"vif1": 8, "vif2": 9}),
            replace(stock, bridge="lean"),
            replace(stock, bridge="direct"),
            replace(
                stock,
                side_cores=(0,),
                polling=True,
                placement={"relay1": (0,), "relay2": (0,), "g1/0": (1,), "g2/0": (1,)},
            ),
        ):
            host.apply(setting)
            assert host.settings() == setting
            assert host.measure(0.2).uplink.inward.bytes > 0
            host.restore(before)
            assert host.snapshot() == before
    finally:
        manage.down(name)
    assert manage.status() == ()
    sys.stdout.write("all knobs but weights\n")


if __name__ == "__main__":
    main(sys.argv[1])
