"""Faults in hwgen/gateware/engine/compute that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a row above the ifmap is read",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "within.eq((row >= 0) & (row < self.command.x_rows))",
        "within.eq(row < self.command.x_rows)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a window's rows do not turn with the ring",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "below.eq(Mux(last, 0, place.p + c.x_pitch))",
        "below.eq(place.p + c.x_pitch)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "bytes behind a row are read",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "(low <= n) & (high > n) for n",
        "low <= n for n",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a window begins with columns of the row before",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "columns = (Mux(begins, pad, oldest), Mux(begins, pad, before), newest)",
        "columns = (oldest, before, newest)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a tile begins with the operands of the one before",
        "hwgen/gateware/engine/compute/tile_array.py",
        "m.d.sync += change.before.eq(1)",
        "m.d.sync += change.before.eq(0)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a largest value begins with the last one",
        "hwgen/gateware/engine/compute/tile_array.py",
        "Mux(first | (value > largest), value, largest)",
        "Mux(value > largest, value, largest)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a loop gives no results in its first turn only",
        "hwgen/gateware/engine/compute/loop_nest.py",
        "Mux(restarts, skip.any(), self.early[n]",
        "Mux(restarts, self.load & skip.any(), self.early[n]",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a loop's last step is seen a step late",
        "hwgen/gateware/engine/compute/loop_nest.py",
        "value == (count - 3)[: len(value)]",
        "value == (count - 2)[: len(value)]",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "early steps end a step late",
        "hwgen/gateware/engine/compute/loop_nest.py",
        "value == (skip - 2)[: len(value)]",
        "value == (skip - 1)[: len(value)]",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a ring turns a row late",
        "hwgen/gateware/engine/compute/loop_nest.py",
        "Mux(total >= size, total - size, total)",
        "Mux(total > size, total - size, total)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a slice of weights is written to all of them",
        "hwgen/gateware/engine/compute/weights.py",
        "self.write.en & (self.write.slice == n)",
        "self.write.en",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "loops of no steps are begun",
        "hwgen/gateware/engine/compute/tile_unit.py",
        "wrong = [~Cat(count.any() for count in counts).all()]",
        "wrong = []",
        (
            "tests/gateware/engine/compute/test_tile_unit.py::test_a_tile_that_can_not_be_is_refused",
        ),
    ),
    Mutation(
        "tiles are told of in the order of their ends",
        "hwgen/gateware/engine/compute/tile_units.py",
        "ended.append(some & (order.o.payload == n))",
        "ended.append(some)",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a unit that ended one tile ended two",
        "hwgen/gateware/engine/compute/tile_units.py",
        "some.eq(~told | (count != 1))",
        "some.eq(~told | (count != 0))",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a tile goes to all units",
        "hwgen/gateware/engine/compute/tile_units.py",
        "waiting.push.eq(begins & mine)",
        "waiting.push.eq(begins)",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a store takes the words of all units",
        "hwgen/gateware/engine/compute/tile_units.py",
        "word = word | Mux(came[n], unit.store.data, 0)",
        "word = word | unit.store.data",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a unit too many is known",
        "hwgen/gateware/engine/compute/tile_units.py",
        "known.eq(self.command.payload.unit < self.shape.tiles)",
        "known.eq(self.command.payload.unit <= self.shape.tiles)",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "padding of wide values is no smallest one",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "smallest = Cat(Const(0, bits - 1), sign)",
        "smallest = Const(0, bits)",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
    Mutation(
        "a value is inside where another one's byte is",
        "hwgen/gateware/engine/compute/tap_fetch.py",
        "inside[lane * stored // 8]",
        "inside[lane % self.shape.word]",
        ("tests/gateware/engine/compute/test_tile_unit.py",),
    ),
)
