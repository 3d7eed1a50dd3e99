"""What Stable-Baselines3 may ask of environments that are no objects here: masks alone."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv


class MaskedVecEnv(VecEnv):
    """Environments without attributes or methods, but for the masks that maskable PPO asks for."""

    @abstractmethod
    def action_masks(self) -> NDArray[np.bool_]:
        """True where a value is offered, (num_envs, MAX_VALUES)."""

    def env_method(
        self,
        method_name: str,
        *_arguments: Any,  # noqa: ANN401 (as SB3 declares it)
        indices: int | Iterable[int] | None = None,
        **_keywords: Any,  # noqa: ANN401 (likewise)
    ) -> list[Any]:
        """The masks; raises AttributeError for all else."""
        if method_name != "action_masks":
            raise AttributeError(f"these environments have no {method_name} to call")
        masks = self.action_masks()
        return [masks[index] for index in self._get_indices(indices)]

    def has_attr(self, attr_name: str) -> bool:
        """Whether ``env_method`` knows it."""
        return attr_name == "action_masks"

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """SB3 asks for the render mode: there is none. Raises AttributeError for all else."""
        if attr_name != "render_mode":
            raise AttributeError(f"these environments have no attribute {attr_name}")
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, *_arguments: Any, **_keywords: Any) -> None:  # noqa: ANN401 (likewise)
        """Not possible: raises AttributeError."""
        raise AttributeError(f"{attr_name} of these environments cannot be set")

    def env_is_wrapped(
        self, _wrapper_class: type[Any], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """No wrapper is used."""
        return [False for _ in self._get_indices(indices)]
