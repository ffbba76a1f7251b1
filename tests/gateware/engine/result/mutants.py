"""Faults in hwgen/gateware/engine/result that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "run-time requantizer takes all halves for ties",
        "hwgen/gateware/engine/result/runtime_requantizer.py",
        "below.eq(fraction[:-1].any() | given.rest)",
        "below.eq(0)",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "bits that the shifter drops first do not count",
        "hwgen/gateware/engine/result/runtime_requantizer.py",
        "dropped.eq(rest | low.any())",
        "dropped.eq(low.any())",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "a float's unit is that of the next binade",
        "hwgen/gateware/engine/result/runtime_requantizer.py",
        "near.eq(within(SINGLE_BITS - exponent))",
        "near.eq(within(SINGLE_BITS - exponent - 1))",
        ("tests/formal/test_runtime_requantizer.py",),
    ),
    Mutation(
        "the second rounding sees what the first one left out",
        "hwgen/gateware/engine/result/runtime_requantizer.py",
        "& (~(self.double & large)).replicate(DOUBLE_BITS)",
        "& Const(-1, DOUBLE_BITS)",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "ring leaves out its row 0",
        "hwgen/gateware/engine/result/output_walk.py",
        "Mux(stride < 0, near < 0, far >= 0)",
        "Mux(stride < 0, near < 0, far > 0)",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "results without tables go on to the next command's",
        "hwgen/gateware/engine/result/result.py",
        "with m.If(~kept.tables):",
        "with m.If(kept.tables & ~kept.tables):",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "factors of unsigned bytes are signed",
        "hwgen/gateware/engine/result/product.py",
        "(byte ^ (given.product_signed << 7)) - (given.product_signed << 7)",
        "byte.as_signed()",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "parameters of the first group for every group",
        "hwgen/gateware/engine/result/parameters.py",
        "word.eq(Mux(last, self.first, word + 1))",
        "word.eq(Mux(last, self.first, word))",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "a softmax takes signed bytes for unsigned ones",
        "hwgen/gateware/engine/result/softmax_lane.py",
        "self.i.payload.word_select(taken.lane, 8) ^ (given.x_signed << 7)",
        "self.i.payload.word_select(taken.lane, 8)",
        ("tests/gateware/engine/result/test_softmax_lane.py",),
    ),
    Mutation(
        "all lanes of a vector's last word count",
        "hwgen/gateware/engine/result/softmax_lane.py",
        "Mux(self.final, descriptor.lanes - 1, shape.pe - 1)",
        "Mux(self.final, shape.pe - 1, shape.pe - 1)",
        ("tests/gateware/engine/result/test_softmax_lane.py",),
    ),
    Mutation(
        "a softmax forgets its smallest result",
        "hwgen/gateware/engine/result/softmax_lane.py",
        "core.o.payload[0] + given.low[:8]",
        "core.o.payload[0]",
        ("tests/gateware/engine/result/test_softmax_lane.py",),
    ),
    Mutation(
        "only a vector's last word ends",
        "hwgen/gateware/engine/result/softmax_lane.py",
        "self.o.payload.last.eq(gone.ends)",
        "self.o.payload.last.eq(gone.ends & gone.final)",
        ("tests/gateware/engine/result/test_softmax_lane.py",),
    ),
    Mutation(
        "table 1 counts without a second operand",
        "hwgen/gateware/engine/result/combine.py",
        "Mux(self.with_second, entries[1], 0)",
        "entries[1]",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "slices of a part have tables of the first one",
        "hwgen/gateware/engine/result/result.py",
        "for n in range(slices))[token.slice]",
        "for n in range(slices))[0]",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "a word is spoken for twice",
        "hwgen/gateware/engine/result/second_operand.py",
        "came | (free != 1)",
        "came | (free != 0)",
        ("tests/gateware/engine/result/test_result.py",),
    ),
    Mutation(
        "lanes that are no channels are written",
        "hwgen/gateware/engine/result/result_writer.py",
        "Mux(self.descriptor.softmax, single, Mux(last, inside, -1))",
        "Mux(self.descriptor.softmax, single, -1)",
        ("tests/gateware/engine/result/test_result.py",),
    ),
)
