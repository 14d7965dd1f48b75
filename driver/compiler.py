"""`compile`: a model file in, a `Package` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

import webdnn
from webdnn.custom_operators import CustomOps, custom_operators
from webdnn.dialects import kernel
from webdnn.dialects.errors import WebDNNError, internal_errors
from webdnn.dialects.locations import nodes_at, operations_at
from webdnn.dialects.numpy_meaning.nn import run_nn_block
from webdnn.dialects.onnx import METADATA, MODEL_NAME, string_lists_of
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.frontends.models import Conversion, OnnxModel, model_name
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.dimensions import Dims
from webdnn.frontends.onnx.values import InputValue
from webdnn.importing import imported_model
from webdnn.kernel_cache import KernelCache
from webdnn.kernel_compiler import compile_kernels
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.lowering.kernels.apply_schedules import ApplySchedules
from webdnn.lowering.kernels.cost import kernel_costs
from webdnn.lowering.kernels.digest import kernel_digest
from webdnn.lowering.kernels.launches import launches_of
from webdnn.lowering.kernels.schedule_table import ScheduleTable
from webdnn.lowering.weights_function import WeightsFunction, entry_function
from webdnn.manifest import FORMAT, FORMAT_VERSION
from webdnn.metadata import kept_metadata
from webdnn.package import Package
from webdnn.package_interface import FittedInterface, LabelsOf, PackageInterface, States
from webdnn.packaging.program import Program, describe_cost, launched_nodes, planned_program
from webdnn.passes import apply_pass, check_optional, context
from webdnn.progress import Progress, no_progress
from webdnn.rare_collections import rare_collections
from webdnn.schedule_memory import ScheduleMemory
from webdnn.schedules import find_schedules, warn_of_unused
from webdnn.stages import LAST_COMMON_STAGE, passes_between, stage_index
from webdnn.targets import TARGETS, find_target
from webdnn.targets.target import AnyTarget, PackageOptions

Model: TypeAlias = OnnxModel | Any
"""An ONNX model, or what `convert` takes."""
BOTH = "both"
"""Asks for a package that has all back ends."""
StageHook = Callable[[str, str | None, ModuleOp], None]
"""Called with the name of each stage that is reached, the target's (None while it is common to all) and the module."""


@dataclass
class CompileOptions:
    """What steers a compilation.

    Args:
        target: the back end to compile for, or `both`.
        passes: passes of the user's to run when a stage is reached, by the stage's name.
        without: names of passes to leave out.
        hook: sees the module at each stage.
        cache: where compiled kernels are kept.
        jobs: processes for kernels; by default one a core.
        progress: shows how far it is.
        threads: whether the package gets wasm modules for several threads too.
        schedules: schedules that go before those of the compiler.
        interface: what the package takes and gives, where that is not what the model itself does.
    """

    target: str = BOTH
    passes: Mapping[str, Sequence[ModulePass]] = field(
        default_factory=dict[str, Sequence[ModulePass]]
    )
    without: Sequence[str] = ()
    hook: StageHook = lambda stage, target, module: None
    cache: KernelCache = field(default_factory=KernelCache)
    jobs: int | None = None
    progress: Progress = no_progress
    threads: bool = True
    schedules: ScheduleTable | None = None
    interface: FittedInterface = field(default_factory=FittedInterface)

    @property
    def targets(self) -> list[AnyTarget]:
        """The back ends themselves."""
        return [*TARGETS.values()] if self.target == BOTH else [find_target(self.target)]


def compile(
    model: Model,
    *,
    target: str = BOTH,
    shapes: Shapes | None = None,
    dims: Dims | None = None,
    values: Mapping[str, InputValue] | None = None,
    passes: Mapping[str, Sequence[ModulePass]] | None = None,
    without: Sequence[str] = (),
    hook: StageHook | None = None,
    cache: KernelCache | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    threads: bool = True,
    schedules: ScheduleTable | str | Path | None = None,
    custom_objects: str | Path | None = None,
    example_inputs: Sequence[Any] = (),
    caffe_weights: str | Path | None = None,
    custom_ops: CustomOps = (),
    input_images: Mapping[str, ImageInput] | None = None,
    labels: LabelsOf = None,
    softmax: bool | str | Sequence[str] = False,
    top_k: int | Mapping[str, int] | None = None,
    rename_inputs: Mapping[str, str] | None = None,
    rename_outputs: Mapping[str, str] | None = None,
    states: States = True,
) -> Package:
    """Compile a model.

    Names of inputs and outputs are the model's, whatever they are renamed to.

    Args:
        model: ONNX: a path, an `https://` address, the bytes of a file, or a ModelProto. Or what `convert` takes.
        target: the name of a back end (one of `webdnn.targets.TARGETS`), or `both`.
        shapes: sizes of inputs, by name or in the order of the inputs; they bind the model's symbolic dimensions. Each
            is a number, or a name with or without a range (`"h:64..1024:32"`): such a size is set by each run.
        dims: what the model's own names of dimensions are: a number, a range (`{"seq": "1..512@128"}`: optimised for
            128), or another name. A size of which nothing is said varies within a default range, of which there is a
            warning.
        values: values of inputs by name (`{"sr": 16000}`): these become constants, and are no inputs of the package.
        passes: xDSL passes to run when a stage is reached, by its name (`{"linalg": [MyPass()]}`).
        without: names of passes to leave out (`["winograd-convolutions"]`): those of `OPTIONAL_PASSES`.
        hook: called with (stage, target or None, module) at each stage from `onnx` to `loops`.
        cache: where compiled kernels are kept; `KernelCache(enabled=False)` for nowhere.
        jobs: processes that compile kernels; by default one a core.
        progress: shows how far it is.
        threads: whether the package gets wasm modules for several threads beside those for one.
        schedules: schedules of kernels, or a file of them, that go before those that the compiler chooses; `"auto"` for
            what `webdnn tune` has learnt on this machine. There is a warning about entries that fit no kernel.
        custom_objects, example_inputs, caffe_weights: see `convert`.
        custom_ops: operators that ONNX does not define, or Python files of them, which are run. Those of installed
            packages are known without (see `custom_operators`).
        input_images: inputs that the package takes as pixels (see `ImageInput`), by name.
        labels: the names of classes, or a file of them, for the manifest: of the only output, or by the names of
            outputs.
        softmax: whether to take the softmax of the only output; or the names of the outputs of which to take it.
        top_k: how many of the greatest values the only output gives in place of all, or how many by the names of
            outputs. From `probs` become `probs_values` and `probs_indices` (int32).
        rename_inputs, rename_outputs: new names in the package, by the old ones.
        states: outputs that the next run takes as inputs, by the names of these (`{"past": "present"}`): they stay
            where they are from run to run. By default those that exporters of decoders call so (`past_key_values.0.key`
            and `present.0.key`), where they begin empty; False for none.

    Raises:
        WebDNNError: the model is bad, or cannot be compiled, or a schedule does not fit its kernel, or what is asked
            for does not fit the model's inputs and outputs.
    """
    options = CompileOptions(
        target=target,
        passes=passes or {},
        without=without,
        hook=hook or (lambda stage, target, module: None),
        cache=cache or KernelCache(),
        jobs=jobs,
        progress=progress or no_progress,
        threads=threads,
        schedules=find_schedules(schedules),
    )
    for stage in options.passes:
        stage_index(stage)
    check_optional(without)
    if target != BOTH:
        find_target(target)
    operators = custom_operators(custom_ops)
    interface = PackageInterface.of(
        input_images=input_images,
        labels=labels,
        softmax=softmax,
        top_k=top_k,
        rename_inputs=rename_inputs,
        rename_outputs=rename_outputs,
        states=states,
    )
    interface.check_values(values or ())
    conversion = Conversion(shapes or {}, custom_objects, example_inputs, caffe_weights, dims or {})
    with ExitStack() as converted:  # weights of a converted model are read where they are needed
        converted.enter_context(rare_collections())
        with options.progress("import", None):
            imported = converted.enter_context(
                imported_model(
                    model,
                    conversion,
                    bind=lambda source: interface.bound_shapes(source, shapes or {}, dims or {}),
                    values=values,
                    operators=operators,
                    progress=options.progress,
                )
            )
            options.interface = interface.fitted(entry_function(imported.module))
        module, weights = imported.module, imported.weights
        attach_weights(module, weights)
        _reached("onnx", None, module, options)
        with options.progress("lower", None):
            lower(module, "onnx", LAST_COMMON_STAGE, None, options)
        return package_from(module, weights, options, name=_model_name(module, model))


def package_from(
    module: ModuleOp,
    weights: WeightStore,
    options: CompileOptions,
    *,
    name: str,
    stage: str = LAST_COMMON_STAGE,
) -> Package:
    """The package of a module of stage `nn` or `linalg`. `module` is not changed."""
    labels = options.interface.label_entries(entry_function(module))
    metadata = kept_metadata(string_lists_of(module, METADATA))
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "generator": f"webdnn {webdnn.__version__}",
        "name": name,
        **({"metadata": metadata} if metadata else {}),
        "inputs": [],
        "outputs": [],
        "backends": {},
    }
    package = Package(manifest, {})
    digests: set[tuple[str, str]] = set()
    for target in options.targets:
        own = module.clone()
        attach_weights(own, weights)
        section, files, program, kernels = _backend(own, weights, target, options, stage)
        digests.update((target.name, kernel_digest(k)) for k in kernels)
        if symbols := program.symbols:
            manifest["symbols"] = symbols
        manifest["inputs"] = program.tensors("input")
        manifest["outputs"] = [
            {**tensor, "labels": labels[tensor["name"]]} if tensor["name"] in labels else tensor
            for tensor in program.tensors("output")
        ]
        if states := program.states:
            manifest["states"] = states
        manifest["backends"][target.name] = section
        package.files.update(files)
    if options.schedules is not None:
        warn_of_unused(options.schedules, [t.name for t in options.targets], digests)
    return package


def _backend(
    module: ModuleOp, weights: WeightStore, target: AnyTarget, options: CompileOptions, stage: str
) -> tuple[dict[str, Any], dict[str, bytes | memoryview], Program, Sequence[kernel.FuncOp]]:
    target.check_interface(entry_function(module))
    lower(module, stage, "kernels", target, options)
    kernels = [*kernel.kernels_of(module).values()]
    nodes = {name: launched_nodes(launches) for name, launches in launches_of(module).items()}
    extra = [(stage, p) for stage in ("loops", "target") for p in options.passes.get(stage, ())]
    with options.progress(f"{target.name} kernels", len(kernels)) as advance:
        compiled = compile_kernels(
            kernels,
            target,
            extra=extra,
            cache=options.cache,
            jobs=options.jobs,
            on_done=advance,
            nodes=nodes,
        )
    by_name = {k.sym_name.data: c for k, c in zip(kernels, compiled, strict=True)}
    with options.progress(f"{target.name} package", None):
        for op in kernels:
            op.detach()
        lower(module, "kernels", "loops", target, options)
        with internal_errors("compute the weights of the package", nodes_at):
            arrays = run_nn_block(WeightsFunction(module).function.body.block, (), weights)
        with internal_errors(f"write the {target.name} package"):
            program = planned_program(module)
            section, files = target.section(
                program, by_name, arrays, PackageOptions(threads=options.threads)
            )
            describe_cost(section, kernel_costs(kernels, target.name))
    return section, files, program, kernels


def lower(
    module: ModuleOp, start: str, stop: str, target: AnyTarget | None, options: CompileOptions
) -> None:
    """Lower a module in place between two stages, with the user's passes and the hook at each stage."""
    ctx = context()
    steps = passes_between(
        start,
        stop,
        target or options.targets[0],
        options.schedules,
    )
    steps = options.interface.among(steps)
    if target is not None and target.search_pass is not None and not options.without:
        steps = _with_memory(steps, ScheduleMemory(options.cache, target.name), target.search_pass)
    for stage in dict.fromkeys(stage for stage, _ in steps):
        for reached, step in steps:
            if reached == stage and step.name not in options.without:
                with internal_errors(
                    f"run the pass {step.name}", lambda error: _nodes_at(error, module)
                ):
                    apply_pass(step, ctx, module)
        _reached(stage, None if target is None else target.name, module, options)


def _nodes_at(error: Exception, module: ModuleOp) -> Sequence[str]:
    """The nodes that a pass was at when it raised an exception; of a kernel, all that it computes."""
    if names := nodes_at(error):
        return names
    launches = launches_of(module)
    for op in operations_at(error):
        at: Operation | None = op
        while at is not None and not isinstance(at, kernel.FuncOp):
            at = at.parent_op()
        if at is not None and (found := launches.get(at.sym_name.data)):
            return launched_nodes(found)
    return ()


def _with_memory(
    steps: Sequence[tuple[str, ModulePass]], memory: ScheduleMemory, search_pass: str
) -> list[tuple[str, ModulePass]]:
    """The steps, with the schedules of kernels recalled before they are chosen, and kept afterwards."""
    recall, keep = memory.passes()
    found: list[tuple[str, ModulePass]] = []
    for stage, step in steps:
        found.append((stage, step))
        if isinstance(step, ApplySchedules):
            found.append((stage, recall))
        elif step.name == search_pass:
            found.append((stage, keep))
    return found


def _reached(stage: str, target: str | None, module: ModuleOp, options: CompileOptions) -> None:
    ctx = context()
    for step in options.passes.get(stage, ()):
        apply_pass(step, ctx, module)
        module.verify()
    options.hook(stage, target, module)


def _model_name(module: ModuleOp, model: Model) -> str:
    if (name := model_name(model)) is not None:
        return name
    stated = module.attributes.get(MODEL_NAME)
    return stated.data if isinstance(stated, StringAttr) and stated.data else "model"


__all__ = ["CompileOptions", "WebDNNError", "compile", "lower", "package_from"]
