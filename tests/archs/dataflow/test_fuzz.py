"""Random small networks through random plans: data equals golden, cycles equal the event model.

Every case is made from its seed alone; a failure prints the whole case.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from amaranth.hdl import Module, Mux, Signal, signed, unsigned

from hwgen.errors import UserError
from hwgen.gateware.common.memory import SimpleDualPort
from hwgen.gateware.common.streams import element
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.plan_file import dataflow_from_json
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.rules.pool import StreamPoolUnit
from hwgen.plan.dataflow.units import Unit
from tests.helpers.graphs import Case, random_case
from tests.helpers.pysim import (
    check_against_model,
    check_beats,
    golden,
    pattern,
    random_frames,
    run_plan,
)

LONGEST = 2500
"""Cycles of a case that the suite simulates; longer ones only cost time."""

NOTABLE = {
    3713: "rows that no window needs are still taken long after the last output",
    154: "operands of one bit, an accumulator without a sign",
    888: "more output rows than input rows",
}
"""Seeds worth keeping, and why."""


def cases(seeds: range, count: int, kind: str = "chain") -> Iterator[int]:
    """The first seeds whose cases are short enough; planning is quick, simulation is not."""
    found = 0
    for seed in seeds:
        case = random_case(seed, kind)
        if case.plan.timing(case.frames).ends[-1] <= LONGEST:
            found += 1
            yield seed
            if found == count:
                return
    raise AssertionError(f"{found} short cases of {kind} in {seeds}, {count} are wanted")


def reading(unit: Unit) -> int:
    """Beats in which a unit reads the columns of a frame's windows.

    Every output row reads its columns anew. Only padding beyond "same" gives more output rows
    than input rows, and only very narrow frames cost many columns beyond the edge: elsewhere
    this is no more than the input's beats.
    """
    g = getattr(unit, "geometry", None)
    if g is None or isinstance(unit, StreamPoolUnit):
        return 0
    rows = g.out_size[0]
    return rows * g.columns_read * g.beats + g.virtual_steps * (1 if g.fused else rows)


def check_interval(case: Case) -> None:
    """The interval that the RTL will have reaches the bound but for a little."""
    bound = max(case.plan.interval_bound, *(reading(unit) for unit in case.plan.units))
    interval = case.plan.timing().interval
    assert interval <= 1.02 * bound + 16, f"interval {interval}, bound {bound}\n{case}"


@pytest.mark.parametrize("batch", range(10))
def test_data_and_cycles(batch: int) -> None:
    """Source and sink always ready: outputs, frame ends, first beats, high-water marks."""
    for seed in cases(range(batch * 1000, batch * 1000 + 100), 7):
        case = random_case(seed)
        print(case)
        if case.sized:
            check_interval(case)
        check_against_model(case.plan, random_frames(case.plan, case.frames, seed))


@pytest.mark.parametrize(
    "kind", ("branching", "rich", "types", "runtime", "engines", "gated", "softmax", "wide")
)
@pytest.mark.parametrize("batch", range(6))
def test_more(batch: int, kind: str) -> None:
    """The same where streams part and meet, and with all other ops; with gaps too."""
    check_with_gaps(range(batch * 1000, batch * 1000 + 100), 5, kind)


def test_softmaxes_in_float32() -> None:
    """The same of these; fewer, since each takes many cycles."""
    check_with_gaps(range(100), 4, "softmax_table")


def check_with_gaps(seeds: range, count: int, kind: str) -> None:
    """Some cases of a kind as the model says, and their data with gaps."""
    for seed in cases(seeds, count, kind):
        case = random_case(seed, kind)
        print(case)
        if case.sized:
            check_interval(case)
        x = random_frames(case.plan, case.frames, seed)
        check_against_model(case.plan, x)
        source, sink = pattern("bursty", seed), pattern("random", seed + 1)
        check_beats(case.plan, run_plan(case.plan, x, source, sink), golden(case.plan, x))


def _disturbed(calm, ram: SimpleDualPort, platform) -> Module:
    """The memory, but a word that is read while it is written comes out wrong."""
    word = ram.r_data
    ram.r_data = Signal.like(word, name="undisturbed")
    m = calm(ram, platform)
    meets = Signal(name="disturbs")
    if not ram.forwards:
        with m.If(ram.r_en):
            m.d.sync += meets.eq(ram.w_en & (ram.r_addr == ram.w_addr))
    m.d.comb += word.eq(Mux(meets, ~ram.r_data, ram.r_data))
    ram.r_data = word
    return m


@pytest.mark.parametrize("batch", range(2))
def test_nothing_depends_on_a_word_that_is_being_written(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a block RAM gives then differs between devices; simulators give the old word."""
    calm = SimpleDualPort.elaborate
    monkeypatch.setattr(SimpleDualPort, "elaborate", lambda ram, p: _disturbed(calm, ram, p))
    kind = ("chain", "branching")[batch]
    for seed in cases(range(70_000 + batch * 1000, 70_100 + batch * 1000), 6, kind):
        case = random_case(seed, kind)
        print(case)
        check_against_model(case.plan, random_frames(case.plan, case.frames, seed))


@pytest.mark.parametrize("seed", NOTABLE)
def test_notable_seeds(seed: int) -> None:
    case = random_case(seed)
    print(case)
    check_against_model(case.plan, random_frames(case.plan, case.frames, seed))


@pytest.mark.parametrize("batch", range(5))
def test_gaps_on_both_sides(batch: int) -> None:
    """Beats come and are taken at random times: the same data, the stream rules kept."""
    kinds = ("always", "random", "rare", "bursty")
    for seed in cases(range(50_000 + batch * 1000, 50_100 + batch * 1000), 4):
        case, rng = random_case(seed), Random(seed)
        print(case)
        x = random_frames(case.plan, case.frames, seed)
        source, sink = pattern(rng.choice(kinds), seed), pattern(rng.choice(kinds), seed + 1)
        check_beats(case.plan, run_plan(case.plan, x, source, sink), golden(case.plan, x))


def test_the_interval_of_mplans() -> None:
    """Planning alone is quick: the interval rule over many more cases."""
    checked = 0
    for seed in range(100_000, 100_400):
        case = random_case(seed)
        if case.sized:
            check_interval(case)
            checked += 1
    assert checked > 200


def _narrow_sum(kernel: tuple[int, int], stride: tuple[int, int]) -> Graph:
    """A sum whose range is known to be narrower than its input's type would give."""
    wide = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
    x = Tensor("x", (4, 4, 2), wide)
    nodes = (
        Node("clip", ops.Requantize.scaled(wide, clip=(0, 3)), ("x",)),
        Node("sum", ops.SumPool(kernel, stride), ("clip",)),
    )
    return Graph("narrow", (x,), nodes, ("sum",)).verify()


@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 3), (1, 1))])
def test_a_sum_narrower_than_its_input_suggests(
    kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    graph = _narrow_sum(kernel, stride)
    assert element(graph.tensors["sum"].type) in (unsigned(4), unsigned(5))
    assert element(graph.tensors["clip"].type) == signed(8)
    plan = plan_dataflow(graph)
    check_against_model(plan, random_frames(plan, 3, 0))


def test_a_given_accumulator_states_its_simd() -> None:
    """Products of a group are summed exactly: another SIMD would change the result."""
    seed = next(
        seed
        for seed in range(200)
        if any(getattr(n.op, "accumulator", None) for n in random_case(seed).graph.nodes)
    )
    case = random_case(seed)
    node = next(n for n in case.graph.nodes if getattr(n.op, "accumulator", None))
    choices = case.plan.to_json()
    unit = next(u for u in choices["units"] if u["name"] == node.name)
    unit["simd"] += 1
    with pytest.raises(UserError, match="exactly") as error:
        plan = dataflow_from_json(case.graph, choices)
        run_plan(plan, random_frames(plan, 1, 0))
    assert error.value.layer == node.name
