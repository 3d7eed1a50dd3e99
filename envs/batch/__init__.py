"""Many simulated hosts at once: what ``envs.host_env`` says of one, compiled and over arrays.

``HostEnv`` and what it stands on (``envs.menu``, ``envs.decision``, ``envs.encoding``,
``envs.reward``) say what an episode means, drive live hosts, and are there to be read. This package
is the same once more for Numba, so that encoding a choice takes microseconds: same hosts, choices,
masks, observations, samples and rewards, which its tests hold against ``HostEnv``. Names, layouts,
bounds and levels come from there; none is written down twice.

Each *place* of a batch holds one host: a record of what it is (``records.Host``), one of the
decision in the making (``records.Decision``), one for every setting tried (``records.Trial``), and
the state that a simulation of it begins with. Hosts are simulated one after the other in one
workspace, because every measurement starts the load anew.

    records    what there is of each host
    making     from a scenario to its records, and from records to a Trial (plain Python)
    values     the list of values that a choice offers, and the core sets among them
    menu       which values a part may be given, and what becomes of a choice
    side_cores reserving cores, and whether that is legal
    applying   a setting put into the state of a simulation
    measuring  from the counters of a state to a sample
    judging    what a setting is worth
    features   settings, samples and verdicts as rows
    overlap    core sets: what they hold and share
    encoding   observations
    stepping   the compiled entry points
    batch      the arrays of all places, stepped together
    episodes   a new host where an episode ends
    vector_env, sb3   that as Gymnasium and as Stable-Baselines3 know it
"""
