"""The layers in a Keras configuration, Sequential or functional, in the order of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from ...errors import UserError


@dataclass(frozen=True)
class KerasLayer:
    """One layer as Keras describes it; ``sources`` are the layers that it reads.

    ``place`` : the names of the models inside of the model that it is in, then its own there.
    ``keras`` : the version of Keras that saved it, 2 (or less) or 3.
    """

    class_name: str
    name: str
    config: dict[str, Any]
    sources: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    keras: int = 2

    def error(self, reason: str, hint: str | None = None) -> UserError:
        """An error that names this layer."""
        return UserError(reason, layer=self.name, hint=hint)

    def get(self, key: str) -> Any:
        """A field of the configuration that must be there."""
        if key not in self.config:
            raise self.error(f"its configuration has no {key!r}")
        return self.config[key]

    def integer(self, key: str) -> int:
        """A positive integer."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"{key} is {value!r}, a positive integer is needed")
        return value

    def pair(self, key: str, value: Any = None) -> tuple[int, int]:
        """Two positive integers, or one for both."""
        value = self.get(key) if value is None else value
        items = list(value) if isinstance(value, (list, tuple)) else [value, value]
        good = (isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in items)
        if len(items) != 2 or not all(good):
            raise self.error(f"{key} is {value!r}, two positive integers are needed")
        return items[0], items[1]

    def single(self, key: str, value: Any = None) -> int:
        """A positive integer, or a list of one."""
        value = self.config.get(key, value)
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        number = items[0] if len(items) == 1 else None
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise self.error(f"{key} is {value!r}, a positive integer is needed")
        return number

    def require(self, key: str, allowed: tuple[Any, ...], hint: str | None = None) -> Any:
        """A field (absent: the first allowed value) that must have one of the allowed values."""
        value = self.config.get(key, allowed[0])
        value = tuple(value) if isinstance(value, list) else value
        if value not in allowed:
            names = " or ".join(repr(a) for a in allowed)
            raise self.error(f"{key} {value!r} is not supported (only {names})", hint)
        return value


@dataclass(frozen=True)
class KerasInput:
    """An input of a model, and the shape of one of its frames."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """Layers in an order in which each comes after those that it reads.

    Inputs are no layers, their names occur among sources; ``outputs`` are names of layers.
    """

    inputs: tuple[KerasInput, ...]
    layers: tuple[KerasLayer, ...]
    outputs: tuple[str, ...]


class _Model(NamedTuple):
    """A model as its file has it: the layers without its inputs, in the order of the data."""

    inputs: list[KerasLayer]
    layers: list[KerasLayer]
    outputs: list[str]


def read_network(model: Any, check: Callable[[KerasLayer], None], keras: int) -> Network:
    """The layers of a model configuration in the order of the data, those of models inside of it
    in their places.

    ``check`` raises UserError for a layer that can not be imported; it sees every layer, in the
    order of the file, before connections are judged: so the message names the cause.
    ``keras`` : as of KerasLayer.
    Raises UserError for shared layers, and several inputs or outputs of a model inside.
    """
    inputs, layers, outputs = _ordered(_untuple(model), check)
    named = (KerasInput(each.name, _input_shape(each)) for each in inputs)
    versioned = tuple(replace(layer, keras=keras) for layer in layers)
    return Network(tuple(named), versioned, tuple(outputs))


_MODELS = ("Sequential", "Functional", "Model")


def _ordered(model: Any, check: Callable[[KerasLayer], None]) -> _Model:
    """The inputs and the layers of a model, in the order of the data."""
    if not isinstance(model, dict) or not isinstance(model.get("class_name"), str):
        raise UserError("the model configuration has no class_name")
    kind = _plain(model["class_name"])
    config = model.get("config")
    if kind not in _MODELS:
        raise UserError(
            f"a model of class {kind} is not supported",
            hint="save a Sequential or functional model",
        )
    # Keras 1 wrote a Sequential model's layers without anything around them.
    entries = config if kind == "Sequential" and isinstance(config, list) else None
    if isinstance(config, dict):
        entries = config.get("layers")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UserError("the model configuration has no list of layers")
    if not entries:
        raise UserError("the model has no layers")
    layers = [_layer(entry, index) for index, entry in enumerate(entries)]
    inner: dict[str, _Model] = {}
    for layer, entry in zip(layers, entries, strict=True):
        if layer.class_name in _MODELS:
            try:
                inner[layer.name] = _ordered(entry, check)
            except UserError as error:
                where = error.layer or layer.name
                raise UserError(error.reason, layer=where, hint=error.hint) from None
        elif layer.class_name != "InputLayer":
            check(layer)
    if kind != "Sequential":
        return _unfolded(_functional_order(config, entries, layers), inner)
    if layers[0].class_name != "InputLayer":
        # Old Sequential files keep the input's shape in their first layer, or beside the layers.
        shape = layers[0].config.get("batch_input_shape")
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        first = {"batch_input_shape": shape}
        layers.insert(0, KerasLayer("InputLayer", f"{layers[0].name}_input", first))
    if any(layer.class_name == "InputLayer" for layer in layers[1:]):
        raise UserError("a Sequential model has several inputs", hint="save a functional model")
    chain = [replace(layer, sources=(before.name,)) for before, layer in pairwise(layers)]
    return _unfolded(_Model(layers[:1], chain, [layers[-1].name]), inner)


def _unfolded(model: _Model, inner: dict[str, _Model]) -> _Model:
    """A model with the layers of the models inside in place of them, under names that occur
    once."""
    taken = {layer.name for layer in (*model.inputs, *model.layers)}
    results: dict[str, str] = {}
    out: list[KerasLayer] = []
    for layer in model.layers:
        sources = tuple(results.get(name, name) for name in layer.sources)
        if layer.name not in inner:
            place = layer.place or (layer.name,)
            out.append(replace(layer, sources=sources, place=place))
            continue
        if len(sources) != 1:
            raise layer.error(f"has {len(sources)} inputs, one is supported")
        inputs, layers, outputs = inner[layer.name]
        for what, ends in (("inputs", inputs), ("outputs", outputs)):
            if len(ends) != 1:
                hint = "inside of another model only one is supported"
                raise layer.error(f"the model has {len(ends)} {what}", hint)
        local = {inputs[0].name: sources[0]}
        for each in layers:
            name = each.name if each.name not in taken else f"{layer.name}_{each.name}"
            while name in taken:
                name += "_"
            taken.add(name)
            reads = tuple(local[source] for source in each.sources)
            place = (layer.name, *each.place)
            out.append(replace(each, name=name, sources=reads, place=place))
            local[each.name] = name
        results[layer.name] = local[outputs[0]]
    return _Model(model.inputs, out, [results.get(name, name) for name in model.outputs])


def _untuple(value: Any) -> Any:
    """Keras' JSON writes tuples as {"class_name": "__tuple__", "items": [...]}."""
    if isinstance(value, dict):
        if value.get("class_name") == "__tuple__" and isinstance(value.get("items"), list):
            return [_untuple(item) for item in value["items"]]
        return {key: _untuple(item) for key, item in value.items()}
    return [_untuple(item) for item in value] if isinstance(value, list) else value


def _plain(class_name: str) -> str:
    """Registered classes bear a package: ``Custom>QConv2D``."""
    return class_name.rsplit(">", 1)[-1]


def _layer(entry: dict[str, Any], index: int) -> KerasLayer:
    kind, config = entry.get("class_name"), entry.get("config")
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise UserError(f"layer number {index + 1} has no class_name or no config")
    name = entry.get("name", config.get("name"))
    if not isinstance(name, str) or not name:
        raise UserError(f"layer number {index + 1} ({kind}) has no name")
    return KerasLayer(_plain(kind), name, config)


def _input_shape(layer: KerasLayer) -> tuple[int, ...]:
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if not isinstance(shape, list) or len(shape) < 2:
        raise layer.error("the shape of the model's input is not in the file", "give input_shape")
    lengths = shape[1:]
    if len(lengths) > 3 or not all(isinstance(n, int) and n >= 1 for n in lengths):
        raise layer.error(
            f"input shape {lengths} is not supported",
            "give it as (height, width, channels) or (features,), each a fixed number",
        )
    return tuple(lengths)


_ASTRAY = "is not on the way from an input to an output"


def _functional_order(config: Any, entries: list[Any], layers: list[KerasLayer]) -> _Model:
    """Follow the connections from the inputs to the outputs."""
    by_name = {layer.name: layer for layer in layers}
    if len(by_name) != len(layers):
        raise UserError("two layers have the same name")
    inputs = [layer for layer in layers if layer.class_name == "InputLayer"]
    stated = _ends(config.get("input_layers"))
    inputs.sort(key=lambda x: stated.index(x.name) if x.name in stated else len(stated))
    outputs = list(dict.fromkeys(_ends(config.get("output_layers"))))
    for what, ends in (("inputs", inputs), ("outputs", outputs)):
        if not ends:
            raise UserError(f"the model has 0 {what}", hint="save a model that has some")
    waiting = []
    for entry, layer in zip(entries, layers, strict=True):
        if layer.class_name != "InputLayer":
            sources = _sources(entry.get("inbound_nodes"), layer)
            waiting.append(replace(layer, sources=sources))
    order = {each.name: each for each in inputs}
    while waiting:
        ready = [layer for layer in waiting if all(s in order for s in layer.sources)]
        if not ready:
            raise UserError(_ASTRAY, layer=waiting[0].name)
        order |= {layer.name: layer for layer in ready}
        waiting = [layer for layer in waiting if layer.name not in order]
    read = {source for layer in order.values() for source in layer.sources}
    for name in order:
        if name not in read and name not in outputs:
            raise UserError(_ASTRAY, layer=name)
    if unknown := [name for name in outputs if name not in order]:
        raise UserError(f"output_layers: no layer is named {unknown[0]!r}")
    for each in inputs:
        del order[each.name]
    # Outputs that nobody reads come last.
    last = [order.pop(name) for name in outputs if name in order and name not in read]
    return _Model(inputs, [*order.values(), *last], outputs)


def _ends(value: Any) -> list[str]:
    """Names in input_layers or output_layers: [["a", 0, 0], ...], or ["a", 0, 0] for one."""
    if not isinstance(value, list) or not value:
        return []
    items = [value] if isinstance(value[0], str) else value
    return [item[0] for item in items if isinstance(item, list) and item]


def _histories(value: Any) -> list[Any]:
    """The [layer, node, tensor] of each tensor in the arguments of a call, as Keras 3 writes it."""
    if isinstance(value, list):
        return [history for item in value for history in _histories(item)]
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return []
    history = value["config"].get("keras_history")
    return [] if history is None else [history]


def _sources(nodes: Any, layer: KerasLayer) -> tuple[str, ...]:
    """The layers that this one reads."""
    if not isinstance(nodes, list) or not nodes:
        raise layer.error("is not connected")
    if len(nodes) > 1:
        raise layer.error("is used several times", "shared layers are not supported yet")
    calls = nodes[0]
    if isinstance(calls, dict):
        calls = _histories(calls.get("args"))
    if isinstance(calls, list) and calls and isinstance(calls[0], str):
        calls = [calls]
    good = isinstance(calls, list) and calls
    if not good or not all(isinstance(c, list) and c and isinstance(c[0], str) for c in calls):
        raise layer.error("its inbound_nodes are not understood")
    return tuple(call[0] for call in calls)
