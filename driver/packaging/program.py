"""The planned host program, and what the packages of all back ends take from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, MemRefType, ModuleOp
from xdsl.ir import Operation

from webdnn.dialects import plan
from webdnn.dialects.dtypes import Array
from webdnn.dialects.locations import location_names
from webdnn.dialects.sizes.expression import unique_symbols
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import sizes_in
from webdnn.lowering.interface.states import next_sizes
from webdnn.lowering.kernels.cost import KernelCost
from webdnn.lowering.target import MemoryModel
from webdnn.manifest_sizes import expression_of, symbol_entry
from webdnn.package import SHARD_BYTES, describe_file

Files = dict[str, bytes | memoryview]


@dataclass(frozen=True)
class Program:
    """The host program of one target, with every address planned."""

    op: plan.ProgramOp

    def _sizes(self, name: str) -> list[int]:
        return [*sizes_in(self.op.attributes[name])]

    @property
    def arena_buffers(self) -> list[int]:
        return self._sizes(plan.ARENA_BUFFERS)

    @property
    def prepared_buffers(self) -> list[int]:
        prepared = plan.PREPARED_BUFFERS
        return self._sizes(prepared) if prepared in self.op.attributes else []

    @property
    def state_buffers(self) -> list[int]:
        states = plan.STATE_BUFFERS
        return self._sizes(states) if states in self.op.attributes else []

    @property
    def weight_offsets(self) -> list[int]:
        return self._sizes(plan.WEIGHT_OFFSETS)

    def _int(self, name: str) -> int:
        attr = self.op.attributes[name]
        assert isinstance(attr, IntegerAttr)
        return attr.value.data

    @property
    def weight_bytes(self) -> int:
        return self._int(plan.WEIGHT_BYTES)

    @property
    def packed_bytes(self) -> int:
        return self._int(plan.PACKED_BYTES)

    @property
    def arena_bound(self) -> int:
        return self._int(plan.ARENA_BOUND)

    @property
    def launches(self) -> list[plan.LaunchIntoOp]:
        """Those at load, then those of a run."""
        return [op for op in self.op.launches if op.first_run is None]

    @property
    def first_run(self) -> list[plan.LaunchIntoOp]:
        """Those that stand for others in a first run; their numbers are those that follow."""
        return [op for op in self.op.launches if op.first_run is not None]

    @property
    def first_run_limit(self) -> int:
        return self._int(plan.FIRST_RUN_LIMIT)

    def bindings(self, role: str) -> list[plan.BindOp]:
        return self.op.bound(role)

    def tensors(self, role: str) -> list[dict[str, Any]]:
        """The manifest's entries for the model's inputs or outputs."""
        return [
            {
                "name": op.tensor_name.data,
                "dtype": op.dtype.data,
                "shape": [expression_of(n) for n in op.sizes],
            }
            for op in self.bindings(role)
        ]

    @property
    def symbols(self) -> list[dict[str, Any]]:
        """The manifest's entries for the sizes that a run sets, and those that states have."""
        pairs = zip(self.bindings("past"), self.bindings("present"), strict=True)
        following = {
            symbol.name: size
            for symbol, size in next_sizes((p.sizes, q.sizes) for p, q in pairs).items()
        }
        by_inputs = {
            s.name for s in unique_symbols(n for op in self.bindings("input") for n in op.sizes)
        }
        return [
            {
                **symbol_entry(symbol),
                **(
                    {"next": expression_of(following.get(symbol.name, symbol.size))}
                    if symbol.name in following or symbol.name not in by_inputs
                    else {}
                ),
            }
            for symbol in self.op.symbols
        ]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The manifest's entries for what stays from run to run."""
        return [
            {
                "input": past.tensor_name.data,
                "output": present.tensor_name.data,
                "dtype": past.dtype.data,
                "shape": [expression_of(n) for n in past.sizes],
            }
            for past, present in zip(self.bindings("past"), self.bindings("present"), strict=True)
        ]

    def definitions(self) -> dict[str, Any]:
        """What a back end's section says of sizes that have names; nothing where there are none."""
        entries = [
            {"name": op.symbol.name, "size": expression_of(op.value)} for op in self.op.definitions
        ]
        return {"definitions": entries} if entries else {}


def planned_program(module: ModuleOp) -> Program:
    """The `plan.program` of a module."""
    (op,) = [op for op in module.ops if isinstance(op, plan.ProgramOp)]
    return Program(op)


def launched_nodes(launches: Iterable[Operation]) -> list[str]:
    """The nodes of the model that launches compute, each once."""
    return list(dict.fromkeys(name for op in launches for name in location_names(op.location)))


def weights_image(program: Program, arrays: Sequence[Array], memory: MemoryModel) -> memoryview:
    """All weights at their offsets, in the form in which the target stores them."""
    image = np.zeros(program.weight_bytes, np.uint8)
    for offset, array in zip(program.weight_offsets, arrays, strict=True):
        raw = np.ascontiguousarray(_stored(array, memory.word)).reshape(-1).view(np.uint8)
        image[offset : offset + raw.size] = raw
    return image.data


def _stored(array: Array, word: int) -> Array:
    """The elements as they are stored where each takes at least `word` bytes."""
    if array.dtype.itemsize >= word:
        return array
    kind = "u" if array.dtype.kind == "b" else array.dtype.kind
    return array.astype(f"{kind}{word}")


def write_shards(image: memoryview, folder: str, files: Files) -> list[dict[str, Any]]:
    """Add the weights to the files, in shards; their entries in the manifest."""
    entries: list[dict[str, Any]] = []
    for number, start in enumerate(range(0, len(image), SHARD_BYTES)):
        name = f"{folder}/weights-{number}.bin"
        files[name] = image[start : start + SHARD_BYTES]
        entries.append(describe_file(name, files[name]))
    return entries


def describe_cost(section: dict[str, Any], costs: Mapping[str, KernelCost]) -> None:
    """Say in a back end's section what each kernel has to do in one launch, for profilers; where that depends on sizes,
    for the likely ones."""
    entries = section.setdefault("kernels", [{"name": name} for name in costs])
    for entry in entries:
        cost = costs[entry["name"]]
        entry.update(flops=likely(cost.flops), bytes=likely(cost.bytes))


def used_bytes(op: plan.BindOp, memory: MemoryModel) -> int:
    """Bytes that hold elements of an input or output: an empty tensor has memory but no elements."""
    type = op.slice.type
    assert isinstance(type, MemRefType)
    return prod(op.sizes) * memory.element_bytes(type.element_type)
