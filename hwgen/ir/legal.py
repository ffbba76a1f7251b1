"""The legal graph: what the passes leave, and what every architecture may count on.

A table of rules, each about some kinds of layers, with a sentence for the reader. The passes bring
the rules about (passes.LEAVES says which pass which rule), ``check_legal`` stands between them and
the architectures, and docs/legal_graph.md is made from the table. What the rules do not mention
stays as the model has it; what one architecture can not carry out, that architecture refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UserError
from ..numeric import MAX_TENSOR_WIDTH, Rounding
from . import ops
from .graph import Graph, Node
from .op import OPS, Op


@dataclass(frozen=True, eq=False)
class Rule:
    """What holds of every layer of some kinds in a legal graph.

    Parameters
    ----------
    sentence : what holds, with the layer as its subject.
    ops : the kinds of layers; none where it is about the graph, which ``Graph.verify`` checks.
    holds : whether one layer of a graph keeps the rule.
    """

    sentence: str
    ops: tuple[type[Op], ...]
    holds: Callable[[Graph, Node], bool]


@dataclass(frozen=True)
class Violation:
    """A rule that a graph breaks: in which layer, if it is one layer's fault, and how."""

    rule: Rule
    layer: str | None
    reason: str

    def __str__(self) -> str:
        return f"layer {self.layer!r}: {self.reason}" if self.layer else self.reason


def illegal(graph: Graph) -> list[Violation]:
    """Every rule that a graph breaks, layer by layer; none: the graph is legal.

    Of a graph that is not well-formed only the first fault is found.
    """
    try:
        graph.verify()
    except UserError as error:
        return [Violation(WELL_FORMED, error.layer, error.reason)]
    return [
        Violation(rule, node.name, f"{node.op.op_name}: {rule.sentence}")
        for node in graph.nodes
        for rule in RULES
        if isinstance(node.op, rule.ops) and not rule.holds(graph, node)
    ]


def check_legal(graph: Graph) -> Graph:
    """The graph itself, if it is legal.

    Raises AssertionError where it is not. What a user's network lacks, the passes have said as a
    UserError before; that they leave anything else is a fault of theirs.
    """
    found = illegal(graph)
    if found:
        raise AssertionError(
            f"the passes left a graph that is not legal: {'; '.join(map(str, found))}"
        )
    return graph


def _always(graph: Graph, node: Node) -> bool:
    return True


def _never(graph: Graph, node: Node) -> bool:
    return False


def _is_read(graph: Graph, node: Node) -> bool:
    """Layers stand behind what they read, so that the last one of every path is an output."""
    return bool(graph.consumers[node.name]) or node.name in graph.outputs


def _has_no_bias(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, (ops.Conv2D, ops.Dense))
    return node.op.bias is None


def _multiplies_stored(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, (ops.Conv2D, ops.Dense))
    return node.op.raw or graph.operands(node)[0].type.zero_point == 0


def _is_requantized(graph: Graph, node: Node) -> bool:
    readers = graph.consumers[node.name]
    alone = len(readers) == 1 and node.name not in graph.outputs
    return alone and isinstance(readers[0].op, ops.Requantize)


def _has_one_shift(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, ops.Requantize)
    return node.op.shift.size == 1


def _numbers(op: Op) -> list[list[int]]:
    """Multipliers and biases of a requantization."""
    assert isinstance(op, ops.Requantize)
    return [a.tolist() for a in (op.mult, op.bias, op.below) if a is not None]


def _says_once(graph: Graph, node: Node) -> bool:
    return all(len(values) == 1 or len(set(values)) > 1 for values in _numbers(node.op))


def _shifts_no_zeros(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, ops.Requantize)
    return not node.op.shift.any() or any(v & 1 for values in _numbers(node.op) for v in values)


def _rounds_something(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, ops.Requantize)
    return bool(node.op.shift.any()) or node.op.type.rounding is Rounding.FLOOR


def _is_of_one_shape(graph: Graph, node: Node) -> bool:
    first, second = graph.operands(node)
    return first.shape == second.shape


REPLACED = (ops.BatchNorm, ops.AvgPool, ops.Relu)
"""Kinds of layers that models have and legal graphs have not."""
_WIDE = sorted(o.__name__ for o in OPS.values() if o.reads_accumulators and o not in REPLACED)
_PRODUCTS = (ops.Conv2D, ops.Dense)

WELL_FORMED = Rule(
    "Names are unique, every layer stands behind what it reads, and shapes, types and attributes "
    f"fit together. Edges have at most {MAX_TENSOR_WIDTH} bits, outputs too; wider ones, up to 128 "
    f"bits, are read by {', '.join(_WIDE)} only.",
    (), _always,
)  # fmt: skip
LEADS_TO_AN_OUTPUT = Rule("Another layer reads it, or it is an output.", (Op,), _is_read)
NO_RELU = Rule("None is left: each is a Requantize that clips.", (ops.Relu,), _never)
NO_BATCH_NORM = Rule(
    "None is left: each is a Requantize, proven equal on every input.", (ops.BatchNorm,), _never
)
NO_AVG_POOL = Rule(
    "None is left: each is a SumPool and one Requantize or two, proven equal on every sum.",
    (ops.AvgPool,), _never,
)  # fmt: skip
NO_BIAS = Rule("It has no bias: what follows adds it.", _PRODUCTS, _has_no_bias)
STORED_INTEGERS = Rule(
    "It multiplies integers as they are stored: it is `raw`, or its input's zero point is 0.",
    _PRODUCTS, _multiplies_stored,
)  # fmt: skip
REQUANTIZED = Rule(
    "One Requantize reads it, and nothing else; it is no output.", _PRODUCTS, _is_requantized
)
ONE_SHIFT = Rule("It has one shift for all channels.", (ops.Requantize,), _has_one_shift)
SAID_ONCE = Rule(
    "A multiplier or bias that is the same in all channels is one integer, not one a channel.",
    (ops.Requantize,), _says_once,
)  # fmt: skip
SHORTEST_SHIFT = Rule(
    "Its shift is the shortest: some multiplier or bias is odd, or the shift is 0.",
    (ops.Requantize,), _shifts_no_zeros,
)  # fmt: skip
FREE_ROUNDING = Rule(
    "With a shift of 0, where nothing is rounded, its type says floor.",
    (ops.Requantize,), _rounds_something,
)  # fmt: skip
ONE_SHAPE = Rule("Its two inputs have one shape.", (ops.Mul,), _is_of_one_shape)

RULES = (
    WELL_FORMED, LEADS_TO_AN_OUTPUT, NO_RELU, NO_BATCH_NORM, NO_AVG_POOL, NO_BIAS, STORED_INTEGERS,
    REQUANTIZED, ONE_SHIFT, SAID_ONCE, SHORTEST_SHIFT, FREE_ROUNDING, ONE_SHAPE,
)  # fmt: skip
"""All rules."""
