"""A network as a C program: a function for every layer, and where each edge lies in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import UserError
from ...identifiers import identifier
from ...ir import Graph, Node, Tensor
from ...ir.ops import BatchNorm, Flatten, Reshape
from ...numeric import ceil_div, type_text
from ...passes import legalize
from .arith import Helpers
from .layer import Layer, storage
from .layers import LAYERS
from .text import comment, guarded, indented

_ALIGNMENT = 8
_MOVES_NOTHING = (Flatten, Reshape)


@dataclass(frozen=True)
class _Memory:
    """Where edges lie: offsets in bytes in the workspace, of ``size`` bytes."""

    offsets: dict[str, int]
    size: int


def c_files(graph: Graph, stem: str | None = None) -> dict[str, str]:
    """The source and the header of a network, by file name.

    graph : as it was imported; batch norms are folded first, and all of it is brought to integers
        that fit where a layer needs more than 64 bits.

    Raises UserError naming a layer that has no C form.
    """
    if any(isinstance(node.op, BatchNorm) for node in graph.nodes):
        graph = legalize(graph)
    try:
        return _files(graph, identifier(stem or graph.name))
    except UserError as wide:
        try:
            return _files(legalize(graph), identifier(stem or graph.name))
        except UserError:
            raise wide from None


def _files(graph: Graph, stem: str) -> dict[str, str]:
    helpers = Helpers()
    places = _aliases(graph)
    layers = []
    for number, node in enumerate(graph.nodes):
        if isinstance(node.op, _MOVES_NOTHING):
            continue
        try:
            layers.append(_function(graph, node, _layer_name(number, node), helpers))
        except UserError as error:
            raise UserError(error.reason, layer=node.name, hint=error.hint) from None
    memory = _placed(graph, places)
    run = _run(graph, stem, places, memory)
    head = f'/* {comment(graph.name)}: made by hwgen; see {stem}.h. */\n#include "{stem}.h"\n\n'
    body = "\n".join(layers)
    source = head + helpers.text() + "\n" + body + "\n" + run
    return {f"{stem}.c": source, f"{stem}.h": _header(graph, stem, memory)}


def _parameters(graph: Graph) -> tuple[list[str], list[str]]:
    """Names of the parameters for inputs and outputs: numbered, so that no two are the same."""
    return (
        [f"in{n}_{identifier(t.name, prefixed=True)}" for n, t in enumerate(graph.inputs)],
        [f"out{n}_{identifier(name, prefixed=True)}" for n, name in enumerate(graph.outputs)],
    )


def _layer_name(number: int, node: Node) -> str:
    return f"layer_{number}_{identifier(node.name, prefixed=True)}"


def _function(graph: Graph, node: Node, name: str, helpers: Helpers) -> str:
    inputs, output = graph.operands(node), graph.tensors[node.name]
    layer = Layer(name, node, inputs, output, helpers)
    make = LAYERS.get(type(node.op))
    if make is None:
        raise UserError(f"{type(node.op).__name__} has no C form")
    lines = make(layer)
    names = ["x"] if len(inputs) == 1 else [f"x{n}" for n in range(len(inputs))]
    arguments = [f"const {storage(t)} *restrict {n}" for n, t in zip(names, inputs, strict=True)]
    head = f"static void {name}({', '.join(arguments)}, {storage(output)} *restrict y)"
    return layer.tables + f"{head}\n{{\n{indented(lines)}}}\n"


def _aliases(graph: Graph) -> dict[str, str]:
    """The edge whose memory each edge has: a reshape's is its input's."""
    result = {t.name: t.name for t in graph.inputs}
    for node in graph.nodes:
        moves = not isinstance(node.op, _MOVES_NOTHING)
        result[node.name] = node.name if moves else result[node.inputs[0]]
    return result


def _bytes(tensor: Tensor) -> int:
    size = tensor.size * _element_bytes(tensor)
    return ceil_div(size, _ALIGNMENT) * _ALIGNMENT


def _element_bytes(tensor: Tensor) -> int:
    return int(re.sub(r"\D", "", storage(tensor))) // 8


def _placed(graph: Graph, places: dict[str, str]) -> _Memory:
    """Edges in one piece of memory: each takes the first gap as long as it is needed."""
    given = {t.name for t in graph.inputs}
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[places[name]] = index
    for name in graph.outputs:
        last[places[name]] = len(graph.nodes)
    offsets: dict[str, int] = {}
    live: list[tuple[int, int, str]] = []
    size = 0
    for index, node in enumerate(graph.nodes):
        live = [part for part in live if last.get(part[2], -1) >= index]
        if places[node.name] != node.name or node.name in given:
            continue
        needed = _bytes(graph.tensors[node.name])
        start = 0
        for begin, end, _ in sorted(live):
            if begin - start >= needed:
                break
            start = max(start, end)
        offsets[node.name] = start
        live.append((start, start + needed, node.name))
        size = max(size, start + needed)
    return _Memory(offsets, max(size, _ALIGNMENT))


def _signature(graph: Graph, stem: str) -> str:
    names_in, names_out = _parameters(graph)
    inputs = [f"const {storage(t)} *{name}" for t, name in zip(graph.inputs, names_in, strict=True)]
    outputs = [
        f"{storage(graph.tensors[n])} *{name}"
        for n, name in zip(graph.outputs, names_out, strict=True)
    ]
    return f"void {stem}_run({', '.join([*inputs, *outputs])}, void *workspace)"


def _run(graph: Graph, stem: str, places: dict[str, str], memory: _Memory) -> str:
    names_in, names_out = _parameters(graph)
    given = {t.name: name for t, name in zip(graph.inputs, names_in, strict=True)}

    def pointer(name: str, constant: bool) -> str:
        place, tensor = places[name], graph.tensors[name]
        if place in given:
            return given[place]
        kind = f"{'const ' if constant else ''}{storage(tensor)} *"
        return f"({kind})(bytes + {memory.offsets[place]})"

    lines = ["unsigned char *bytes = (unsigned char *)workspace;"]
    for number, node in enumerate(graph.nodes):
        if isinstance(node.op, _MOVES_NOTHING):
            continue
        reads = [pointer(name, True) for name in node.inputs]
        name = _layer_name(number, node)
        lines.append(f"{name}({', '.join(reads)}, {pointer(node.name, False)});")
    for name, target in zip(graph.outputs, names_out, strict=True):
        tensor = graph.tensors[name]
        lines += [f"for (int32_t i = 0; i < {tensor.size}; i++) {{",
                  f"    {target}[i] = ({pointer(name, True)})[i];", "}"]  # fmt: skip
    if all(places[name] in given for name in graph.outputs):
        lines.append("(void)bytes;")
    return f"{_signature(graph, stem)}\n{{\n{indented(lines)}}}\n"


def _order(graph: Graph, tensor: Tensor) -> str:
    """How the model file's arrays differ from those of the code."""
    order = graph.arrays.get(tensor.name)
    return "" if order is None else f" (in the model file {order.told()})"


def _header(graph: Graph, stem: str, memory: _Memory) -> str:
    described = [
        f"   {name}: {list(t.shape)} of {type_text(t.type, 6)}{_order(graph, t)}"
        for names, tensors in zip(
            _parameters(graph), (graph.inputs, [graph.tensors[n] for n in graph.outputs]),
            strict=True,
        )
        for name, t in zip(names, tensors, strict=True)
    ]  # fmt: skip
    sizes = [f"#define {stem.upper()}_{what}_{n}_SIZE {t.size}" for what, tensors in (
        ("INPUT", graph.inputs), ("OUTPUT", [graph.tensors[n] for n in graph.outputs])
    ) for n, t in enumerate(tensors)]  # fmt: skip
    body = "\n".join([
        "#include <stdint.h>", "",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        *sizes,
        f"#define {stem.upper()}_WORKSPACE_BYTES {memory.size}", "",
        f"{_signature(graph, stem)};", "",
        "#ifdef __cplusplus", "}", "#endif", "",
    ])  # fmt: skip
    return "\n".join([
        f"/* {comment(graph.name)}: made by hwgen. One frame in, one out: integers, channels last.",
        *described,
        "   The workspace (aligned to 8 bytes) is the caller's; nothing is kept between calls. */",
        guarded(stem, body),
    ])  # fmt: skip
