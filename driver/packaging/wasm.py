"""The section of a package for WebAssembly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wasm.link import link
from webdnn.codegen.wasm.module_reader import code_bytes
from webdnn.dialects import plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.expression import symbols_of
from webdnn.dialects.sizes.questions import at_most
from webdnn.lowering.loops_cpu.target import WASM
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_for
from webdnn.lowering.target_wasm.plan_to_llvm import entry_points, program_module, size_table
from webdnn.lowering.target_wasm.size_table import SizeTable
from webdnn.manifest_sizes import expression_of
from webdnn.package import describe_file
from webdnn.packaging.program import (
    Array,
    Files,
    Program,
    launched_nodes,
    used_bytes,
    weights_image,
    write_shards,
)
from webdnn.packaging.wasm_kernel import WASM_VARIANTS, WasmKernel


def wasm_section(
    program: Program,
    compiled: Mapping[str, WasmKernel],
    arrays: Sequence[Array],
    *,
    threads: bool = True,
) -> tuple[dict[str, Any], Files]:
    """The manifest's section `wasm`, and its files. `threads`: with modules for several threads."""
    kernels = list(compiled.values())
    layout = memory_layout(program.op, stack_bytes=stack_for(k.stack_bytes for k in kernels))
    works = {
        name: replace(kernel.work, code_bytes=min(map(code_bytes, kernel.objects)))
        for name, kernel in compiled.items()
        if kernel.work is not None
    }
    files: Files = {}
    modules: list[dict[str, Any]] = []

    def linked(threaded: bool, variant: int) -> bytes:
        return link(
            [hosts[threaded], *(k.objects[variant] for k in kernels)],
            exports=entry_points(program.op, threads=threaded),
            stack_size=layout.stack_bytes,
            memory_pages=layout.pages,
            grown_pages=layout.max_pages if layout.grows else None,
            max_pages=layout.max_pages if threaded else None,
            data_limit=layout.control_offset,
        )

    kinds = (True, False) if threads else (False,)
    # the host program does not multiply: one object does for all variants
    hosts = {
        threaded: compile_object(
            program_module(program.op, layout, works, threads=threaded), WASM_VARIANTS[-1][1]
        )
        for threaded in kinds
    }
    wanted = [(threaded, variant) for threaded in kinds for variant in range(len(WASM_VARIANTS))]
    with ThreadPoolExecutor() as pool:  # the linker is a process of its own
        results = pool.map(linked, *zip(*wanted, strict=True))
        for (threaded, variant), module in zip(wanted, results, strict=True):
            name, features = WASM_VARIANTS[variant]
            needed = [*features, *(["threads"] if threaded else [])]
            file = f"wasm/{'threads-' if threaded else ''}{name}.wasm"
            files[file] = module
            modules.append({**describe_file(file, module), "features": needed})

    def places(role: str) -> list[dict[str, Any]]:
        return [
            {
                "offset": expression_of(layout.address(plan.slice_of(op.slice))),
                "bytes": expression_of(used_bytes(op, WASM.memory)),
            }
            for op in program.bindings(role)
        ]

    image = weights_image(program, arrays, WASM.memory)
    section: dict[str, Any] = {
        "modules": modules,
        "memory": {
            "pages": layout.pages,
            **({"maxPages": layout.max_pages} if layout.grows else {}),
        },
        **({"threads": _threads(layout)} if threads else {}),
        "weights": {
            "offset": layout.weights_offset,
            "bytes": len(image),
            "packed": program.packed_bytes,
            "shards": write_shards(image, "wasm", files),
        },
        **program.definitions(),
        **_table(size_table(program.op, layout, works)),
        "arena": {
            "offset": layout.arena_offset,
            "bytes": expression_of(sum(program.arena_buffers)),
        },
        "arenaLowerBound": program.arena_bound,
        "inputs": places("input"),
        "outputs": places("output"),
        "launches": [
            {**_launch(op), **({} if op.at_load is None else {"before": op.at_load.value.data})}
            for op in program.launches
        ],
    }
    if count := len(program.bindings("past")):
        section["turn"] = layout.turn.name
        section["states"] = [
            {"offset": offset, "bytes": size} for offset, size in map(layout.state, range(count))
        ]
    for place in places("seed"):
        section["seed"] = place
    if at_load := plan.count_at_load(program.launches):
        section["prepare"] = at_load
        section["prepared"] = {"offset": layout.prepared_offset, "bytes": layout.prepared_bytes}
    if program.first_run:
        section["firstRun"] = {
            "limit": program.first_run_limit,
            "launches": [
                {**_launch(op), "instead": op.first_run.value.data}
                for op in program.first_run
                if op.first_run is not None
            ],
        }
    return section, files


def _launch(launch: plan.LaunchIntoOp) -> dict[str, Any]:
    """What the manifest says of every launch."""
    return {
        "kernel": launch.kernel.string_value(),
        "label": launched_nodes([launch]),
        "weights": _weights_needed(launch),
    }


def _weights_needed(launch: plan.LaunchIntoOp) -> int:
    """How many bytes of the weights, from their beginning, must be there for a launch."""
    slices = (plan.slice_of(v) for v in launch.arguments)
    ends = (s.begin + s.size for s in slices if s.space.data == "weights")
    return max(ends, default=0)


def _threads(layout: MemoryLayout) -> dict[str, Any]:
    """What the manifest says of modules for threads."""
    return {
        "max": layout.max_threads,
        "maxPages": layout.max_pages,
        "stackBytes": layout.stack_bytes,
        **({"offset": layout.stacks_offset} if layout.grows else {}),
    }


def _table(table: SizeTable) -> dict[str, Any]:
    """What the manifest says of the numbers that the module reads; nothing where it reads none.

    Raises:
        WebDNNError: one of them has more than 32 bits.
    """
    if not table.words:
        return {}
    for size in table.words:
        if at_most(size) >= 2**32:
            symbols = list(dict.fromkeys(symbols_of(size)))
            raise WebDNNError(
                "the sizes of the inputs vary too widely for a wasm module",
                where=[f"{s.name}: {s.low} to {s.high}" for s in symbols],
                why=f"its numbers have 32 bits, and at the greatest sizes one is {at_most(size):,}",
                hint="bind some of them, or give less wide ranges: "
                + " ".join(f"--dim {s.name}=LOW..HIGH" for s in symbols),
            )
    words = [expression_of(size) for size in table.words]
    return {"table": {"offset": table.offset, "words": words}}
