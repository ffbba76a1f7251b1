"""What passes promise: an equal graph, and rules of the legal graph that hold from then on."""

from __future__ import annotations

from hwgen.ir import Graph, legal
from hwgen.passes import LEAVES, PASSES, Pass, steps

from .networks import assert_equal


def kept(step: Pass, graph: Graph) -> Graph:
    """What a pass makes of a graph: it is equal, and keeps the rules that ``graph`` breaks."""
    after = step(graph).verify()
    assert_equal(graph, after, 0)
    for rule in LEAVES.get(step, ()):
        assert broken(rule, graph), f"nothing to do: {rule.sentence}"
        assert not broken(rule, after), rule.sentence
    return after


def broken(rule: legal.Rule, graph: Graph) -> list[str]:
    """The layers that break a rule."""
    return [str(v.layer) for v in legal.illegal(graph) if v.rule is rule]


def legalized(graph: Graph) -> Graph:
    """The legal graph; after each pass the rules hold that this and earlier ones have left.

    Raises UserError as the passes do.
    """
    for n, (name, after) in enumerate(steps(graph)):
        ended = {step for _, step in PASSES[: n + 1]} - {step for _, step in PASSES[n + 1 :]}
        for step in ended:
            for rule in LEAVES.get(step, ()):
                assert not broken(rule, after), f"{name}: {broken(rule, after)}, {rule.sentence}"
        graph = after
    assert not legal.illegal(graph)
    return graph
