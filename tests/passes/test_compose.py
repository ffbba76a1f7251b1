"""One requantization for two, and what is said of one: tried on every integer."""

from __future__ import annotations

from random import Random

import numpy as np

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.compose import composed, is_identity, is_monotone, only_clips
from tests.helpers.random_layers import random_requantize, random_type

SEEDS = range(400)


def edge(rng: Random) -> tuple[Tensor, np.ndarray]:
    """A vector of two channels, and every integer in both."""
    x = Tensor("x", (2,), random_type(rng, (2, 9)))
    values = np.arange(x.range[0], x.range[1] + 1)
    return x, np.stack([values, values], axis=1)


def random_op(rng: Random, x: Tensor) -> ops.Requantize:
    """At times without a shift, or one that keeps everything but for a clip."""
    kind = rng.random()
    if kind < 0.3:
        qtype = random_type(rng, (x.type.width, x.type.width + 4))
        return ops.Requantize.scaled(qtype, 1 << rng.randint(0, 2), rng.choice([0, 3]))
    if kind < 0.6:
        ends = sorted(rng.randint(x.type.min, x.type.max) for _ in range(2))
        return ops.Requantize.identity(x, rng.choice([None, (ends[0], ends[1])]))
    return random_requantize(rng, x)


def test_composed_is_equal_on_every_integer() -> None:
    done = 0
    for seed in SEEDS:
        rng = Random(seed)
        x, values = edge(rng)
        first = random_op(rng, x)
        middle = first.infer("middle", [x])
        second = random_op(rng, middle)
        one = composed(first, second, x, middle)
        if one is None:
            continue
        done += 1
        want = second.golden([first.golden([values], [x])], [middle])
        assert np.array_equal(one.golden([values], [x]), want), f"seed {seed}"
        assert one.infer("y", [x]).type.width == second.type.width, f"seed {seed}"
    assert done > len(SEEDS) // 4, f"{done} were composed"


def test_what_is_said_of_one_is_true_of_every_integer() -> None:
    said = dict.fromkeys((only_clips, is_identity, is_monotone), 0)
    for seed in SEEDS:
        rng = Random(seed)
        x, values = edge(rng)
        op = random_op(rng, x)
        result = op.golden([values], [x])
        plain = values if op.clip is None else np.clip(values, *op.clip)
        if only_clips(op, x):
            assert np.array_equal(result, plain), f"seed {seed}"
        if is_identity(op, x):
            assert np.array_equal(result, values), f"seed {seed}"
        if is_monotone(op, x):
            assert np.all(np.diff(result, axis=0) >= 0), f"seed {seed}"
        for says in said:
            said[says] += says(op, x)
    assert all(20 < count < len(SEEDS) - 20 for count in said.values()), said


def test_pivots_are_left_alone() -> None:
    x = Tensor("x", (1,), QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE))
    plain = ops.Requantize.identity(x)
    pivot = ops.Requantize(
        plain.mult, plain.bias, plain.shift, x.type, pivot=np.array([3]), below=np.array([-1])
    )
    assert composed(plain, pivot, x, x) is None and composed(pivot, plain, x, x) is None
    assert not only_clips(pivot, x) and not is_monotone(pivot, x)
