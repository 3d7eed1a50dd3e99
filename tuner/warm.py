"""The simulator compiled before it is needed: half a minute, once after each installation."""

import threading

import click

from envs.scenario import load
from envs.sim.host import SimHost

PATIENCE = 2.0
"""Seconds after which a person is told what takes so long."""


def warm() -> None:
    """Compile the simulator where that has not been done; say so on stderr while it takes long."""
    text = "compiling the simulator, which is done once and takes about half a minute"
    told = threading.Timer(PATIENCE, click.echo, [text], {"err": True})
    told.daemon = True
    told.start()
    try:
        SimHost(load("lab")).measure(1e-6)
    finally:
        told.cancel()
