"""The simulator: a host as mechanisms, compiled, event by event (see ``engine``)."""
