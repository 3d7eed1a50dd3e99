"""What a setting means on a Xen host, in which order it is made, and how it is taken back."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from site import BUSY, CORES, DOM0, G1, G2, SITE, present

from envs import knobs
from envs.host import Settings, from_json, to_json
from envs.hosts.xen.spec import spec_of
from envs.hosts.xen.state import XenState, remembered, settings, state_of, wanted
from envs.hosts.xen.steps import changes, restoring
