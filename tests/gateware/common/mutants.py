"""Faults in hwgen/gateware/common that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "pivot one too high",
        "hwgen/gateware/common/requantizer.py",
        'under.eq(acc < given["pivot"])',
        'under.eq(acc <= given["pivot"])',
        ("tests/gateware/common/test_requantizer.py",),
    ),
    Mutation(
        "softmax rounds no product",
        "hwgen/gateware/common/softmax.py",
        "(multiplier.p >> 31) + multiplier.p[30]",
        "multiplier.p >> 31",
        ("tests/gateware/common/test_softmax.py",),
    ),
    Mutation(
        "softmax errs by a unit in a Newton step",
        "hwgen/gateware/common/softmax.py",
        "x.eq(x + (high << 2))",
        "x.eq(x + (high << 2) + 1)",
        ("tests/gateware/common/test_softmax.py",),
    ),
    Mutation(
        "softmax wraps a sure winner",
        "hwgen/gateware/common/softmax.py",
        "Mux(rounded[-1], Const((1 << width) - 1, width), rounded[:-1])",
        "rounded[:-1]",
        ("tests/gateware/common/test_softmax.py",),
    ),
    Mutation(
        "softmax begins a vector with the last one's largest",
        "hwgen/gateware/common/softmax.py",
        "first.eq(element.last)",
        "first.eq(0)",
        ("tests/gateware/common/test_softmax.py",),
    ),
    Mutation(
        "no saturation",
        "hwgen/gateware/common/requantizer.py",
        "    return clamped(value, out.low, out.max)",
        "    return value[: out.width]",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "saturation one too low",
        "hwgen/gateware/common/requantizer.py",
        "Mux(value > high, high, value)",
        "Mux(value >= high, high - 1, value)",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "half even rounds half up",
        "hwgen/gateware/common/requantizer.py",
        "            return half & (below | odd)",
        "            return half",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "half away rounds half up",
        "hwgen/gateware/common/requantizer.py",
        "            return half & (below | ~negative)",
        "            return half",
        ("tests/gateware/common/test_mac.py",),
    ),
    Mutation(
        "floor rounds up",
        "hwgen/gateware/common/requantizer.py",
        ("        case Rounding.FLOOR:\n            return Const(0)"),
        ("        case Rounding.FLOOR:\n            return rest"),
        ("tests/gateware/common/test_mac.py",),
    ),
    Mutation(
        "signed comparison without its bias",
        "hwgen/gateware/common/requantizer.py",
        "return Cat(a[:-1], ~a[-1]) > Cat(b[:-1], ~b[-1])",
        "return Cat(a) > Cat(b)",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "accumulator starts with the last sum",
        "hwgen/gateware/common/mac.py",
        "start.eq(Mux(self.first, 0, previous))",
        "start.eq(previous)",
        ("tests/gateware/common/test_mac.py",),
    ),
    Mutation(
        "sum lost in the adder tree",
        "hwgen/gateware/common/dot.py",
        "value = sum(terms[start + 1 : start + arity], terms[start])",
        "value = sum(terms[start + 1 : start + arity - 1], terms[start])",
        ("tests/gateware/common/test_mac.py",),
    ),
    Mutation(
        "padding counts as -1",
        "hwgen/gateware/common/dot.py",
        "agrees.eq(_is_tap(x_held) & (_is_negative(x_held) == w_held))",
        "agrees.eq(_is_negative(x_held) == w_held)",
        (
            "tests/gateware/common/test_mac.py",
            "tests/archs/dataflow/test_few_weights.py",
        ),
    ),
    Mutation(
        "powers of two without their sign",
        "hwgen/gateware/common/multiplier.py",
        "self.p.eq(Mux(b[-1], -size, size))",
        "self.p.eq(size)",
        (
            "tests/gateware/common/test_mac.py",
            "tests/archs/dataflow/test_few_weights.py",
        ),
    ),
    Mutation(
        "counter wraps one late",
        "hwgen/gateware/common/counter.py",
        "self.value == self.length - 2",
        "self.value == self.length - 1",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "a FIFO one shorter",
        "hwgen/gateware/common/fifo.py",
        "full.eq(self.take & (reserved == self.depth - 1))",
        "full.eq(self.take & (reserved >= self.depth - 2))",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "a FIFO believes in one slot more",
        "hwgen/gateware/common/fifo.py",
        "full.eq(self.take & (reserved == self.depth - 1))",
        "full.eq(self.take & (reserved == self.depth))",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "a deep FIFO skips its first register",
        "hwgen/gateware/common/fifo.py",
        "    return Mux(first_valid, Value.cast(first), storage.r_data)",
        "    return storage.r_data",
        ("tests/gateware/common/test_fifo.py",),
    ),
    Mutation(
        "lanes begin behind the first one",
        "hwgen/gateware/common/counter.py",
        "(first <= n for n",
        "(first < n for n",
        ("tests/gateware/engine/memory/test_feature_memory.py",),
    ),
)
