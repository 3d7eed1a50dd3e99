"""A bridge as the unit tests know it: two guests and an uplink."""

from envs.hosts import bridge
from envs.hosts.bridge import BridgeFound, BridgeState, Plug, PortFlags
from envs.hosts.bridge.state import NETFILTER
from envs.hosts.transport import Result

PLUGS = (
    Plug(port="vif1", mac="02:00:00:00:00:01"),
    Plug(port="vif2", mac="02:00:00:00:00:02"),
    Plug(port="uplink", mac="02:00:00:00:ff:01", guest=False),
)
OPEN = PortFlags(learning=True, flood=True)
STOCK = BridgeState(
    options={"mcast_snooping": 1, "nf_call_iptables": 0},
    netfilter=dict.fromkeys(NETFILTER, "1"),
    ports=dict.fromkeys(("uplink", "vif1", "vif2"), OPEN),
)

LINKS = (  # as ip of iproute2 6.1 prints them, shortened
    '[{"ifname":"lo","txqlen":1000},{"ifname":"vif1","txqlen":32,"master":"br0","linkinfo":{'
    '"info_kind":"tun","info_data":{"type":"tap"},"info_slave_kind":"bridge","info_slave_data":{'
    '"state":"forwarding","learning":true,"flood":true,"isolated":false,"locked":false}}},'
    '{"ifname":"eth0","txqlen":1000,"master":"br0","linkinfo":{"info_slave_kind":"bridge",'
    '"info_slave_data":{"state":"forwarding","learning":true,"flood":true}}},'
    '{"ifname":"br0","txqlen":1000,"linkinfo":{"info_kind":"bridge","info_data":{'
    '"vlan_filtering":0,"mcast_snooping":1,"mcast_querier":0,"nf_call_iptables":0}}}]'
)


ANSWERS = {  # by what is asked, in the order of the questions
    "links": LINKS,
    "fdb": "[]",
    "mdb": '[{"mdb":[],"router":{}}]',
    "qdiscs": "[]",
    "filters": "vif1 []\neth0 []\n",
    "netfilter": f"{NETFILTER[0]}\0001\n",
    "watch": "",
    "route": "",
    "neighbours": "[]",
    "nft": "",
    "saved": "",
}


def answered(*, bypass_filters: bool = False, **other: str) -> BridgeFound:
    """The bridge br0 out of these answers, those that are not given being a quiet bridge's."""
    said = {**ANSWERS, **other}.values()
    asked = bridge.questions("br0")
    answers = [Result(argv=q, rc=0, out=out) for q, out in zip(asked, said, strict=True)]
    return bridge.found("br0", answers, bypass_filters=bypass_filters)
