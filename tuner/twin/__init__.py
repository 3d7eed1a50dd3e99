"""A simulated twin of a host: made from what is found there, fitted to what is measured there."""
