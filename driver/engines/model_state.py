"""The states of a model (a cache, what a recurrent network remembers) that an engine keeps from run to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.manifest_sizes import bound_values, names_in, state_sizes, tensor_dtype, value_of


@dataclass(eq=False)
class ModelState:
    """What all states of a model are between two runs.

    Attributes:
        sizes: the values of the symbols in their shapes; None at first, and after a reset.
        arrays: their elements by the names of inputs, where they are not on the device; None where they are, or are 0.
    """

    sizes: dict[str, int] | None = None
    arrays: dict[str, Array] | None = None

    def reset(self) -> None:
        """Begin anew: as few elements as there may be, all of them 0."""
        self.sizes = self.arrays = None

    def known(self, manifest: Mapping[str, Any]) -> dict[str, int]:
        """The symbols that a run finds set, before it looks at its inputs."""
        if self.sizes is not None:
            return self.sizes
        return {s["name"]: s["low"] for s in manifest.get("symbols", ()) if "next" in s}

    def assign(self, manifest: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Take elements, which are copied.

        Args:
            arrays: an array for each state, by the name of the input.

        Raises:
            WebDNNError: one is missing, unknown, or does not fit.
        """
        states = {state["input"]: state for state in manifest.get("states", ())}
        if wrong := [*(arrays.keys() ^ states.keys())]:
            what = "unknown states" if wrong[0] in arrays else "missing states"
            hint = f"the model's states are {', '.join(states)}" if states else "it has none"
            raise WebDNNError(what, where=wrong, hint=hint)
        found = {name: np.array(arrays[name]) for name in states}
        for name, state in states.items():
            if found[name].dtype != (dtype := tensor_dtype(state)):
                raise WebDNNError(f"the state is {found[name].dtype} and not {dtype}", where=name)
        shapes = {name: array.shape for name, array in found.items()}
        self.sizes, self.arrays = bound_values(manifest, shapes, role="states"), found


def sizes_after(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """The symbols of the states' shapes after a run of some sizes.

    Raises:
        WebDNNError: the states have no room for what it would give.
    """
    found: dict[str, int] = {}
    for symbol in manifest.get("symbols", ()):
        name = symbol["name"]
        owner = next(
            (
                state["input"]
                for state in manifest.get("states", ())
                if any(name in names_in(size) for size in state["shape"])
            ),
            None,
        )
        if owner is None:
            continue
        found[name] = value_of(symbol.get("next", name), sizes)
        if not symbol["low"] <= found[name] <= symbol["high"] or found[name] % symbol["multiple"]:
            raise WebDNNError(
                "the state has no room for this run",
                where=owner,
                why=f"it has {sizes[name]} of {name} and would have {found[name]}, where {symbol['high']} is the most",
                hint=f"reset it, or compile the model with --dim {name}={symbol['low']}..{found[name]}",
            )
    return found


class StatesOnDevice:
    """Whose states are on the device, and which of the two places of each is read.

    Args:
        read: gives the elements of the state of a number, in a shape, out of the place that is read.
        write: puts them there.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        read: Callable[[int, tuple[int, ...]], Array],
        write: Callable[[int, Array], None],
    ) -> None:
        self._manifest = manifest
        self._read = read
        self._write = write
        self._owner: ModelState | None = None
        self.turn = 0

    def enter(self, state: ModelState, sizes: Mapping[str, int]) -> None:
        """Bring a state to the device, for a run of some sizes; that of somebody else goes."""
        if self._owner is not state:
            self.leave()
        if state.sizes is None or self._owner is not state or state.arrays is not None:
            shapes = state_sizes(self._manifest, sizes)
            for number, tensor in enumerate(self._manifest.get("states", ())):
                name = tensor["input"]
                zeros = np.zeros(shapes[name], tensor_dtype(tensor))
                self._write(number, zeros if state.arrays is None else state.arrays[name])
        state.arrays = None
        self._owner = state

    def leave(self) -> None:
        """Take the state that is on the device from there."""
        if self._owner is not None:
            if self._owner.sizes is not None and self._owner.arrays is None:
                self._owner.arrays = self.elements(self._owner)
            self._owner = None

    def forget(self) -> None:
        """Nobody asks any more for the state that is on the device."""
        self._owner = None

    def done(self, state: ModelState, sizes: dict[str, int]) -> None:
        """A run has written the state, which has these sizes now."""
        self.turn = 1 - self.turn
        state.sizes = sizes

    def elements(self, state: ModelState) -> dict[str, Array]:
        """A copy of the elements of a state, by the names of inputs."""
        if state.arrays is not None:
            return {name: array.copy() for name, array in state.arrays.items()}
        least = {s["name"]: s["low"] for s in self._manifest.get("symbols", ())}
        shapes = state_sizes(self._manifest, {**least, **(state.sizes or {})})
        return {
            tensor["input"]: np.zeros(shapes[tensor["input"]], tensor_dtype(tensor))
            if state.sizes is None
            else self._read(number, shapes[tensor["input"]])
            for number, tensor in enumerate(self._manifest.get("states", ()))
        }
