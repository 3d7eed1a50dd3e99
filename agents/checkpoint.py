"""Training that can be stopped and gone on with: arrays in safetensors, counters in JSON.

What is saved is the network, the optimiser's moments, the random states and the number of
choices made. Episodes under way are not: a resumed run starts new ones, seeded by how far it had
come, so it is a fair continuation but not the same to the last bit.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as render
from sb3_contrib import MaskablePPO

from envs.errors import InputError
from envs.host import Record

STATE = "checkpoint.json"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam remembers of each parameter


class Progress(Record, frozen=True):
    """Counters and NumPy's random state, and the file with the arrays that belong to them."""

    arrays: str
    choices: int
    updates: int
    random: tuple[str, list[int], int, int, float]


def save(model: MaskablePPO, folder: Path) -> None:
    """Write a checkpoint. The last one stays whole until the new one is."""
    network = model.policy.state_dict()
    arrays = {f"network.{name}": value.contiguous() for name, value in network.items()}
    moments = model.policy.optimizer.state_dict()["state"]
    for index, state in moments.items():
        arrays |= {f"{moment}.{index}": state[moment].contiguous() for moment in _MOMENTS}
    arrays["random.torch"] = torch.get_rng_state()
    name = f"checkpoint-{model.num_timesteps}.safetensors"
    (folder / name).write_bytes(render(arrays))
    random: Any = np.random.get_state(legacy=True)  # noqa: NPY002 (SB3)
    progress = Progress(
        arrays=name,
        choices=model.num_timesteps,
        updates=model._n_updates,  # noqa: SLF001 (SB3 has no other way)
        random=(random[0], [int(key) for key in random[1]], *random[2:]),
    )
    fresh = folder / f"{STATE}.new"
    fresh.write_bytes(msgspec.json.encode(progress))
    fresh.replace(folder / STATE)
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def restore(model: MaskablePPO, folder: Path) -> None:
    """Bring ``model`` to where the checkpoint in ``folder`` was made.

    Raises InputError naming the file that is missing, damaged or of another network.
    """
    progress = _progress(folder / STATE)
    path = folder / Path(progress.arrays).name
    try:
        arrays = parse(path.read_bytes())
        _load(model, arrays)
        random: Any = progress.random
        np.random.set_state(random)  # noqa: NPY002 (SB3 draws from it)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: no checkpoint to go on with: {reason}") from error
    model.num_timesteps = progress.choices
    model._n_updates = progress.updates  # noqa: SLF001 (likewise)


def _load(model: MaskablePPO, arrays: dict[str, torch.Tensor]) -> None:
    prefix = "network."
    network = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    model.policy.load_state_dict(network)
    optimizer = model.policy.optimizer
    state = optimizer.state_dict()
    count = len(state["param_groups"][0]["params"])
    state["state"] = {i: {m: arrays[f"{m}.{i}"] for m in _MOMENTS} for i in range(count)}
    optimizer.load_state_dict(state)
    torch.set_rng_state(arrays["random.torch"])


def choices(folder: Path) -> int:
    """How many choices had been made at the checkpoint. Raises InputError where there is none."""
    return _progress(folder / STATE).choices


def _progress(path: Path) -> Progress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: no checkpoint to go on with: {error}") from error
