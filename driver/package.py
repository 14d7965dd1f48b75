"""A compiled model: `model.json` and the files it names."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from xxhash import xxh32_hexdigest

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.threefry import seed_words
from webdnn.engines.model_state import ModelState, StatesOnDevice
from webdnn.manifest import (
    BACKENDS,
    MANIFEST,
    check_file_names,
    code_entries,
    file_entries,
    read_file,
    read_manifest,
)
from webdnn.manifest_sizes import bound_values, shape_text
from webdnn.output import check_output, named_output, resolved_output

Engine = Literal["wasmtime", "wgpu"]
ENGINES: dict[Engine, str] = {"wasmtime": "wasm", "wgpu": "webgpu"}
"""Each engine's back end."""
KernelEngine = Literal["wasmtime", "node", "chromium"]
"""Engines in which single kernels of the wasm back end are timed."""

SHARD_BYTES = 32 * 2**20
"""Weights are cut into files of at most this many bytes, so that they load in parallel and can be cached. Each file
costs a browser a pipe between two of its processes, in fresh memory: with files of 8 MiB VGG16 starts a fifth later."""


def describe_file(name: str, content: bytes | memoryview) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"file": name, "bytes": len(content), "xxh32": xxh32_hexdigest(content)}


@dataclass
class Package:
    """A compiled model in memory.

    Args:
        manifest: the content of `model.json` (see `package.schema.json`).
        files: the content of the other files, by their names in the manifest.
    """

    manifest: dict[str, Any]
    files: dict[str, bytes | memoryview]
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)
    _programs: dict[Engine, Program] = field(default_factory=dict["Engine", "Program"], repr=False)
    """Those for which there are states."""

    @property
    def backends(self) -> Sequence[str]:
        """The back ends that the package can run on."""
        return [name for name in self.manifest["backends"] if name in BACKENDS]

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the model says of itself in free text: ONNX's `metadata_props`."""
        return self.manifest.get("metadata", {})

    def labels(self, output: str) -> Sequence[str]:
        """The names of the classes of an output; none where it has none.

        Raises:
            WebDNNError: there is no such output.
        """
        for tensor in self.manifest["outputs"]:
            if tensor["name"] == output:
                return tensor.get("labels", {}).get("names", ())
        names = ", ".join(tensor["name"] for tensor in self.manifest["outputs"])
        raise WebDNNError(f"there is no output {output!r}", hint=f"the outputs are {names}")

    def section(self, backend: str) -> dict[str, Any]:
        """What the manifest says of a back end.

        Raises:
            WebDNNError: the package has no such back end.
        """
        if backend not in self.manifest["backends"]:
            raise WebDNNError(
                f"the package has no {backend} back end",
                why="it was compiled for " + ", ".join(self.backends),
                hint=f"compile the model with --target {backend} or both",
            )
        return self.manifest["backends"][backend]

    def code_bytes(self, backend: str) -> int:
        """Bytes of code (not weights) that a browser loads for a back end, uncompressed."""
        return sum(entry["bytes"] for entry in code_entries(self.section(backend)))

    def save(self, folder: str | Path) -> Path:
        """Write the package to `folder`, in whose place it comes whole or not at all.

        A package that is there already is replaced; any other folder that holds something is left alone. Where `folder`
        is a link, it stays, and the package comes to where it leads.

        Raises:
            WebDNNError: the folder holds something else, or cannot be written, or a file has a name that none may have.
        """
        check_output(named_output(folder))
        target = resolved_output(Path(folder))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".webdnn-") as work:
                aside, previous = Path(work) / "package", Path(work) / "previous"
                self._write(aside)
                if target.is_dir():
                    target.rename(previous)
                try:
                    aside.rename(target)
                except OSError:
                    if previous.is_dir():
                        previous.rename(target)
                    raise
        except OSError as error:
            raise WebDNNError(
                "the package cannot be written", where=str(target), why=str(error)
            ) from error
        return Path(folder)

    def _write(self, folder: Path) -> None:
        check_file_names(self.files)
        folder.mkdir()
        for name in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:  # weights are large, and to copy them takes no lock
            paths = [folder / name for name in self.files]
            list(pool.map(Path.write_bytes, paths, self.files.values()))
        text = json.dumps(self.manifest, indent=1) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")

    @staticmethod
    def load(folder: str | Path) -> Package:
        """Read a package from a folder.

        Raises:
            WebDNNError: there is none, its manifest is not valid, or a file is missing, damaged or not in the folder.
        """
        root = Path(folder)
        manifest = read_manifest(root)
        files: dict[str, bytes | memoryview] = {
            entry["file"]: read_file(root, entry) for entry in file_entries(manifest)
        }
        return Package(manifest, files)

    def folder(self) -> Path:
        """A folder that holds the package for as long as this object lives."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="webdnn-package-")
            self._write(Path(self._folder.name) / "package")
        return Path(self._folder.name) / "package"

    def run(
        self,
        inputs: Mapping[str, Array],
        engine: Engine | None = None,
        *,
        seed: int | None = None,
        state: State | None = None,
    ) -> dict[str, Array]:
        """Run the model.

        Args:
            inputs: an array for each input, by name, with its dtype and shape. Shapes set the sizes that are open.
            engine: `wasmtime` (the wasm back end) or `wgpu` (the WebGPU back end); by default the first that fits.
            seed: of the random numbers, from 0 to 2^53 - 1: the same seed gives the same numbers, on both back ends.
                Without it each run draws others. A model that draws none ignores it.
            state: of a model with states, what the run begins with and leaves behind (see `create_state`). Without it,
                a run begins with an empty one, and nobody learns what it leaves.

        Raises:
            WebDNNError: an input is missing, unknown or wrong, or the seed is, or the engine cannot run the package, or
                the state is full.
        """
        if state is not None:
            return state.run(self, self._checked(inputs, state.sizes), engine, seed)
        chosen = self._engine(engine)
        checked = self._checked(inputs)
        _ = seed_words(seed)  # what is no seed is an error where nothing is drawn too
        if chosen == "wasmtime":
            from webdnn.engines.wasmtime import run_wasm

            return run_wasm(self.folder(), checked, seed)
        from webdnn.engines.wgpu import run_webgpu

        return run_webgpu(self.folder(), checked, seed)

    def create_state(self, engine: Engine | None = None) -> State:
        """A new state of a model that keeps some: hand it to each `run` of a sequence. Several do not meet.

        Args:
            engine: as for `run`; the state stays in its memory.

        Raises:
            WebDNNError: the engine cannot run the package.
        """
        chosen = self._engine(engine)
        if chosen not in self._programs:
            self._programs[chosen] = load_program(self, chosen)
        return State(self, chosen, self._programs[chosen])

    def _engine(self, wanted: Engine | None) -> Engine:
        """An engine that the package has a back end for.

        Raises:
            WebDNNError: there is no such engine, or no such back end.
        """
        chosen: Engine = wanted or ("wasmtime" if "wasm" in self.backends else "wgpu")
        if chosen not in ENGINES:
            raise WebDNNError(
                f"there is no engine {chosen!r}", hint="one of " + ", ".join(map(repr, ENGINES))
            )
        self.section(ENGINES[chosen])
        return chosen

    def _checked(
        self, inputs: Mapping[str, Array], known: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        expected = {t["name"]: t for t in self.manifest["inputs"]}
        unknown = [name for name in inputs if name not in expected]
        missing = [name for name in expected if name not in inputs]
        kept = [s["input"] for s in self.manifest.get("states", ()) if s["input"] in inputs]
        if kept:
            raise WebDNNError(
                "a state is no input of a run",
                where=kept,
                hint="set it before: state = package.create_state(), state.set(...), run(..., state=state); or compile "
                "the model without states",
            )
        if unknown or missing:
            what = "unknown inputs" if unknown else "missing inputs"
            raise WebDNNError(
                what, where=unknown or missing, hint="the model's inputs are " + ", ".join(expected)
            )
        arrays = {name: np.asarray(inputs[name]) for name in expected}
        symbolic = bool(self.manifest.get("symbols"))
        for name, tensor in expected.items():
            array = arrays[name]
            fits = symbolic or list(array.shape) == tensor["shape"]
            if not fits or array.dtype.name != tensor["dtype"]:
                raise WebDNNError(
                    f"the input is {array.dtype.name}{list(array.shape)} "
                    f"and not {tensor['dtype']}{shape_text(tensor['shape'])}",
                    where=name,
                )
        if symbolic:
            shapes = {name: array.shape for name, array in arrays.items()}
            known = ModelState().known(self.manifest) if known is None else known
            bound_values(self.manifest, shapes, known)
        return arrays


class Program(Protocol):
    """What an engine loads from a package."""

    states: StatesOnDevice

    def run(
        self,
        inputs: Mapping[str, Array],
        seed: int | None = None,
        state: ModelState | None = None,
    ) -> dict[str, Array]:
        """One inference."""
        ...


def load_program(package: Package, engine: Engine) -> Program:
    """The package loaded into an engine: an object with `run(inputs)`.

    Raises:
        WebDNNError: the package has no back end for the engine, or the engine cannot run it.
    """
    package.section(ENGINES[engine])
    if engine == "wasmtime":
        from webdnn.engines.wasmtime import WasmModel

        return WasmModel(package.folder())
    from webdnn.engines.wgpu import WebGPUProgram

    return WebGPUProgram(package.folder(), package.manifest)


class State:
    """What a model remembers between runs: see `Package.create_state`."""

    def __init__(self, package: Package, engine: Engine, program: Program) -> None:
        self._package = package
        self._engine = engine
        self._program = program
        self._state = ModelState()

    @property
    def sizes(self) -> dict[str, int]:
        """The symbols that it sets for the next run, by their names."""
        return self._state.known(self._package.manifest)

    def reset(self) -> None:
        """Begin anew: caches are empty, and all other elements 0."""
        self._state.reset()

    def get(self) -> dict[str, Array]:
        """A copy of all states, by the names of the inputs that they are."""
        return self._program.states.elements(self._state)

    def set(self, arrays: Mapping[str, Array]) -> None:
        """Take other elements, such as `get` gave.

        Args:
            arrays: an array for each state, by the name of the input that it is.

        Raises:
            WebDNNError: one is missing, unknown or wrong.
        """
        self._state.assign(self._package.manifest, arrays)

    def run(
        self, package: Package, inputs: Mapping[str, Array], engine: Engine | None, seed: int | None
    ) -> dict[str, Array]:
        """`Package.run` on inputs that have been checked.

        Raises:
            WebDNNError: the state is another package's or in another engine, or full.
        """
        if package is not self._package or engine not in (None, self._engine):
            raise WebDNNError(
                "the state belongs to another package or engine",
                hint=f"it was made for {self._package.manifest['name']} in {self._engine}",
            )
        _ = seed_words(seed)
        return self._program.run(inputs, seed, self._state)
