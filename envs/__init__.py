"""Hosts, simulated or real, behind one contract, and the Gymnasium environments over them."""
