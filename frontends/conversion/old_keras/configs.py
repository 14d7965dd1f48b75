"""Configurations of Keras 1, 2 and 3 as they stand in HDF5 files, to those that Keras 3 builds models of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.lambdas import function_of_user
from webdnn.frontends.conversion.old_keras import arguments
from webdnn.frontends.conversion.old_keras.changes import Context, changed
from webdnn.frontends.conversion.old_keras.merge import convert_merge
from webdnn.frontends.conversion.old_keras.nodes import convert_call
from webdnn.frontends.conversion.old_keras.source import Config, Source

_FUNCTIONAL = ("Functional", "Model")
_MODELS = (*_FUNCTIONAL, "Sequential")
_NEWEST_OLD = (3, 0)
"""Files of this version on have today's classes and arguments."""


class Configs:
    """Rewrites the configurations of one file.

    Args:
        source: the file.
        parameters: the names of the arguments of a class of `keras.layers`; None where there is no such class.
        operation: the module of an operation of `keras.ops`; None where there is none of that name.
        custom: the names of the user's classes and functions.
    """

    def __init__(
        self,
        source: Source,
        parameters: Callable[[str], Collection[str] | None],
        operation: Callable[[str], str | None],
        custom: Collection[str],
    ) -> None:
        self._source = source
        self._operation = operation
        self._parameters = parameters
        self._custom = custom
        self._is_old = source.version < _NEWEST_OLD
        ordering = next(_orderings(source.config), "tf")
        self._data_format = arguments.ORDERINGS.get(ordering, ordering)
        self._made_up = 0
        self.layers: dict[str, tuple[str, Config]] = {}
        """Of each layer, by its name of today, the class and the arguments that the file says."""

    def model(self) -> Config:
        """The model of the file.

        Raises:
            WebDNNError: it has a layer or an argument that neither Keras nor the user knows.
        """
        entry = self._source.config
        if entry.get("class_name") == "Sequential" and isinstance(entry["config"], list):
            names = list(self._source.layer_names)
            if len(names) == len(entry["config"]):  # they say what nested models are called
                pairs = zip(names, entry["config"], strict=True)
                entry = {**entry, "config": [{"name": name, **item} for name, item in pairs]}
        return self._entry(entry)

    def _entry(self, entry: Config) -> Config:
        """A layer or a model."""
        class_name: str = entry["class_name"]
        settings = entry["config"]
        if class_name in self._custom or entry.get("registered_name") in self._custom:
            return self._users(entry)
        if class_name == "Sequential":
            return self._sequential(entry)
        if class_name in _FUNCTIONAL and isinstance(settings, dict) and "layers" in settings:
            return self._functional(entry)
        return self._layer(entry)

    def _users(self, entry: Config) -> Config:
        settings = entry["config"]
        if isinstance(settings, dict) and {"layers", "input_layers"} <= settings.keys():
            settings = self._functional(entry)["config"]
        registered = entry.get("registered_name") or entry["class_name"]
        return {
            "module": None,
            "class_name": entry["class_name"].rpartition(">")[2],
            "config": settings,
            "registered_name": registered,
        }

    # models

    def _functional(self, entry: Config) -> Config:
        settings = entry["config"]
        models: set[str] = set()
        if self._is_old:
            models = {item["name"] for item in settings["layers"] if item["class_name"] in _MODELS}

        def reference(name: str, call: int, result: int) -> Config:
            # the first call of a model was once that which made it
            history = [safe_name(name), max(call - (name in models), 0), result]
            inner = {"shape": [], "dtype": "float32", "keras_history": history}
            return {"class_name": "__keras_tensor__", "config": inner}

        layers: list[Config] = []
        for item in settings["layers"]:
            inner = item["config"]
            if isinstance(inner, dict) and "name" not in inner:
                inner = {**inner, "name": item["name"]}
            built = self._entry({**item, "config": inner})
            calls = [
                convert_call(call, built["class_name"], reference) for call in item["inbound_nodes"]
            ]
            layers.append({**built, "name": safe_name(item["name"]), "inbound_nodes": calls})
        ends = {key: _ends(settings[key], models) for key in ("input_layers", "output_layers")}
        name = settings.get("name") or entry.get("name") or self._make_up("model")
        return _keras("Functional", {"name": safe_name(name), "layers": layers, **ends})

    def _sequential(self, entry: Config) -> Config:
        settings = entry["config"]
        items: list[Config] = settings if isinstance(settings, list) else settings["layers"]
        given = entry.get("name") if isinstance(settings, list) else settings.get("name")
        name = safe_name(given or self._make_up("sequential"))
        if not items:
            raise WebDNNError("the model has no layers", where=name)
        first, *rest = items
        if first["class_name"] == "Merge" and "layers" in first["config"]:
            return self._merged(first, rest, name)
        layers = [self._entry(item) for item in items]
        if layers[0]["class_name"] != "InputLayer":
            outer = settings.get("build_input_shape") if isinstance(settings, dict) else None
            layers.insert(0, self._input_of(first, layers[0], outer))
        return _keras("Sequential", {"name": name, "layers": layers})

    def _merged(self, merge: Config, rest: list[Config], name: str) -> Config:
        """A Sequential of Keras 1 that begins with several others: a functional model."""
        layers: list[Config] = []
        inputs: list[list[Any]] = []
        ends: list[list[Any]] = []

        def add(built: Config, sources: list[list[Any]]) -> list[Any]:
            label = built["config"]["name"]
            calls = [_call(sources)] if sources else []
            layers.append({**built, "name": label, "inbound_nodes": calls})
            return [label, 0, 0]

        for branch in merge["config"]["layers"]:
            built = self._entry(branch)
            inputs.append(add(self._input_of(branch, built, None), []))
            ends.append(add(built, [inputs[-1]]))
        own = {key: value for key, value in merge["config"].items() if key != "layers"}
        for item in ({**merge, "config": own}, *rest):
            ends = [add(self._entry(item), ends)]
        model = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": ends}
        return _keras("Functional", model)

    def _input_of(self, item: Config, built: Config, shape: Any) -> Config:
        """The input of a first layer, which said its shape itself in Keras 1 and 2."""
        found = _input_shape(item) or (shape and (shape, None))
        if not found:
            raise WebDNNError(
                "the model does not say the shape of its input",
                where=built["config"]["name"],
                hint="call the model in Keras once, and save it again",
            )
        shape, dtype = found
        is_lookup = built["class_name"] == "Embedding"
        name = f"{built['config']['name']}_input"
        if built["class_name"] == "Sequential":
            name = built["config"]["layers"][0]["config"]["name"]
        settings = {
            "batch_shape": shape,
            "dtype": _type_name(dtype or ("int32" if is_lookup else "float32")),
            "name": name,
        }
        return _keras("InputLayer", settings)

    def _make_up(self, prefix: str) -> str:
        self._made_up += 1
        return f"{prefix}_{self._made_up}_of_file"

    # layers

    def _layer(self, entry: Config) -> Config:
        old_name: str = entry["class_name"]
        settings = dict(entry["config"])
        label = settings.get("name") or entry.get("name") or self._make_up(old_name.lower())
        settings["name"] = safe_name(label)
        self.layers[settings["name"]] = (old_name, entry["config"])
        if old_name == "InputLayer":
            return _keras("InputLayer", _input_settings(settings))
        if old_name == "Merge":
            return self._known(*convert_merge(settings, self._custom))
        if old_name == "Lambda":
            function = _function_name(settings["function"])
            given = settings.get("arguments")
            if given and given.keys() == {"scale"} and arguments.SCALED_SUM.fullmatch(label):
                return self._known("CustomScaleLayer", {"name": settings["name"], **given})
            return _keras("Lambda", function_of_user(label, function, given, self._custom))
        if not self._is_old and not {"trainable", "dtype"} & settings.keys():
            # a layer and an operation may have one name, but only a layer has these
            module = self._operation(old_name)
            if module is not None:
                return {**_keras(old_name, settings), "module": module, "registered_name": old_name}
        class_name = arguments.CLASS_NAMES.get(old_name, old_name)
        if self._is_old:
            settings = self._renamed(class_name, settings)
            shapes = tuple(array.shape for array in self._source.weights.get(label, ()))
            context = Context(
                old_name, self._source.version, self._source.backend, self._data_format, shapes
            )
            class_name, settings = changed(class_name, settings, context)
        return self._known(class_name, settings, old_name)

    def _renamed(self, class_name: str, settings: Config) -> Config:
        own = arguments.OWN_ARGUMENT_NAMES.get(class_name, {})
        found: Config = dict(arguments.DEFAULTS.get(class_name, {}))
        for key, value in settings.items():
            if key in arguments.WITHOUT_MEANING or key.endswith(arguments.OF_TRAINING):
                continue
            if key == "dtype" and class_name not in arguments.OF_WHOLE_NUMBERS:
                continue
            if key == "input_dim" and class_name != "Embedding":
                continue
            new = own.get(key) or arguments.ARGUMENT_NAMES.get(key, key)
            if isinstance(value, str) and key.endswith("activation"):
                value = arguments.ACTIVATIONS.get(value, value)
            found[new] = value
        for parts in arguments.KERNEL_SIZES:
            if parts[0] in found:
                found["kernel_size"] = [found.pop(part) for part in parts]
        if found.get("data_format") in arguments.ORDERINGS:
            found["data_format"] = arguments.ORDERINGS[str(found["data_format"])]
        return found

    def _known(self, class_name: str, settings: Config, old_name: str = "") -> Config:
        """A layer of Keras 3, or one of ours."""
        is_gone = class_name in arguments.GONE
        known = self._parameters(class_name)
        module = arguments.ELSEWHERE.get(class_name)
        if module is not None:
            return {**_keras(class_name, settings), "module": module}
        if known is None and not is_gone:
            raise WebDNNError(
                f"Keras has no layer {old_name}",
                where=settings["name"],
                hint="a layer of your own is given with --custom-objects FILE.py",
            )
        kept: Config = {}
        for key, value in settings.items():
            if known is not None and key not in known and self._is_old:
                if key in arguments.NEUTRAL and value == arguments.NEUTRAL[key]:
                    continue
                raise WebDNNError(
                    f"{class_name} has no argument {key} in Keras 3",
                    where=settings["name"],
                    why=f"the file says {key}={value!r}",
                )
            kept[key] = self._value(value)
        if is_gone:
            return {
                "module": None,
                "class_name": class_name,
                "config": kept,
                "registered_name": f"{arguments.PACKAGE}>{class_name}",
            }
        return _keras(class_name, kept)

    def _value(self, value: Any) -> Any:
        """An argument: a layer, an activation function, or anything else."""
        if isinstance(value, dict):
            if isinstance(value.get("config"), dict | list) and self._is_layer(value):
                return self._entry(value)
            return {key: self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, str) and value.startswith(f"{arguments.PACKAGE}>"):
            return {"module": None, "class_name": "function", "config": value, "registered_name": value}  # fmt: skip
        return value

    def _is_layer(self, value: Config) -> bool:
        name = arguments.CLASS_NAMES.get(value.get("class_name", ""), value.get("class_name", ""))
        if name in (*_MODELS, *self._custom, *arguments.GONE):
            return True
        return self._parameters(name) is not None


def _function_name(function: Any) -> str | None:
    """The name of a function, where the file has no code of it."""
    if isinstance(function, dict) and function.get("class_name") == "function":
        function = function["config"]
    return function if isinstance(function, str) else None


def safe_name(name: str) -> str:
    """A layer's name without the one character that Keras 3 does not have in names."""
    return name.replace("/", "_")


def _keras(class_name: str, settings: Config) -> Config:
    module = "keras" if class_name in _MODELS else "keras.layers"
    if class_name == "Functional":
        module = "keras.src.models.functional"
    return {"module": module, "class_name": class_name, "config": settings, "registered_name": None}


def _call(sources: list[list[Any]]) -> Config:
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [], "dtype": "float32", "keras_history": source},
        }
        for source in sources
    ]
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": {}}


def _ends(value: Any, models: Collection[str]) -> Any:
    """Inputs or outputs, with the names and the numbers of calls of today."""
    if isinstance(value, dict):
        return {key: _ends(item, models) for key, item in value.items()}
    if len(value) == 3 and isinstance(value[0], str):
        name, call, result = value
        return [safe_name(name), max(call - (name in models), 0), result]
    return [_ends(item, models) for item in value]


def _input_settings(settings: Config) -> Config:
    shape = settings.get("batch_shape") or settings.get("batch_input_shape")
    dtype = settings.get("dtype") or settings.get("input_dtype") or "float32"
    return {"batch_shape": shape, "dtype": _type_name(dtype), "name": settings["name"]}


def _input_shape(item: Config) -> tuple[Any, Any] | None:
    """The shape and the type of the input of a first layer, of the first layer in it, or of what it wraps."""
    settings = item["config"]
    if isinstance(settings, list):
        return _input_shape(settings[0]) if settings else None
    shape = settings.get("batch_input_shape") or settings.get("batch_shape")
    if shape:
        return shape, settings.get("input_dtype") or settings.get("dtype")
    if settings.get("layers"):
        names = [
            entry[0] if isinstance(entry, list) else entry
            for entry in settings.get("input_layers", ())
        ]
        inner = [layer for layer in settings["layers"] if layer.get("name") in names]
        return _input_shape(inner[0] if inner else settings["layers"][0])
    return _input_shape(settings["layer"]) if "layer" in settings else None


def _type_name(dtype: Any) -> str:
    """Of a type, or of a policy of types."""
    if isinstance(dtype, dict):
        return _type_name(dtype.get("config", {}).get("name", "float32"))
    return "float32" if dtype == "float64" else str(dtype)


def _orderings(value: Any) -> Generator[str]:
    """What layers of the model say of the place of channels."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("dim_ordering", "data_format") and isinstance(item, str):
                yield item
            else:
                yield from _orderings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _orderings(item)
