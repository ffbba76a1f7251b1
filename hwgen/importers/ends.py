"""What a network's inputs and outputs are called: as its file calls them, where there are several.

Ports, files of arrays, macros and functions are named from these names. One input alone is
``input``, and one output alone has its layer's name, as the only port of a kind needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..identifiers import identifier
from ..ir import Graph


def input_names(names: Sequence[str]) -> list[str]:
    """The edges' names of inputs that a file calls so."""
    return _apart(names) if len(names) > 1 else ["input"] * len(names)


def with_output_names(graph: Graph, names: Sequence[str | None]) -> Graph:
    """The graph with its outputs named as its file calls them; None: as they are.

    An output that is an input keeps its name. A layer inside that has one of the names gets
    another one.
    """
    if len(graph.outputs) == 1:
        return graph
    inputs = [tensor.name for tensor in graph.inputs]
    wanted = {
        output: name
        for output, name in zip(graph.outputs, names, strict=True)
        if name is not None and output not in inputs
    }
    kept = [output for output in graph.outputs if output not in wanted]
    given = _apart(list(wanted.values()), [*inputs, *kept])
    new = dict(zip(wanted, given, strict=True))
    taken = {*inputs, *kept, *given}
    for node in graph.nodes:
        if node.name in new or node.name in kept:
            continue
        while (name := new.get(node.name, node.name)) in taken:
            new[node.name] = f"{name}_"
        taken.add(name)
    return _renamed(graph, new)


def _apart(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Names as identifiers, each of them once and none of them taken."""
    found: list[str] = []
    for name in names:
        text = identifier(name, prefixed=True)
        while text in (*taken, *found):
            text += "_"
        found.append(text)
    return found


def _renamed(graph: Graph, new: dict[str, str]) -> Graph:
    """The graph with other names of nodes; what a reader knows their layers by stays."""
    nodes = tuple(
        replace(
            node,
            name=new.get(node.name, node.name),
            inputs=tuple(new.get(name, name) for name in node.inputs),
            layer=node.title if node.name in new else node.layer,
        )
        for node in graph.nodes
    )
    return replace(
        graph,
        nodes=nodes,
        outputs=tuple(new.get(name, name) for name in graph.outputs),
        without_reals=tuple(new.get(name, name) for name in graph.without_reals),
        arrays={new.get(name, name): order for name, order in graph.arrays.items()},
    ).verify()
