"""Random layers, one after the other: what random networks are made of."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from hwgen.errors import UserError
from hwgen.ir import Accumulator, Node, Tensor, ops, output_size, resolve_padding
from hwgen.numeric import Overflow, QType, Rounding

MAX_ACCUMULATOR_GROUP = 6


def random_type(rng: Random, widths: tuple[int, int] = (1, 12)) -> QType:
    """Any sign, width, fraction, rounding and overflow."""
    return QType(
        rng.random() < 0.5,
        rng.randint(*widths),
        rng.randint(-1, 6),
        rng.choice(list(Rounding)),
        rng.choice(list(Overflow)),
    )


def _modes(rng: Random) -> tuple[Rounding, Overflow]:
    return rng.choice(list(Rounding)), rng.choice(list(Overflow))


def random_codes(rng: Random, qtype: QType, shape: tuple[int, ...]) -> np.ndarray:
    """Integers of a type, its extremes among them more often than chance would have it."""
    values = np.random.default_rng(rng.getrandbits(32))
    codes = values.integers(qtype.low, qtype.max + 1, shape)
    extreme = values.choice([qtype.low, qtype.max], shape)
    return np.where(values.random(shape) < 0.2, extreme, codes)


def random_requantize(rng: Random, x: Tensor) -> ops.Requantize:
    """Requantization that brings most of the input's range into its type, and clips some."""
    qtype = random_type(rng)
    channels = x.channels
    kind = rng.choice(["one", "power", "common", "channels", "signs"])
    if kind == "channels":
        mult: Any = [rng.randint(1, 200) for _ in range(channels)]
    elif kind == "signs":
        mult = [rng.randint(-9, 9) for _ in range(channels)]
    else:
        mult = {"one": 1, "power": 1 << rng.randint(0, 4), "common": rng.randint(3, 200)}[kind]
    largest = max(abs(bound) for bound in x.range) * int(np.max(np.abs(mult)))
    excess = max(0, largest.bit_length() - qtype.width)
    shift = max(0, excess + rng.randint(-2, 2)) if rng.random() < 0.9 else rng.randint(0, 40)
    scale = 1 << min(shift + rng.randint(0, qtype.width), 40)
    bias: Any = 0
    if rng.random() < 0.7:
        bias = [rng.randint(-scale, scale) for _ in range(channels)]
    clip = None
    if rng.random() < 0.3:
        ends = sorted(rng.randint(qtype.min, qtype.max) for _ in range(2))
        clip = (ends[0], ends[1])
    return ops.Requantize.scaled(qtype, mult=mult, bias=bias, shift=shift, clip=clip)


def random_accumulator(rng: Random, frac: int, taps: int) -> Accumulator | None:
    """Mostly none; else narrow enough to overflow, with as many or fewer fractional bits."""
    if rng.random() < 0.7:
        return None
    qtype = QType(
        True,
        rng.randint(4, 24),
        frac - rng.choice([0, 0, 1, 3]),
        rng.choice(list(Rounding)),
        rng.choice(list(Overflow)),
    )
    return Accumulator(qtype, rng.randint(1, min(MAX_ACCUMULATOR_GROUP, taps + 1)))


def _window(rng: Random, size: tuple[int, int], largest: int) -> dict[str, Any] | None:
    """Kernel, stride and padding that fit a frame, or None."""
    for _ in range(20):
        kernel = (rng.randint(1, largest), rng.randint(1, largest))
        if rng.random() < 0.4:
            kernel = (kernel[0], kernel[0])
        stride = (rng.choice([1, 1, 1, 2, 2, 3, 4]), rng.choice([1, 1, 1, 2, 2, 3, 4]))
        if rng.random() < 0.5:
            stride = (stride[0], stride[0])
        padding: Any = rng.choice(["same", "same", "valid", "explicit", "full"])
        if padding == "explicit":
            padding = tuple((rng.randrange(k), rng.randrange(k)) for k in kernel)
        elif padding == "full":
            padding = tuple((k - 1, k - 1) for k in kernel)
        try:
            out = output_size(size, kernel, stride, resolve_padding(padding, kernel, stride, size))
        except UserError:
            continue
        if max(out) <= 12:
            return {"kernel": kernel, "stride": stride, "padding": padding}
    return None


class Builder:
    """Adds random layers to a chain."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        shape = (rng.randint(1, 9), rng.randint(1, 9), rng.randint(1, 5))
        if rng.random() < 0.1:
            shape = (rng.randint(1, 40),)
        self.input = Tensor("x", shape, random_type(rng))
        self.nodes: list[Node] = []
        self.edge = self.input
        self.sample = random_codes(rng, self.input.type, (8, *shape))

    def add(self, op: Any, *others: tuple[Tensor, np.ndarray]) -> None:
        """One more layer; the graph's own inference gives its edge.

        ``others`` : edges that it reads before the last one, with their samples.
        """
        name = f"{op.op_name}{len(self.nodes)}"
        inputs = [*(tensor for tensor, _ in others), self.edge]
        self.nodes.append(Node(name, op, tuple(tensor.name for tensor in inputs)))
        self.sample = op.golden([*(sample for _, sample in others), self.sample], inputs)
        self.edge = op.infer(name, inputs)

    def conv(self) -> None:
        rng, x = self.rng, self.edge
        window = _window(rng, x.hwc[:2], 5)
        if window is None:
            return
        qtype = random_type(rng, (1, 8))
        kernel = window.pop("kernel")
        weights = random_codes(rng, qtype, (*kernel, x.channels, rng.randint(1, 5)))
        taps = kernel[0] * kernel[1] * x.channels
        acc = random_accumulator(rng, x.type.frac + qtype.frac, taps)
        self.add(ops.Conv2D(weights, qtype, accumulator=acc, **window))
        self.requantize()

    def grouped_conv(self) -> None:
        """A convolution whose channels do not all meet, or whose taps lie apart."""
        rng, x = self.rng, self.edge
        if len(x.shape) != 3 or x.type.width > 16:
            return
        window = _window(rng, x.hwc[:2], 5)
        if window is None:
            return
        reach = window.pop("kernel")
        dilation = tuple(rng.choice([d for d in range(1, 4) if (k - 1) % d == 0]) for k in reach)
        kernel = [(k - 1) // d + 1 for k, d in zip(reach, dilation, strict=True)]
        groups = rng.choice([n for n in range(1, x.channels + 1) if x.channels % n == 0])
        groups = rng.choice([groups, x.channels])
        qtype = random_type(rng, (1, 6))
        outputs = groups * rng.randint(1, max(1, 6 // groups))
        weights = random_codes(rng, qtype, (*kernel, x.channels // groups, outputs))
        taps = weights.size // outputs
        acc = random_accumulator(rng, x.type.frac + qtype.frac, taps)
        self.add(
            ops.Conv2D(weights, qtype, accumulator=acc, dilation=dilation, groups=groups, **window)
        )
        self.requantize()

    def multi_threshold(self) -> None:
        """Any steps, those of the edge's own range more often; tables and searches."""
        rng, x = self.rng, self.edge
        steps = rng.choice([1, 2, 3, rng.randint(1, 40), rng.randint(1, 300)])
        rows = rng.choice([1, x.channels])
        low, high = rng.choice([x.range, (int(self.sample.min()), int(self.sample.max()))])
        thresholds = [
            sorted(rng.randint(low - 1, high + 1) for _ in range(steps)) for _ in range(rows)
        ]
        qtype = random_type(rng, (1, 9))
        values = random_codes(rng, qtype, (steps + 1,))
        shape = thresholds[0] if rows == 1 and rng.random() < 0.5 else thresholds
        self.add(ops.MultiThreshold(np.array(shape), values, qtype))

    def border(self) -> None:
        """A border of any value, or pixels several times."""
        rng, x = self.rng, self.edge
        if len(x.shape) != 3:
            return
        if rng.random() < 0.5:
            pads = tuple((rng.choice([0, 1, 2]), rng.choice([0, 1, 3])) for _ in range(2))
            value = rng.choice([0, rng.randint(x.type.min, x.type.max)])
            self.add(ops.Pad(pads, value if x.type.min <= value <= x.type.max else x.type.min))
        elif max(x.shape[:2]) <= 5:
            self.add(ops.Upsample((rng.randint(1, 3), rng.randint(1, 3))))

    def branches(self) -> None:
        """Two or three paths from one edge that meet again."""
        rng, start = self.rng, (self.edge, self.sample)
        join = rng.choice([ops.Add(), ops.Concat()])
        adds = isinstance(join, ops.Add)
        qtype = random_type(rng, (1, 8))
        ends = []
        for _ in range(rng.choice([2, 2, 3])):
            self.edge, self.sample = start
            for _ in range(rng.choice([0, 1, 1, 2])):
                channels = start[0].channels if adds else rng.randint(1, 4)
                self.same_conv(channels)
            if not adds:
                self.add(ops.Requantize.scaled(qtype, shift=rng.randint(0, 6)))
            ends.append((self.edge, self.sample))
        self.edge, self.sample = ends.pop()
        self.add(join, *ends)
        self.requantize()

    def few_weights(self) -> None:
        """A convolution or dense layer whose weights are powers of two, its input often signs."""
        rng = self.rng
        if rng.random() < 0.6:
            self.signs()
        few = rng.choice([[-1, 1], [-4, 4], [-1, 0, 1], [1], [-4, -2, 1, 8], [0, -2, 2, 4, 16]])
        qtype = QType(True, rng.randint(6, 8), rng.randint(-1, 6), *_modes(rng))
        x = self.edge
        outputs = rng.randint(1, 5)
        choose = np.random.default_rng(rng.getrandbits(32)).choice
        if len(x.shape) != 3:
            weights = choose(few, (x.size, outputs))
            acc = random_accumulator(rng, x.type.frac + qtype.frac, x.size)
            self.add(ops.Dense(weights, qtype, accumulator=acc))
        else:
            window = _window(rng, x.hwc[:2], 5)
            if window is None:
                return
            groups = rng.choice([1, 1, x.channels])
            weights = choose(few, (*window.pop("kernel"), x.channels // groups, groups * outputs))
            taps = weights[..., 0].size
            acc = random_accumulator(rng, x.type.frac + qtype.frac, taps)
            self.add(ops.Conv2D(weights, qtype, accumulator=acc, groups=groups, **window))
        self.requantize()

    def cast(self) -> None:
        """A type for each element, channel or position, zero among them."""
        rng, x = self.rng, self.edge
        modes = _modes(rng)
        frac = x.type.frac + rng.randint(-3, 2)
        types = []
        for _ in range(rng.choice([1, 2, 3, 6])):
            low = frac - rng.randint(0, 4)
            types.append(QType(rng.random() < 0.5, rng.randint(1, 7), low, *modes))
        shape = [n if rng.random() < 0.7 else 1 for n in x.shape]
        values = np.random.default_rng(rng.getrandbits(32))
        op = ops.Cast(tuple(types), values.integers(-1, len(types), shape))
        if op.type.width <= 16:
            self.add(op)

    def signs(self) -> None:
        """-1 and +1, at times 0, or one bit."""
        rng = self.rng
        middle = int(np.median(self.sample))
        qtype = QType(True, 2, 0, *_modes(rng))
        values = rng.choice([[-1, 1], [1, -1], [-1, 0, 1], [0, 1]])
        if values == [0, 1]:
            qtype = QType(False, 1, 0, *_modes(rng))
        thresholds = sorted(middle + rng.randint(-1, 1) for _ in values[1:])
        self.add(ops.MultiThreshold(np.array(thresholds), np.array(values), qtype))

    def same_conv(self, outputs: int) -> None:
        """A convolution that keeps rows and columns."""
        rng, x = self.rng, self.edge
        qtype = random_type(rng, (1, 6))
        shape = (rng.randint(1, 3), rng.randint(1, 3), x.channels, outputs)
        self.add(ops.Conv2D(random_codes(rng, qtype, shape), qtype, padding="same"))
        self.requantize()

    def dense(self) -> None:
        rng, x = self.rng, self.edge
        qtype = random_type(rng, (1, 8))
        weights = random_codes(rng, qtype, (x.size, rng.randint(1, 9)))
        acc = random_accumulator(rng, x.type.frac + qtype.frac, x.size)
        self.add(ops.Dense(weights, qtype, accumulator=acc))
        self.requantize()

    def pool(self) -> None:
        rng, x = self.rng, self.edge
        window = _window(rng, x.hwc[:2], 4)
        kind = rng.choice([ops.MaxPool, ops.SumPool])
        if window is None or x.type.width > 26:
            return
        op = kind(**window)
        self.add(op)

    def requantize(self) -> None:
        """Of a few tries the one that lets most values through: constants prove little."""
        tries = [random_requantize(self.rng, self.edge) for _ in range(self.rng.randint(1, 8))]
        self.add(max(tries, key=lambda t: self._variety(t) / (t.type.max - t.type.min)))

    def _variety(self, op: ops.Requantize) -> int:
        return np.unique(op.golden([self.sample], [self.edge])).size - 1

    def layer(self) -> None:
        rng = self.rng
        if len(self.edge.shape) == 3:
            kinds = [self.conv] * 5 + [self.pool] * 3 + [self.requantize, self.argmax]
            kinds += [self.flatten, self.reshape]
        else:
            kinds = [self.dense] * 4 + [self.requantize, self.argmax, self.reshape]
        rng.choice(kinds)()

    def argmax(self) -> None:
        if self.rng.random() < 0.5:
            self.add(ops.ArgMax())

    def flatten(self) -> None:
        if self.edge.size <= 100:
            self.add(ops.Flatten())

    def reshape(self) -> None:
        """The same elements with another number of channels."""
        size = self.edge.size
        channels = self.rng.choice([n for n in range(1, size + 1) if size % n == 0])
        rows = self.rng.choice([n for n in range(1, 10) if size // channels % n == 0])
        columns = size // channels // rows
        if channels <= 9 and columns <= 12:
            self.add(ops.Reshape((rows, columns, channels)))
