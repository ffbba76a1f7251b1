"""What the result stage must do, in plain integers, and random commands for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, trunc
from random import Random

from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.isa import COMPUTE, Round

HALF = Fraction(1, 2)
LOW, HIGH = -(1 << 31), (1 << 31) - 1
Write = tuple[int, int, tuple[int | None, ...]]
"""Bank, address, bytes of a write, None where nothing is written."""


def rounded(value: int, shift: int, how: Round) -> int:
    """``value / 2**shift`` as an integer, from the fraction itself."""
    exact = Fraction(value, 1 << shift)
    if how is Round.FLOAT:
        drop = max(0, abs(value).bit_length() - 24)
        # Python rounds fractions to the nearest integer, ties to the even one.
        exact = Fraction(round(Fraction(value, 1 << drop)) << drop, 1 << shift)
    if how in (Round.FLOAT, Round.HALF_EVEN):
        return round(exact)
    if how is Round.DOUBLE:
        if shift < 32:
            return floor(exact)
        exact = Fraction(value >> 31, 1 << shift - 31)
    size = abs(exact)
    return {
        Round.FLOOR: floor(exact),
        Round.TO_ZERO: trunc(exact),
        Round.FROM_ZERO: ceil(size) * (1 if exact > 0 else -1),
        Round.HALF_AWAY: floor(size + HALF) * (1 if exact > 0 else -1),
        Round.DOUBLE: floor(size + HALF) * (1 if exact > 0 else -1),
        Round.HALF_TO_ZERO: ceil(size - HALF) * (1 if exact > 0 else -1),
    }[how]


@dataclass
class Parameters:
    """Of one channel."""

    mult: int
    bias: int
    shift: int

    def fields(self) -> dict[str, int]:
        """As the record has them."""
        return vars(self).copy()


@dataclass
class Command:
    """A command with its sums, the parameters of its channels and the second operand's bytes."""

    fields: dict[str, int]
    sums: list[list[int]] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[int, int, int, int]]:
        """Row, position, second position, group of each word, the loops stepped one by one."""
        f = self.fields
        counts = [f[f"out{n}_count"] for n in range(3)]
        index, row, position, second, group = [0, 0, 0], 0, 0, 0, 0
        while True:
            yield row, position, second, group
            n = 0
            while n < 3 and index[n] == counts[n] - 1:
                group = 0 if f[f"out{n}_group"] else group
                index[n], n = 0, n + 1
            if n == 3:
                return
            index[n] += 1
            group += f[f"out{n}_group"]
            row += f[f"out{n}_row"]
            position += f[f"out{n}_position"]
            second += f[f"out{n}_second"]

    def place(self, ring: str, row: int, position: int) -> tuple[int, int]:
        """Bank and address."""
        f = self.fields
        ring_row = (f[f"{ring}_first"] + row) % f[f"{ring}_ring"]
        return ring_row % BANKS, f[f"{ring}_base"] + ring_row // BANKS * f[
            f"{ring}_pitch"
        ] + position

    def value(self, acc: int, p: Parameters) -> int:
        """Of the first requantizer."""
        f = self.fields
        result = rounded(acc * p.mult + p.bias, p.shift, Round(f["rounding"])) + f["offset"]
        return min(max(result, f["low"]), f["high"])

    def product(self, acc: int, byte: int) -> int:
        """A sum times a byte of the second operand: factors of 9 bits."""
        f = self.fields
        byte -= 256 if f["product_signed"] and byte > 127 else 0
        first, second = acc + f["product_sum"], byte + f["product_second"]
        return ((first + 256) % 512 - 256) * ((second + 256) % 512 - 256)

    def combined(self, code: int, second: int, tables: list[int]) -> int:
        """Of the tables."""
        f = self.fields
        total = tables[code & 255] + (
            tables[256 + second] if f["second"] and not f["product"] else 0
        )
        how = Round.HALF_EVEN if f["second_half_even"] else Round.FLOOR
        value = rounded(total, 20, how) + f["second_offset"]
        return min(max(value, f["second_low"]), f["second_high"])

    def writes(
        self,
        shape: EngineShape,
        parameters: list[list[Parameters]],
        tables: list[int],
        features: list[bytes],
    ) -> Iterator[Write]:
        """All writes in their order."""
        f, size = self.fields, shape.bank_bytes
        for (row, position, second, group), sums in zip(self.walk(), self.sums, strict=True):
            lanes = f["lanes"] if group == f["groups"] - 1 else shape.pe
            of = parameters[f["parameter"] + group]
            out: list[int | None] = []
            other, first = self.place("second", row, second) if f["second"] else (0, 0)
            for lane in range(shape.pe):
                byte = features[other][(first + lane) % size]
                acc = self.product(sums[lane], byte) if f["product"] else sums[lane]
                value = self.value(acc, of[lane])
                if f["tables"]:
                    value = self.combined(value, byte, tables)
                count = 4 if f["wide"] else 1
                for n in range(count):
                    out.append(value >> 8 * n & 255 if lane < lanes else None)
            bank, addr = self.place("y", row, position)
            # Wide results are written as they come.
            step = min(shape.word, 4 * shape.requantizers) if f["wide"] else shape.word
            for start in range(0, len(out), step):
                part = out[start : start + step]
                part += [None] * (shape.word - len(part))
                yield bank, (addr + start) % size, tuple(part)


def spread(rng: Random, bits: int) -> int:
    """A signed integer of any size up to these bits, extremes among them."""
    kind = rng.random()
    top = (1 << bits - 1) - 1
    if kind < 0.1:
        return rng.choice([top, top - 1, -top - 1, -top, 0, 1, -1])
    value = rng.getrandbits(rng.randint(1, bits - 1))
    return value if kind < 0.6 else -value


def sums_of(rng: Random, p: Parameters) -> int:
    """A sum: any, or one near to which the result changes or is a tie."""
    kind = rng.random()
    if kind < 0.25:
        return rng.choice([LOW, LOW + 1, HIGH, HIGH - 1, 0, -1])
    if kind < 0.5 or p.mult == 0:
        return spread(rng, 32)
    twice = rng.randint(-300, 300)
    near = ((twice << p.shift) // 2 - p.bias) // p.mult
    return min(max(near + rng.randint(-1, 1), LOW), HIGH)


def parameters_of(rng: Random) -> Parameters:
    """Of one channel."""
    mult = rng.choice([1, 1 << rng.randint(0, 30), spread(rng, 32), spread(rng, 20)])
    return Parameters(mult, spread(rng, 58), rng.randint(0, 63))


def _bounds(rng: Random, low: int, high: int) -> tuple[int, int]:
    if rng.random() < 0.5:
        return low, high
    ends = sorted((rng.randint(low, high), rng.randint(low, high)))
    return ends[0], ends[1]


def _steps(strides: list[int], counts: list[int]) -> list[int]:
    """Increments of loops from their strides: the loops inside go back."""
    back = 0
    steps = []
    for stride, count in zip(strides, counts, strict=True):
        steps.append(stride - back)
        back += (count - 1) * stride
    return steps


def random_command(
    rng: Random,
    shape: EngineShape,
    parameters: list[list[Parameters]],
    kind: str,
    order: tuple[int, int, int],
    sizes: tuple[int, int, int] | None = None,
) -> Command:
    """A tile of ``sizes`` = columns, rows, groups of channels, in this order of loops.

    ``kind`` : bytes, wide, tables, second, product, wide product, product tables.
    """
    columns, rows, groups = sizes or (rng.randint(1, 4), rng.randint(1, 4), rng.randint(1, 3))
    lanes, wide = rng.randint(1, shape.pe), "wide" in kind
    product = "product" in kind
    tables, second = "tables" in kind or kind == "second", product or kind == "second"
    channels = (groups - 1) * shape.pe + lanes
    size = channels * (4 if wide else 1)
    beside = channels + rng.randint(0, 5)  # another tensor may have more channels
    f = dict.fromkeys((member.name for member in COMPUTE.fields), 0)
    counts = [(columns, rows, groups)[n] for n in order]
    for n, what in enumerate(order):
        f[f"out{n}_group"] = int(what == 2)
        f[f"out{n}_count"] = counts[n]
    strides = {
        "position": (size, 0, shape.pe * (4 if wide else 1)),
        "second": (beside, 0, shape.pe),
        "row": (0, 1, 0),
    }
    for name, values in strides.items():
        for n, step in enumerate(_steps([values[what] for what in order], counts)):
            f[f"out{n}_{name}"] = step
    for ring, pixel in (("y", size), ("second", beside)):
        f[f"{ring}_ring"] = rng.choice([4, 8, 12])
        f[f"{ring}_first"] = rng.randrange(f[f"{ring}_ring"])
        f[f"{ring}_pitch"] = columns * pixel + rng.randint(0, 9)
        f[f"{ring}_base"] = rng.randrange(shape.bank_bytes)
    f |= {
        "parameter": rng.randint(0, shape.parameter_words - groups), "groups": groups,
        "lanes": lanes, "wide": int(wide), "tables": int(tables), "second": int(second),
        "rounding": rng.choice([how for how in Round if how is not Round.FLOAT or not wide]),
        "offset": rng.choice([0, spread(rng, 9)]), "second_half_even": rng.getrandbits(1),
        "second_offset": rng.choice([0, spread(rng, 9)]), "product": int(product),
        "product_signed": rng.getrandbits(1), "product_sum": rng.choice([0, spread(rng, 9)]),
        "product_second": rng.choice([0, spread(rng, 9)]),
    }  # fmt: skip
    f["low"], f["high"] = _bounds(
        rng, *((LOW, HIGH) if wide else rng.choice([(-128, 127), (0, 255)]))
    )
    f["second_low"], f["second_high"] = _bounds(rng, *rng.choice([(-128, 127), (0, 255)]))
    command = Command(f)
    command.sums = [
        [sums_of(rng, p) for p in parameters[f["parameter"] + group]]
        for _, _, _, group in command.walk()
    ]
    return command
