"""Hosts, simulated or real, behind one contract, and the Gymnasium environments over them."""

from gymnasium.envs.registration import register

register(id="viotune/SimHost-v0", entry_point="envs.host_env:sim_host_env")
register(id="viotune/LiveHost-v0", entry_point="envs.host_env:live_host_env")
