"""What passes share."""

from __future__ import annotations

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.rewrite import fresh_name, redirected, replace_nodes, single_reader

BYTE = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
X = Tensor("x", (4, 4, 2), BYTE)
POOL = ops.MaxPool((1, 1), (1, 1))
NODES = (Node("a", POOL, ("x",)), Node("b", POOL, ("a",)), Node("a_2", ops.Add(), ("x", "b")))
GRAPH = Graph("n", (X,), NODES, ("a_2",)).verify()


def test_a_fresh_name_is_nobody_elses() -> None:
    assert [fresh_name(GRAPH, n) for n in ("c", "x", "a", "b")] == ["c", "x_2", "a_3", "b_2"]


def test_the_single_reader_of_an_edge() -> None:
    assert single_reader(GRAPH, "a") is NODES[1]
    assert single_reader(GRAPH, "x") is None  # two of them
    assert single_reader(GRAPH, "a_2") is None  # an output
    assert single_reader(Graph("n", (X,), NODES, ("a", "a_2")), "a") is None


def test_nodes_are_replaced_in_their_place() -> None:
    def change(node: Node) -> list[Node]:
        if node.name != "b":
            return [node]
        return [Node("new", POOL, node.inputs), Node("b", POOL, ("new",))]

    after = replace_nodes(GRAPH, change).verify()
    assert [n.name for n in after.nodes] == ["a", "new", "b", "a_2"]
    assert GRAPH.nodes == NODES


def test_a_node_is_redirected() -> None:
    moved = redirected(NODES[2], {"b": "a"})
    assert moved.inputs == ("x", "a") and NODES[2].inputs == ("x", "b")
