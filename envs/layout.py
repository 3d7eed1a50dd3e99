"""What an observation holds: the names and sizes of its arrays.

The layout, and that of ``envs.prospect``, is a contract with every trained agent: whoever changes a
name, a size, an order or what a number means gives ``SCHEMA`` a new version.
"""

import numpy as np
from numpy.typing import NDArray

from envs.features import GUARDS, HOST, SAMPLE, SETTINGS, VERDICT
from envs.host import BRIDGE_MODES
from envs.menu import KINDS, MAX_VALUES
from envs.overlap import PLACED

SCHEMA = 1
"""The version of this layout. An agent is of use only with the schema it was trained for."""

BOUND = 4.0
"""No number of an observation is larger than this."""

Observation = dict[str, NDArray[np.float32]]

SUBJECT = (
    "cores used at the start",
    "cores used at the baseline",
    "cores used by its peers",
    "share of the bandwidth",
    "packet size",
    "vcpus",
    "vifs",
)
TRIAL = ("there is one", *SETTINGS, *SAMPLE, *VERDICT)

STATE = (
    len(KINDS)
    + len(HOST)
    + len(GUARDS)
    + len(SETTINGS)  # of the baseline
    + len(SAMPLE)
    + 1  # trials so far
    + 2 * len(TRIAL)  # the best and the last
    + len(SETTINGS)  # so far
    + len(PLACED)
    + len(SUBJECT)
)
"""The length of ``state``."""

CANDIDATES = (
    "keeps",
    "baseline's",
    "best trial's",
    "last trial's",
    "polling",
    "level",
    "queue length",
    "queue length over the baseline's",
    "queue length over the present",
    "queue length in packets of a millisecond",
    *(f"{mode} bridge" for mode in BRIDGE_MODES),
    # of the core set
    "no core",
    "one core",
    "all cores",
    "share of the cores",
    "number of cores",
    "cohesion within llc domains",
    "least busy core",
    "busiest core",
    "busy after with the subject",
    # the mean over the core set of
    "backends' use",
    "io vcpus' use",
    "cpu vcpus' use",
    "busy at the start",
    "busy at the baseline",
    "near the uplink",
    "on the uplink's node",
    "core shared with the peers",
    "physical core shared with the peers",
    "llc domain shared with the peers",
    "node shared with the peers",
    "side-core",
)
CANDIDATE = len(CANDIDATES)
"""The number of features of a value."""


def empty() -> Observation:
    """An observation of nothing: zeros, and one value that keeps."""
    mask = np.zeros(MAX_VALUES, np.float32)
    mask[0] = 1.0
    return {
        "state": np.zeros(STATE, np.float32),
        "candidates": np.zeros((MAX_VALUES, CANDIDATE), np.float32),
        "mask": mask,
    }
