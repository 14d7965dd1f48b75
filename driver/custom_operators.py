"""Operators that ONNX does not define, and users do: from Python, from files, from packages that are installed."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import onnx
from onnx.defs import OpSchema
from onnx.shape_inference import InferenceContext
from xdsl.ir import Dialect, Operation

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.foreign_code import RAISED, foreign_errors, place_of, reason
from webdnn.dialects.numpy_meaning.trait import NumpyMeaning
from webdnn.dialects.onnx import OnnxOp, make_op_class
from webdnn.dialects.onnx.ops import Infer
from webdnn.dialects.time_limit import limited
from webdnn.lowering.nn_to_linalg.trait import LinalgLowering
from webdnn.lowering.onnx_to_nn.checked import checked
from webdnn.lowering.onnx_to_nn.registry import Entry, Lowering, NNLowering

ENTRY_POINTS = "webdnn.operators"
"""The group of entry points by which an installed package brings operators: a `CustomOperator`, a list of them, or a
module that holds some."""


@dataclass(frozen=True, eq=False)
class CustomOperator:
    """An operator that ONNX does not define.

    Attributes:
        schema: its domain, name, version, inputs, outputs, types and attributes, as the `onnx` package says them.
        lowering: gets the node, whose operands are values of level `nn`, and a builder of `nn` ops; gives the result,
            or the results in the order of the schema. What it cannot express raises `Unsupported`.
        meaning: what it computes, in numpy: gets the arrays of its inputs (None for an absent one) and its attributes
            as keywords, and gives the array of its result, or a list of them. Level `onnx` cannot be run without it.
        infer: the types of its results, for ONNX's inference of shapes; sizes may be unknown when it is called. Without
            it they are known from level `nn` on.
        nn_ops: the ops of level `nn` that its lowering makes and that are not WebDNN's, so that they can be read from
            files. Each has the traits `NumpyMeaning` and `LinalgLowering`.

    Raises:
        WebDNNError: ONNX has this operator already, or a field is not what it should be.
    """

    schema: OpSchema
    lowering: Lowering
    meaning: Callable[..., Array | Sequence[Array]] | None = None
    infer: Infer | None = None
    nn_ops: Sequence[type[Operation]] = ()
    _origin: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        schema: Any = self.schema
        if not isinstance(schema, OpSchema):
            raise WebDNNError("the schema of a custom operator is an onnx.defs.OpSchema")
        if why := self._fault():
            raise WebDNNError(f"the custom operator {self.name} is not valid", why=why)

    @property
    def name(self) -> str:
        """The domain and the name: `com.example.Swish`."""
        return f"{self.schema.domain or 'ai.onnx'}.{self.schema.name}"

    @property
    def place(self) -> str:
        """Where it is defined, for messages."""
        return place_of(self.lowering)

    @property
    def origin(self) -> str:
        """What brought it, for messages: a file, or an installed package."""
        return self._origin or f"the program ({self.place})"

    def brought_by(self, origin: str) -> None:
        """Note what brought it, if that is not known yet."""
        if not self._origin:
            object.__setattr__(self, "_origin", origin)

    def _fault(self) -> str:
        schema = self.schema
        if schema.domain in ("", "ai.onnx") and onnx.defs.has(schema.name):
            return "ONNX defines this operator itself"
        if schema.since_version < 1:
            return f"its version is {schema.since_version}, and versions begin with 1"
        if schema.has_type_and_shape_inference_function:
            return "its shape function is an argument of CustomOperator (infer=...), not a part of the schema"
        functions = {"lowering": self.lowering, "meaning": self.meaning, "infer": self.infer}
        for name, function in functions.items():
            if not callable(function) and (name == "lowering" or function is not None):
                return f"its {name} is not a function"
        for op in self.nn_ops:
            for trait in (NumpyMeaning, LinalgLowering):
                if op.get_trait(trait) is None:
                    return f"its op {op.name} lacks the trait {trait.__name__}"
        return ""


CustomOps: TypeAlias = Sequence[CustomOperator | str | Path]
"""Custom operators, or Python files of them."""


def custom_operators(given: CustomOps) -> tuple[CustomOperator, ...]:
    """All operators that a compilation knows beside ONNX's own: those given, and those of installed packages.

    Files are run.

    Raises:
        WebDNNError: a file or a package cannot be loaded or holds no operator, or an operator is declared twice.
    """
    found = list(installed_operators())
    for each in given:
        found += [each] if isinstance(each, CustomOperator) else read_operators(Path(each))
    by_version: dict[tuple[str, int], CustomOperator] = {}
    for operator in dict.fromkeys(found):
        version = operator.schema.since_version
        first = by_version.setdefault((operator.name, version), operator)
        if first is not operator:
            raise WebDNNError(
                f"the custom operator {operator.name} (version {version}) is declared twice",
                where=[first.place, operator.place],
                hint="leave out one of them, or give them different versions (since_version)",
            )
    return tuple(by_version.values())


def read_operators(path: Path) -> list[CustomOperator]:
    """The operators that the variables of a Python file hold. The file is run; what lies beside it can be imported.

    Raises:
        WebDNNError: it is missing, raises an exception, or holds no operator.
    """
    if not path.is_file():
        raise WebDNNError("there is no such file of custom operators", where=str(path))
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"webdnn_custom_ops_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise WebDNNError(
            "the file of custom operators is not Python", where=str(path), hint="a file NAME.py"
        )
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[name] = module  # dataclasses in it look for their module
    sys.path.insert(0, folder)
    try:
        with limited("the file of custom operators", [str(path)]):
            spec.loader.exec_module(module)
    except RAISED as error:
        del sys.modules[name]
        raise _not_loaded(path, error) from error
    finally:
        sys.path.remove(folder)
    if not (found := _operators_in(module)):
        raise WebDNNError(
            "the file defines no custom operator",
            where=str(path),
            hint="name = webdnn.CustomOperator(...), see docs/custom-operators.md",
        )
    for operator in found:
        operator.brought_by(str(path))
    return found


def _not_loaded(path: Path, error: BaseException) -> WebDNNError:
    if isinstance(error, WebDNNError):  # of CustomOperator
        return WebDNNError(
            error.what,
            where=list(dict.fromkeys([str(path), *error.where])),
            why=error.why,
            hint=error.hint,
        )
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    if line is None:
        trace = error.__traceback__
        while trace is not None:
            if Path(trace.tb_frame.f_code.co_filename) == path:
                line = trace.tb_lineno
            trace = trace.tb_next
    return WebDNNError(
        "the file of custom operators cannot be run",
        where=str(path) if line is None else f"{path}:{line}",
        why=reason(error),
    )


def _operators_in(found: Any) -> list[CustomOperator]:
    """What an entry point names, or a file holds."""
    if isinstance(found, CustomOperator):
        return [found]
    if isinstance(found, ModuleType):
        found = [each for each in vars(found).values() if isinstance(each, CustomOperator)]
    is_list = isinstance(found, Sequence) and all(isinstance(o, CustomOperator) for o in found)
    return list(dict.fromkeys(found)) if is_list else []


@cache
def installed_operators() -> tuple[CustomOperator, ...]:
    """The operators of the packages that are installed beside this one.

    Raises:
        WebDNNError: one of these packages cannot be loaded.
    """
    return tuple(
        operator for entry in entry_points(group=ENTRY_POINTS) for operator in _installed(entry)
    )


def _installed(entry: EntryPoint) -> list[CustomOperator]:
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        with limited(f"the package {package}, which brings custom operators,", [entry.value]):
            found = _operators_in(entry.load())
    except RAISED as error:
        raise WebDNNError(
            f"the custom operators of the package {package} cannot be loaded",
            where=entry.value,
            why=error.what if isinstance(error, WebDNNError) else reason(error),
            hint=f"mend the package, or pip uninstall {package}",
        ) from error
    if not found:
        raise WebDNNError(
            f"the package {package} names no custom operator",
            where=entry.value,
            why=f"an entry point of {ENTRY_POINTS} is a CustomOperator, a list of them, or a module that holds some",
        )
    for operator in found:
        operator.brought_by(f"the package {package}")
    return found


def operator_classes(operators: Sequence[CustomOperator]) -> tuple[type[OnnxOp], ...]:
    """The classes of operators in the `onnx` dialect. They carry all that is known of these, so that no table does."""
    newest: dict[str, int] = {}
    for operator in operators:
        newest[operator.name] = max(newest.get(operator.name, 0), operator.schema.since_version)
    return tuple(_class_of(operator, newest[operator.name]) for operator in operators)


def _class_of(operator: CustomOperator, newest: int) -> type[OnnxOp]:
    schema = operator.schema
    entry = Entry(schema.since_version, checked(operator.lowering), ())
    meaning = () if operator.meaning is None else (NumpyMeaning(operator.meaning),)
    return make_op_class(
        _copy(schema),
        newest,
        infer=_inference(operator),
        traits=(NNLowering(entry), *meaning),
        origin=operator.origin,
    )


def _copy(schema: OpSchema) -> OpSchema:
    """The schema as an object of its own: ONNX's library keeps the shape function in it."""
    return OpSchema(
        schema.name,
        "" if schema.domain == "ai.onnx" else schema.domain,
        schema.since_version,
        schema.doc or "",
        inputs=schema.inputs,
        outputs=schema.outputs,
        type_constraints=[
            (each.type_param_str, list(each.allowed_type_strs), each.description)
            for each in schema.type_constraints
        ],
        attributes=list(schema.attributes.values()),
    )


def _inference(operator: CustomOperator) -> Infer | None:
    """The shape function of an operator, whose errors say where they were raised and for which node."""
    function = operator.infer
    if function is None:
        return None

    def infer(types: InferenceContext) -> None:
        # `node Swish[com.example] (swish_1)`
        named = re.search(r"\((.*)\)$", types.get_display_name())
        where = [named[1]] if named is not None else []
        with foreign_errors(f"the shape function of {operator.name}", function, where):
            function(types)

    return infer


def dialects_with(
    dialects: Mapping[str, Callable[[], Dialect]], operators: Sequence[CustomOperator]
) -> dict[str, Callable[[], Dialect]]:
    """Dialects by name, with the ops of custom operators."""
    ops: dict[str, list[type[Operation]]] = {}
    for op in (*operator_classes(operators), *(op for o in operators for op in o.nn_ops)):
        ops.setdefault(op.name.partition(".")[0], []).append(op)
    extended = {name: _extended(name, dialects.get(name), more) for name, more in ops.items()}
    return {**dialects, **extended}


def _extended(
    name: str, dialect: Callable[[], Dialect] | None, ops: Sequence[type[Operation]]
) -> Callable[[], Dialect]:
    def load() -> Dialect:
        known = Dialect(name) if dialect is None else dialect()
        return Dialect(name, [*known.operations, *dict.fromkeys(ops)], [*known.attributes])

    return load


__all__ = [
    "CustomOperator",
    "CustomOps",
    "custom_operators",
    "dialects_with",
    "installed_operators",
    "operator_classes",
    "read_operators",
]
