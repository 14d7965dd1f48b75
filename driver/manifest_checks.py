"""What the schema of a manifest cannot say: numbers in range, places inside their buffers, names that differ.

`runtime-ts/src/parse.ts` checks the same for browsers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.threefry import SEED_WORDS
from webdnn.dialects.wasm_memory import PAGE
from webdnn.manifest_sizes import (
    SECTIONS,
    expression_problem,
    likely_values,
    manifest_at,
    names_in,
)

_Fields = Mapping[str, Any]

_HELD: Mapping[str, tuple[str, ...]] = {
    "f32": ("float16", "float32"),
    "i32": ("int8", "int16", "int32", "int64", "uint8", "uint16", "bool"),
    "u32": ("uint8", "uint16", "uint32", "uint64", "bool"),
    "i64": ("int64", "uint64"),
}
"""The element types that each storage type of WebGPU holds."""
_SEED: _Fields = {"name": "seed", "dtype": "uint32", "shape": [SEED_WORDS]}
"""What comes to the place of a seed."""
_MOST_DIMENSIONS = 64
_MOST_BYTES = 2**63 - 1
"""What numpy can describe."""


def check_manifest(manifest: dict[str, Any]) -> None:
    """Check a manifest that is as the schema says. Where sizes are expressions, places are checked for the likely ones.

    Raises:
        ValueError: what it says cannot be.
    """
    _check_symbols(manifest)
    _check_numbers(manifest_at(manifest, likely_values(manifest)))


def manifest_for_run(
    manifest: dict[str, Any], sizes: Mapping[str, int], turn: int = 0
) -> dict[str, Any]:
    """The manifest of a package with numbers in the place of expressions, for a run.

    Args:
        sizes: the values of all symbols, which fit their ranges.
        turn: 0 or 1, where states have changed places.

    Raises:
        WebDNNError: what the manifest says cannot be for these sizes.
    """
    try:
        found = manifest_at(manifest, sizes, turn)
        if found is not manifest:
            _check_numbers(found)
    except ValueError as error:
        said = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        raise WebDNNError(f"the package does not fit {said}", why=str(error)) from error
    return found


def _check_symbols(manifest: _Fields) -> None:
    """Expressions are of symbols that are known, and runs set all symbols."""
    symbols = manifest.get("symbols", ())
    known = likely_values(manifest)
    _ensure(len(known) == len(symbols), "symbols", "has two of one name")
    for i, symbol in enumerate(symbols):
        low, likely, high = symbol["low"], symbol["likely"], symbol["high"]
        fits = low <= likely <= high and not any(
            n % symbol["multiple"] for n in (low, likely, high)
        )
        _ensure(fits, f"symbols[{i}]", "has no such range")
    for role in ("inputs", "outputs", "states"):
        sizes = (size for tensor in manifest.get(role, ()) for size in tensor["shape"])
        _check_expressions(sizes, known, role)
    followed = {symbol["name"]: symbol["next"] for symbol in symbols if "next" in symbol}
    _check_expressions(followed.values(), known, "symbols")
    sizes = [size for tensor in manifest["inputs"] for size in tensor["shape"]]
    set_by_runs = {name for size in sizes for name in names_in(size)} | followed.keys()
    for name in known:
        _ensure(name in set_by_runs, "symbols", f"has {name!r}, which no input sets")
    for backend in manifest["backends"]:
        if backend in SECTIONS:
            _check_section_sizes(manifest["backends"][backend], known, f"backends.{backend}")


def _check_section_sizes(section: _Fields, symbols: Mapping[str, int], at: str) -> None:
    known = dict(symbols)
    if (turn := section.get("turn")) is not None:
        _ensure(turn not in known, f"{at}.turn", "is the name of a symbol")
        known[turn] = 0
    for i, definition in enumerate(section.get("definitions", ())):
        _check_expressions([definition["size"]], known, f"{at}.definitions[{i}]")
        name = definition["name"]
        _ensure(name not in known, f"{at}.definitions[{i}]", f"defines {name!r} again")
        known[name] = 0
    table: _Fields = section.get("table", {"offset": 0, "words": []})
    _ensure(table["offset"] % 4 == 0, f"{at}.table.offset", "is not a multiple of 4")
    places = [section.get("arena", {}), section.get("seed", {}), *section.get("buffers", ())]
    places += [*section["inputs"], *section["outputs"]]
    found: list[Any] = [*table["words"]]
    for launch in section["launches"]:
        places += launch.get("bindings", ())
        found += [*launch.get("workgroups", ()), *launch.get("sizes", ())]
    found += [place[key] for place in places for key in ("offset", "bytes") if key in place]
    _check_expressions(found, known, at)


def _check_expressions(found: Iterable[Any], known: Mapping[str, int], path: str) -> None:
    for each in found:
        problem = expression_problem(each, known)
        _ensure(problem is None, path, str(problem))


def _check_numbers(manifest: _Fields) -> None:
    for role in ("inputs", "outputs"):
        names = [tensor["name"] for tensor in manifest[role]]
        _ensure(len({*names}) == len(names), role, "has two tensors of one name")
        for number, tensor in enumerate(manifest[role]):
            bytes = prod(n or 1 for n in tensor["shape"]) * _element_bytes(tensor)
            fits = len(tensor["shape"]) <= _MOST_DIMENSIONS and bytes <= _MOST_BYTES
            _ensure(fits, f"{role}[{number}].shape", "is too large")
            _check_labels(tensor, f"{role}[{number}].labels")
    states = manifest.get("states", ())
    for role, side in (("inputs", "input"), ("outputs", "output")):
        names = [state[side] for state in states] + [tensor["name"] for tensor in manifest[role]]
        _ensure(len({*names}) == len(names), "states", f"has an {side} of another's name")
    if (section := manifest["backends"].get("wasm")) is not None:
        _check_wasm(manifest, section, "backends.wasm")
    if (section := manifest["backends"].get("webgpu")) is not None:
        _check_webgpu(manifest, section, "backends.webgpu")


def _ensure(condition: bool, path: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"model.json: {path} {problem}")


def _check_labels(tensor: _Fields, path: str) -> None:
    labels, shape = tensor.get("labels", {}), tensor["shape"]
    if (axis := labels.get("axis")) is not None:
        count = shape[axis] if axis < len(shape) else 0
        _ensure(len(labels["names"]) == count, path, f"must have {count} entries")


def _element_bytes(tensor: _Fields) -> int:
    return np.dtype(tensor["dtype"]).itemsize


def _end(range: _Fields) -> int:
    return range["offset"] + range["bytes"]


def _tensors(
    manifest: _Fields, section: _Fields, at: str
) -> Iterator[tuple[_Fields, _Fields, str]]:
    """Each input and output, and the seed, where it lies, and where the manifest says that."""
    for role in ("inputs", "outputs"):
        tensors, places = manifest[role], section[role]
        _ensure(len(places) == len(tensors), f"{at}.{role}", f"must have {len(tensors)} entries")
        for number, (tensor, place) in enumerate(zip(tensors, places, strict=True)):
            yield tensor, place, f"{at}.{role}[{number}]"
    if "seed" in section:
        yield _SEED, section["seed"], f"{at}.seed"


def _states(manifest: _Fields, section: _Fields, at: str) -> Iterator[tuple[_Fields, _Fields, str]]:
    """Each state, where it lies, and where the manifest says that."""
    states, places = manifest.get("states", ()), section.get("states", ())
    _ensure(len(places) == len(states), f"{at}.states", f"must have {len(states)} entries")
    for number, (state, place) in enumerate(zip(states, places, strict=True)):
        yield {**state, "name": state["input"]}, place, f"{at}.states[{number}]"


def _state_buffers(
    manifest: _Fields, section: _Fields, at: str
) -> Iterator[tuple[_Fields, _Fields, str]]:
    """The two buffers of each state, as if they were inputs."""
    for state, place, path in _states(manifest, section, at):
        bytes = prod(state["shape"]) * (8 if place["storage"] == "i64" else 4)
        for i, number in enumerate(place["buffers"]):
            storage = place["storage"]
            bound = {"buffer": number, "offset": 0, "bytes": bytes, "storage": storage}
            yield state, bound, f"{path}.buffers[{i}]"


def _check_room(tensor: _Fields, place: _Fields, element: int, path: str) -> None:
    needed = prod(tensor["shape"]) * element
    found = place["bytes"]
    name = tensor["name"]
    _ensure(found >= needed, path, f"has {found} bytes, but {name!r} needs {needed}")


def _check_sections(section: _Fields, at: str) -> None:
    """What all back ends have in common."""
    weights, shards = section["weights"]["bytes"], section["weights"]["shards"]
    found = sum(shard["bytes"] for shard in shards)
    _ensure(found == weights, f"{at}.weights", f"has {weights} bytes, but its shards have {found}")
    prepare, count = section.get("prepare", 0), len(section["launches"])
    _ensure(prepare <= count, f"{at}.prepare", f"is {prepare}, but there are {count} launches")


def _check_wasm(manifest: _Fields, section: _Fields, at: str) -> None:
    pages = section["memory"]["pages"]
    most = section["memory"].get("maxPages", pages)
    _ensure(pages <= most, f"{at}.memory.maxPages", "is less than pages")
    memory = most * PAGE
    if (table := section.get("table")) is not None:
        end = table["offset"] + 4 * len(table["words"])
        _ensure(end <= pages * PAGE, f"{at}.table", "reaches beyond the memory")
        fits = all(word < 2**32 for word in table["words"])
        _ensure(fits, f"{at}.table", "has a number of more than 32 bits")
    if (threads := section.get("threads")) is not None:
        begin = threads.get("offset")
        room = (
            section["arena"]["offset"] - begin
            if begin is not None
            else threads["maxPages"] * PAGE - memory
        )
        stack = threads["stackBytes"]
        fits = stack % 16 == 0 and room >= (threads["max"] - 1) * stack and (begin or 0) % 16 == 0
        _ensure(fits, f"{at}.threads", "has no room for the stacks")
    for name in ("weights", "arena", "prepared"):
        if name in section:
            _ensure(_end(section[name]) <= memory, f"{at}.{name}", "reaches beyond the memory")
    _check_sections(section, at)
    _check_first_run(section, at)
    for tensor, place, path in _states(manifest, section, at):
        end = place["offset"] + 2 * place["bytes"]
        _ensure(end <= pages * PAGE, path, "reaches beyond the memory")
        element = _element_bytes(tensor)
        _check_room(tensor, place, element, path)
        aligned = place["offset"] % element == 0 and place["bytes"] % element == 0
        _ensure(aligned, path, f"is not aligned to {element} bytes")
    for tensor, place, path in _tensors(manifest, section, at):
        _ensure(_end(place) <= memory, path, "reaches beyond the memory")
        element = _element_bytes(tensor)
        _check_room(tensor, place, element, path)
        _ensure(place["offset"] % element == 0, path, f"is not aligned to {element} bytes")


def _check_first_run(section: _Fields, at: str) -> None:
    """Launches that are left for later have others in their place."""
    if (first_run := section.get("firstRun")) is None:
        return
    launches, prepare = section["launches"], section.get("prepare", 0)
    of_a_run = len(launches) - prepare
    numbers = [launch.get("instead", of_a_run) for launch in first_run["launches"]]
    last = 0
    for i, number in enumerate(numbers):
        path = f"{at}.firstRun.launches[{i}].instead"
        _ensure(last <= number < of_a_run, path, "is not that of a run's next launch")
        last = number
    for i, launch in enumerate(launches[:prepare]):
        known = launch.get("before", 0) in numbers
        _ensure(known, f"{at}.launches[{i}].before", "is of none in firstRun")


def _check_webgpu(manifest: _Fields, section: _Fields, at: str) -> None:
    buffers: Sequence[_Fields] = section["buffers"]
    kernels, shaders = section["kernels"], section["shaders"]
    weights = section["weights"]

    def check_place(place: _Fields, path: str) -> None:
        number = place["buffer"]
        _ensure(number < len(buffers), f"{path}.buffer", "is not the number of a buffer")
        inside = _end(place) <= buffers[number]["bytes"]
        _ensure(inside, path, f"reaches beyond buffer {number}")

    _check_sections(section, at)
    for i, shard in enumerate(weights["shards"][:-1]):
        path = f"{at}.weights.shards[{i}].bytes"
        whole = shard["bytes"] % 4 == 0
        _ensure(whole, path, "is not a multiple of 4, and the shard is not the last")
    for i, buffer in enumerate(buffers):
        if buffer["kind"] == "weights":
            path = f"{at}.buffers[{i}]"
            _ensure(buffer["offset"] % 4 == 0, f"{path}.offset", "is not a multiple of 4")
            _ensure(_end(buffer) <= weights["bytes"], path, "reaches beyond the weights")
    for i, kernel in enumerate(kernels):
        path = f"{at}.kernels[{i}]"
        number = kernel["shader"]
        _ensure(number < len(shaders), f"{path}.shader", "is not the number of a shader")
        inside = "range" not in kernel or _end(kernel["range"]) <= shaders[number]["bytes"]
        _ensure(inside, f"{path}.range", "reaches beyond the shader")
    for i, launch in enumerate(section["launches"]):
        path = f"{at}.launches[{i}]"
        number = launch["kernel"]
        _ensure(number < len(kernels), f"{path}.kernel", "is not the number of a kernel")
        sizes = kernels[number].get("sizes", 0)
        given = launch.get("sizes", [])
        _ensure(len(given) == sizes, f"{path}.sizes", f"must have {sizes} entries")
        count = len(kernels[number]["bindings"])
        found = launch["bindings"]
        _ensure(len(found) == count, f"{path}.bindings", f"must have {count} entries")
        for j, place in enumerate(found):
            check_place(place, f"{path}.bindings[{j}]")
    for tensor, place, path in (
        *_tensors(manifest, section, at),
        *_state_buffers(manifest, section, at),
    ):
        check_place(place, path)
        storage, dtype = place["storage"], tensor["dtype"]
        _check_room(tensor, place, 8 if storage == "i64" else 4, path)
        _ensure(place["offset"] % 4 == 0, path, "is not aligned to 4 bytes")
        held = dtype in _HELD[storage]
        _ensure(held, f"{path}.storage", f"{storage!r} cannot hold each {dtype}")
