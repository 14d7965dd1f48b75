"""`PackageInterface`: what an application gives a package and gets from it, where that is not what the model itself
does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdsl.dialects.builtin import TensorType, i32, i64
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, strings_of
from webdnn.dialects.sizes.types import shape_of
from webdnn.frontends.onnx.binding import Shapes, declared_sizes, shapes_by_name
from webdnn.frontends.onnx.dimensions import Dims
from webdnn.frontends.onnx.source import Source, inputs_of
from webdnn.labels import Labels, class_labels
from webdnn.lowering.interface.classes import (
    AppendSoftmax,
    AppendTopK,
    class_axis,
    top_k_names,
)
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.lowering.interface.image_shapes import bound_sizes
from webdnn.lowering.interface.image_text import image_text
from webdnn.lowering.interface.names import RenameInterface, position_in, renamed
from webdnn.lowering.interface.read_image import ReadImage
from webdnn.lowering.interface.states import KeepStates, usual_states
from webdnn.lowering.onnx_to_nn.convert import ConvertOnnxToNN

LabelsOf = Labels | Mapping[str, Labels] | None
"""Labels of the only output, or by the names of outputs."""


States = Mapping[str, str] | bool | None
"""The output that is each state after a run, by the input that it is before one; True for those whose names say so."""


@dataclass(frozen=True)
class PackageInterface:
    """What is asked for. Names are those that inputs and outputs have in the model; of outputs "" is the only one.

    Attributes:
        images: what comes into inputs that are pictures.
        labels: the names of classes.
        softmax: outputs of which the softmax is taken.
        top_k: of how many classes, the best ones, outputs give values and indices.
        inputs: new names of inputs.
        outputs: new names of outputs.
        states: outputs that the next run takes as inputs, by the names of these; None for those whose names say so.
    """

    images: Mapping[str, ImageInput] = field(default_factory=dict[str, ImageInput])
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    softmax: Sequence[str] = ()
    top_k: Mapping[str, int] = field(default_factory=dict[str, int])
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    states: Mapping[str, str] | None = None

    @staticmethod
    def of(
        *,
        input_images: Mapping[str, ImageInput] | None = None,
        labels: LabelsOf = None,
        softmax: bool | str | Sequence[str] = False,
        top_k: int | Mapping[str, int] | None = None,
        rename_inputs: Mapping[str, str] | None = None,
        rename_outputs: Mapping[str, str] | None = None,
        states: States = True,
    ) -> PackageInterface:
        """From the arguments of `webdnn.compile`.

        Raises:
            WebDNNError: labels cannot be read.
        """
        by_output = (
            labels if isinstance(labels, Mapping) else {} if labels is None else {"": labels}
        )
        if isinstance(softmax, bool):
            softmax = [""] if softmax else []
        return PackageInterface(
            input_images or {},
            {name: class_labels(each) for name, each in by_output.items()},
            [softmax] if isinstance(softmax, str) else softmax,
            {} if top_k is None else top_k if isinstance(top_k, Mapping) else {"": top_k},
            rename_inputs or {},
            rename_outputs or {},
            None if states is True else states or {},
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for, so that the package takes and gives what the model does."""
        return not any(
            (
                self.images,
                self.labels,
                self.softmax,
                self.top_k,
                self.inputs,
                self.outputs,
                self.states,
            )
        )

    def check_values(self, names: Iterable[str]) -> None:
        """Check that no picture comes into an input that is a constant.

        Args:
            names: the inputs that are given values.

        Raises:
            WebDNNError: one of them is a picture too.
        """
        for name in names:
            if name in self.images:
                raise WebDNNError(
                    f"the input '{name}' is given a value and a picture",
                    why="an input with a value is a constant, and takes nothing when the package runs",
                    hint="give one of them: --value or --input-image",
                )

    def bound_shapes(self, source: Source, shapes: Shapes, dims: Dims) -> Shapes:
        """The sizes of inputs, with those that follow from pictures.

        Args:
            source: the model.
            shapes: the sizes that are given by inputs.
            dims: those that are given by the names of dimensions.

        Raises:
            WebDNNError: an input is no picture, or its sizes are not known.
        """
        if not self.images:
            return shapes
        declared = {value.name: value for value in inputs_of(source.model.graph)}
        found = dict(shapes_by_name([*declared], shapes))
        for name, image in self.images.items():
            position_in([*declared], "input", name or "?")
            tensor = declared[name].type.tensor_type
            if name not in found and tensor.HasField("shape"):
                sizes = [
                    size if isinstance(size, int) or size in dims else None
                    for size in declared_sizes(declared[name])
                ]
                found[name] = bound_sizes(name, image, sizes)
        return found

    def fitted(self, function: FuncOp) -> FittedInterface:
        """What is to be done to a model.

        Args:
            function: its `@main`, at level `onnx`.

        Raises:
            WebDNNError: it has no such inputs or outputs, or two would have one name.
        """
        inputs, outputs = strings_of(function, INPUT_NAMES), strings_of(function, OUTPUT_NAMES)

        def by_output(wanted: Iterable[str], option: Callable[[str], str]) -> dict[str, str]:
            found: dict[str, str] = {}
            for name in wanted:
                output = outputs[position_in(outputs, "output", name)]
                if found.setdefault(output, name) != name:
                    both = f"{option(found[output])} and {option(name)}"
                    raise WebDNNError(
                        f"the output '{output}' is given {both}",
                        why=f"'{output}' is the only output, which is meant where no name is given",
                        hint="leave out one of them",
                    )
            return found

        labels_of = by_output(self.labels, lambda name: f"--labels {_to(name)}FILE")
        labels = {o: self.labels[n] for o, n in labels_of.items()}
        top_k_of = by_output(self.top_k, lambda name: f"--top-k {_to(name)}{self.top_k[name]}")
        top_k = {o: self.top_k[n] for o, n in top_k_of.items()}
        softmax_of = by_output(
            self.softmax, lambda name: f"--softmax-output {name}" if name else "--softmax"
        )
        classes = {name: len(texts) for name, texts in labels.items()}
        passes: list[ModulePass] = [
            ReadImage(image_text(name, image)) for name, image in self.images.items()
        ]
        passes += [AppendSoftmax(o, classes.get(o, 0)) for o in softmax_of]
        passes += [AppendTopK(k, o, classes.get(o, 0)) for o, k in top_k.items()]
        renamings: dict[str, str] = {}
        for old, new in self.outputs.items():
            if old in top_k and new:
                renamings |= zip(top_k_names(old), top_k_names(new), strict=True)
            else:
                renamings[old] = new
        made = [part for o in outputs for part in (top_k_names(o) if o in top_k else (o,))]
        new_inputs = renamed(inputs, "input", self.inputs)
        new_outputs = renamed(made, "output", renamings)
        final = dict(zip(made, new_outputs, strict=True))
        if (new_inputs, new_outputs) != (inputs, made):
            passes.append(RenameInterface(tuple(new_inputs), tuple(new_outputs)))
        states = usual_states(inputs, made) if self.states is None else self.states
        if states:
            pairs = tuple(
                f"{new_inputs[position_in(inputs, 'input', past or '?')]}="
                f"{new_outputs[position_in(made, 'output', present or '?')]}"
                for past, present in states.items()
            )
            passes.append(KeepStates(pairs, where_they_fit=self.states is None))
        return FittedInterface(
            passes,
            {final[top_k_names(o)[1] if o in top_k else o]: t for o, t in labels.items()},
        )


def _to(name: str) -> str:
    """How an option says for which output its value is."""
    return f"{name}=" if name else ""


@dataclass(frozen=True)
class FittedInterface:
    """What is done to a model.

    Attributes:
        passes: those that run as soon as the model is in `nn` ops.
        labels: the names of classes, by the package's names of outputs.
    """

    passes: Sequence[ModulePass] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def among(self, steps: Sequence[tuple[str, ModulePass]]) -> list[tuple[str, ModulePass]]:
        """Steps, each with the stage it leads to, and among them `passes` as soon as the model is in `nn` ops: all
        shapes are known then, and all passes of the level see the new ops."""
        found: list[tuple[str, ModulePass]] = []
        for stage, step in steps:
            found.append((stage, step))
            if isinstance(step, ConvertOnnxToNN):
                found += [(stage, each) for each in self.passes]
        return found

    def label_entries(self, function: FuncOp) -> dict[str, dict[str, Any]]:
        """What the manifest says of the labels of each output.

        Args:
            function: the model's `@main`, after `passes`.

        Raises:
            WebDNNError: there are not as many labels as classes.
        """
        entries: dict[str, dict[str, Any]] = {}
        if not self.labels:
            return entries
        names = strings_of(function, OUTPUT_NAMES)
        for name, type in zip(names, function.function_type.outputs.data, strict=True):
            if name in self.labels:
                assert isinstance(type, TensorType)
                texts = list(self.labels[name])
                of_elements = type.element_type in _INDICES
                axis = {} if of_elements else {"axis": class_axis(shape_of(type), name, len(texts))}
                entries[name] = {**axis, "names": texts}
        return entries


_INDICES = (i32, i64)
"""Outputs of these types hold numbers of classes; all others hold a score for each class."""
