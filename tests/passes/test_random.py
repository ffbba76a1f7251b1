"""Every pass alone, and all of them, keep the golden output of random networks."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from random import Random

import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, legal, ops
from hwgen.passes import PASSES, Pass, legalize, remove_dead, rescale, steps
from hwgen.passes.fuse import drop_identities, fuse_requantize, hoist_requantize
from hwgen.plan.dataflow.stages import stages_of
from tests.helpers.drawn import Drawn
from tests.helpers.runtime_graphs import GatedNetwork, RuntimeNetwork, runtime_network

from .networks import assert_equal, network

COUNT = 300
BLOCK = 50

REFUSALS = (
    "can not be requantized exactly",
    "levels are too many",
    "bits, streams take at most",
    "takes at most 32",
    "divid",
)
"""What legalize may say of a random network; all else is a fault."""

SINGLE = (*(step for _, step in PASSES), fuse_requantize, hoist_requantize, drop_identities)


RUNTIME = 9000
"""Seeds from here on are of networks of runtime formats."""
GATED = 10_000
"""Seeds from here on are of those with products of two streams, and slices."""


def random_network(seed: int) -> Graph:
    """The network of a seed."""
    if seed < RUNTIME:
        return network(seed)
    kind = GatedNetwork if seed >= GATED else RuntimeNetwork
    return runtime_network(Random(seed), kind=kind)


Stages = tuple[tuple[str, Graph], ...]


@lru_cache(maxsize=128)  # more than the networks that each pass is run on
def stages_before_refusal(seed: int) -> tuple[Stages, UserError | None]:
    """The network before each pass and after the last; what a pass refused it with, and those
    before that pass."""
    graphs = [("network", random_network(seed))]
    try:
        graphs += steps(graphs[0][1])
    except UserError as error:
        return tuple(graphs), error
    return tuple(graphs), None


def stage_graphs(seed: int, drawn: Drawn) -> Stages:
    """The network before each pass and after the last; shorter where a pass refuses it."""
    graphs, error = stages_before_refusal(seed)
    if error is not None:
        assert any(text in str(error) for text in REFUSALS), f"seed {seed}: {error}"
        assert error.layer, f"seed {seed}: {error}"
        drawn.leave_out(seed, error.reason)
    else:
        assert len(graphs) > len(PASSES)
        drawn.take()
    return graphs


def same_nodes(before: Graph, after: Graph) -> bool:
    """Whether a pass left a graph as it was: the very same nodes between the same ends."""
    return (
        len(before.nodes) == len(after.nodes)
        and all(a is b for a, b in zip(before.nodes, after.nodes, strict=True))
        and (before.inputs, before.outputs) == (after.inputs, after.outputs)
    )


@pytest.mark.parametrize("start", [*range(0, COUNT, BLOCK), RUNTIME, RUNTIME + BLOCK, GATED])
def test_whole_list(start: int) -> None:
    drawn = Drawn()
    for seed in range(start, start + BLOCK):
        graphs = stage_graphs(seed, drawn)
        for name, graph in graphs[1:]:
            try:
                assert_equal(graphs[0][1], graph, seed)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, {name}: {error}") from error
        if len(graphs) > len(PASSES):
            assert_legal(graphs[-1][1], seed)
    drawn.enough()


def assert_legal(graph: Graph, seed: int) -> None:
    assert not legal.illegal(graph), f"seed {seed}: {legal.illegal(graph)[0]}"
    stages_of(graph)


@pytest.fixture
def reduced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rescaling that several stages of a network have is solved once."""
    original = rescale.reduced
    known: dict[tuple[int, str], tuple[ops.Rescale, ops.Requantize | None]] = {}

    def reduced(op: ops.Rescale, ends: rescale.Ends) -> ops.Requantize | None:
        key = (id(op), str([end.tolist() for end in ends]))
        if key not in known:
            known[key] = op, original(op, ends)  # an op that is kept keeps its id
        return known[key][1]

    monkeypatch.setattr(rescale, "reduced", reduced)


executed: set[tuple[int, str]] = set()
"""Stages of networks that were compared with themselves, since a pass left them as they were: the
integers are within their ranges. Once is enough for all passes."""


@pytest.mark.usefixtures("reduced_once")
@pytest.mark.parametrize("step", SINGLE, ids=lambda step: step.__name__)
def test_each_pass_alone(step: Pass) -> None:
    """On networks as they come, and as any earlier pass leaves them."""
    changed, networks, drawn = 0, Drawn(), Drawn()
    for seed in [
        *range(1000, 1040),
        *range(RUNTIME + 200, RUNTIME + 220),
        *range(GATED + 200, GATED + 215),
    ]:
        for earlier, graph in stage_graphs(seed, networks):
            try:
                after = step(graph).verify()
            except UserError as error:
                drawn.leave_out((seed, earlier), error.reason)
                continue
            changed += after.nodes != graph.nodes
            if same_nodes(graph, after):
                if (seed, earlier) in executed:
                    drawn.take()
                    continue
                executed.add((seed, earlier))
            try:
                assert_equal(graph, after, seed)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, after {earlier}: {error}") from error
            drawn.take()
    networks.enough()
    drawn.enough()
    # Nothing in these chains is dead; another test has a branch that is.
    assert changed or step is remove_dead, f"{step.__name__} had nothing to do"


def test_legalizing_twice_changes_nothing() -> None:
    drawn = Drawn()
    for seed in range(40):
        graphs = stage_graphs(seed, drawn)
        if len(graphs) > len(PASSES):
            once = graphs[-1][1]
            again = legalize(once)
            assert [n.name for n in again.nodes] == [n.name for n in once.nodes], f"seed {seed}"
    drawn.enough()


def test_networks_hold_every_op() -> None:
    """Else the tests above would prove less than they say."""
    seen = Counter(type(n.op) for seed in range(COUNT) for n in network(seed).nodes)
    for op in (ops.Conv2D, ops.Dense, ops.BatchNorm, ops.AvgPool, ops.MaxPool, ops.Relu):
        assert seen[op] >= 20, f"{op.__name__}: {seen[op]}"


def test_branches_and_second_outputs_keep_their_values() -> None:
    """Readers of an inner edge see the same integers; networks with a second output too."""
    drawn = Drawn()
    for seed in range(200, 260):
        graph = network(seed)
        if len(graph.nodes) < 3:
            drawn.leave_out(seed, "too short to have an inner edge")
            continue
        inner = graph.nodes[len(graph.nodes) // 2 - 1].name
        if graph.tensors[inner].type.width > 32:
            drawn.leave_out(seed, "an inner edge too wide to be an output")
            continue
        # One more reader of the inner edge, which is an output, and a layer that leads nowhere.
        fork = Node("fork", ops.Requantize.identity(graph.tensors[inner]), (inner,))
        dead = Node("dead", ops.Requantize.identity(graph.tensors[inner]), (inner,))
        outputs = (*graph.outputs, "fork", inner)
        nodes = (*graph.nodes, fork, dead)
        forked = Graph("forked", graph.inputs, nodes, outputs).verify()
        try:
            after = legalize(forked)
        except UserError as error:
            drawn.leave_out(seed, error.reason)
            continue
        assert "dead" not in after.tensors
        assert_equal(forked, after, seed)
        drawn.take()
    drawn.enough(0.75)
