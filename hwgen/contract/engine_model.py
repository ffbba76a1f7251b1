"""What a program of descriptors means: the tiled engine's memories and units in NumPy.

The model carries out descriptors one after the other, in any order that their waits allow. It
knows nothing of networks and of cycles. Plans are tried on it before there is hardware, and
hardware is held against it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..numeric import gemmlowp, packed, unpacked
from .engine import BANKS, EngineShape
from .isa import (
    COUNTER_BITS,
    DOUBLE_BITS,
    FACTOR_BITS,
    LEVELS,
    OUTPUT_LEVELS,
    RECORD,
    RECORDS,
    SINGLE_BITS,
    SKIPPING,
    SLOT,
    SOFTMAX_CHANNELS,
    TABLE_FRACTION,
    TABLE_WORDS,
    Loop,
    Opcode,
    Operand,
    Reduction,
    Round,
    Target,
    row_lanes,
    slots,
)

Values = dict[str, int]
Bytes = np.ndarray
STEPS = 1 << 14
"""Steps of a tile that are computed at a time."""


Pick = Callable[[list[int]], int]


class ProgramError(Exception):
    """A descriptor that no engine could carry out."""


@dataclass
class MovedBytes:
    """Bytes moved to and from external memory, by what they belong to.

    What is loaded are whole beats of memory's port.
    """

    loaded: Counter[str]
    stored: int = 0


class EngineModel:
    """An engine: external memory and tile units.

    memory : external memory as uint8, which programs change. units : the tile units. traffic : what
    has been moved.
    """

    def __init__(self, shape: EngineShape, memory: Bytes) -> None:
        self.shape, self.memory = shape, memory
        self.units = [TileUnitModel(shape) for _ in range(shape.tiles)]
        self.traffic = MovedBytes(Counter())

    def run(self, program: int, pick: Pick | None = None) -> None:
        """Carry out the program whose first descriptor lies at this place in external memory.

        ``pick`` chooses among the descriptors that may begin, given by their numbers in the
        program; without it the first one does. Raises ProgramError where none may.
        """
        descriptors = self.descriptors(program)
        waiting = {
            op: deque(n for n, d in enumerate(descriptors) if d["op"] == op) for op in RECORDS
        }
        work = {Opcode.LOAD: self.load, Opcode.STORE: self.store, Opcode.COMPUTE: self.compute}
        finished = dict.fromkeys(RECORDS, 0)
        tiles = list(waiting[Opcode.COMPUTE])
        given: list[deque[int]] = [deque() for _ in self.units]
        done: set[int] = set()
        while any((*waiting.values(), *given)):
            # Tiles are given out in order, each when what it waits for is finished.
            queue = waiting[Opcode.COMPUTE]
            while queue and may(descriptors[queue[0]], finished):
                d = descriptors[queue[0]]
                given[self._number(d)].append(queue.popleft())
            ready = [queue[0] for queue in given if queue]
            for op in (Opcode.LOAD, Opcode.STORE):
                if waiting[op] and may(descriptors[waiting[op][0]], finished):
                    ready.append(waiting[op][0])
            if not ready:
                raise ProgramError("every descriptor waits for another one")
            number = min(ready) if pick is None else pick(sorted(ready))
            d = descriptors[number]
            op = Opcode(d["op"])
            (given[d["unit"]] if op is Opcode.COMPUTE else waiting[op]).popleft()
            work[op](d)
            if op is not Opcode.COMPUTE:
                finished[op] += 1
                continue
            # They count in the program's order, whichever unit is the faster.
            done.add(number)
            while finished[op] < len(tiles) and tiles[finished[op]] in done:
                finished[op] += 1

    def descriptors(self, program: int) -> list[Values]:
        """All descriptors of a program."""
        found = []
        while (op := Opcode(int(self.memory[program]) & 15)) is not Opcode.END:
            size = slots(op) * SLOT
            found.append(RECORDS[op].unpack(self.memory[program : program + size].tobytes()))
            program += size
        return found

    def load(self, d: Values) -> None:
        """External memory to a buffer of one unit or several."""
        units = d["units"]
        if not 0 < units < 1 << len(self.units):
            raise ProgramError(f"a load to the units {units:#b}")
        target = Target(d["target"]).name.lower()
        self.traffic.loaded[target] += self._beats(d) * self.shape.bus_bytes
        for n, unit in enumerate(self.units):
            if units >> n & 1:
                unit.load(d, self.memory)

    def store(self, d: Values) -> None:
        """Feature maps of a unit to external memory."""
        self.traffic.stored += d["rows"] * d["bytes"]
        self.units[self._number(d)].store(d, self.memory)

    def compute(self, d: Values) -> None:
        """One tile of a layer."""
        self.units[self._number(d)].compute(d)

    def _beats(self, d: Values) -> int:
        """Beats of external memory that a load reads: rows begin and end inside of some."""
        bus = self.shape.bus_bytes
        starts = [d["address"] + row * d["pitch"] for row in range(d["rows"])]
        return sum((start + d["bytes"] - 1) // bus - start // bus + 1 for start in starts)

    def _number(self, d: Values) -> int:
        if d["unit"] >= len(self.units):
            raise ProgramError(f"unit {d['unit']} of {len(self.units)}")
        return d["unit"]


class TileUnitModel:
    """A tile unit: its memories, and what is done with them."""

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.features = np.zeros((BANKS, shape.bank_bytes), np.uint8)
        self.weights = np.zeros((shape.weight_words, shape.pe, shape.simd), np.int16)
        self.psums = np.zeros((shape.psum_words, shape.pe), np.int64)
        self.parameters: dict[int, list[Values]] = {}
        self.tables = np.zeros((2, TABLE_WORDS), np.int64)

    def load(self, d: Values, memory: Bytes) -> None:
        """External memory to a buffer."""
        target = Target(d["target"])
        if target is Target.FEATURES:
            for row in range(d["rows"]):
                start = d["address"] + row * d["pitch"]
                data = memory[start : start + d["bytes"]]
                self._row(d, row, d["base"], d["bank_pitch"])[:] = data
            return
        data = memory[d["address"] : d["address"] + d["bytes"]]
        bus = self.shape.bus_bytes
        whole = target is Target.TABLES or len(data) % max(1, d["word_beats"] * bus) == 0
        lanes_wrong = d["one_lane"] and (
            target is not Target.WEIGHTS or not self.shape.takes_one_lane
        )
        if not whole or lanes_wrong:
            raise ProgramError(f"a load of {len(data)} bytes in words of {d['word_beats']} beats")
        if target is Target.WEIGHTS:
            for n, given in enumerate(data.reshape(-1, d["word_beats"] * bus)):
                self._weights(self.weights[d["base"] + n], given, bool(d["one_lane"]))
        elif target is Target.PARAMETERS:
            for n, given in enumerate(data.reshape(-1, d["word_beats"] * bus)):
                records = list(self._records(given.tobytes()))
                none: list[Values] = [{"mult": 0, "bias": 0, "shift": 0}] * self.shape.pe
                kept = self.parameters.get(d["base"] + n, none)
                self.parameters[d["base"] + n] = records + kept[len(records) :]
        else:
            entries = data.view("<i4").astype(np.int64)
            first = d["base"] * (bus // 4)
            self.tables.reshape(-1)[first : first + len(entries)] = entries

    def _weights(self, word: Bytes, given: Bytes, one_lane: bool) -> None:
        """Change the first ones of a word of weights (pe, simd)."""
        shape = self.shape
        if one_lane:
            values = unpacked(given, shape.lane_bits, signed=True)[: shape.pe]
            word[: len(values)] = 0
            word[: len(values), 0] = values
        else:
            values = unpacked(given, shape.weight_bits, signed=True)[: word.size]
            word.reshape(-1)[: len(values)] = values

    def _records(self, word: bytes) -> Iterator[Values]:
        """The records of a word: in rows of whole beats, as requantizers take them."""
        record, row = RECORD.size // 8, self.shape.parameter_row_bytes
        for start in range(0, len(word), row):
            within = min(row, len(word) - start)
            for n in range(min(self.shape.requantizers, within // record)):
                yield RECORD.unpack(word[start + n * record :][:record])

    def store(self, d: Values, memory: Bytes) -> None:
        """Feature maps to external memory."""
        for row in range(d["rows"]):
            start = d["address"] + row * d["pitch"]
            memory[start : start + d["bytes"]] = self._row(d, row, d["base"], d["bank_pitch"])

    def _row(self, d: Values, row: int, base: int, pitch: int) -> Bytes:
        ring = (d["first"] + row) % d["ring"]
        start = base + ring // BANKS * pitch
        if start + d["bytes"] > self.shape.bank_bytes:
            raise ProgramError(f"a row of {d['bytes']} bytes at {start} leaves its bank")
        return self.features[ring % BANKS, start : start + d["bytes"]]

    def compute(self, d: Values) -> None:
        """One tile of a layer."""
        if d["softmax"]:
            return self._softmax(d)
        lanes = row_lanes(self.shape.simd, d["tap_rows"]) * self.shape.stored_bits
        if d["tap_rows"] and (d["operand"] != Operand.DENSE or lanes % 8):
            raise ProgramError(f"a step of {d['tap_rows'] + 1} rows")
        steps = _TileSteps.of(d, self.shape.psum_words)
        if d["operand"] == Operand.DEPTHWISE_WINDOW:
            steps = steps.windows(d)
        sums = np.zeros((steps.count, self.shape.pe), np.int64)
        if d["reduction"] == Reduction.MAX:
            sums[:] = -(1 << 31)
        goes_on = ~steps.begins[steps.sum]
        sums[steps.sum[goes_on]] = self.psums[steps.psum[goes_on]]
        for start in range(0, len(steps.position), STEPS):
            part = slice(start, start + STEPS)
            x = self._taps(d, steps.row[part], steps.position[part])
            if d["reduction"] == Reduction.MAX:
                np.maximum.at(sums, steps.sum[part], x[:, :, 0])
            else:
                np.add.at(sums, steps.sum[part], self._products(d, x, steps.weight[part]))
        sums = self._wrapped(sums)
        if d["no_writeback"]:
            self.psums[steps.psum] = sums[steps.sum]
            return
        self._results(d, sums[steps.finished])

    def _wrapped(self, sums: Bytes) -> Bytes:
        """Sums as psums hold them."""
        half = 1 << self.shape.psum_bits - 1
        return (sums + half) % (2 * half) - half

    def _taps(self, d: Values, row: Bytes, position: Bytes) -> Bytes:
        """Ifmap values (steps, 1 or pe, lanes) as integers."""
        shape = self.shape
        if d["operand"] == Operand.DEPTHWISE_WINDOW:
            lanes = np.zeros((len(row), shape.pe, shape.simd), np.int64)
            for tap_row in range(3):
                for column in range(3):
                    lanes[:, :, 3 * tap_row + column] = self._read(
                        d, row[:, tap_row], position[:, column], shape.pe
                    )
            return lanes
        if d["operand"] == Operand.DEPTHWISE:
            return self._read(d, row, position, shape.pe)[:, :, None]
        count = row_lanes(shape.simd, d["tap_rows"])
        lanes = np.zeros((len(row), 1, shape.simd), np.int64)
        for n in range(d["tap_rows"] + 1):
            lanes[:, 0, n * count : (n + 1) * count] = self._read(d, row + n, position, count)
        return lanes

    def _read(self, d: Values, row: Bytes, position: Bytes, count: int) -> Bytes:
        ring = (d["x_first"] + row - d["x_row"]) % d["x_ring"]
        at = position[:, None] + np.arange(count) * self.shape.stored_bits // 8
        place = d["x_base"] + ring // BANKS * d["x_pitch"] + position
        data = self._values(ring % BANKS, place, count)
        inside = (row >= 0) & (row < d["x_rows"])
        valid = inside[:, None] & (at >= 0) & (at < d["x_bytes"])
        bits = self.shape.ifmap_bits
        pad = _number(np.array(d["pad"]), min(bits, 8), d["x_signed"])
        if bits > 8 and d["reduction"] == Reduction.MAX:
            pad = -(1 << bits - 1) if d["x_signed"] else 0
        return np.where(valid, _number(data, bits, d["x_signed"]), pad)

    def _values(self, bank: Bytes, place: Bytes, count: int) -> Bytes:
        """Ifmap values (n, count) from these bytes on, without sign."""
        bits, size = self.shape.stored_bits, self.shape.value_bytes(count)
        at = (place[:, None] + np.arange(size)) % self.shape.bank_bytes
        raw = self.features[bank[:, None], at]
        return raw if bits == 8 else unpacked(raw, bits, signed=False)[:, :count]

    def _products(self, d: Values, x: Bytes, weight: Bytes) -> Bytes:
        if d["ones"]:
            return x[:, :, 0] + np.zeros((1, self.shape.pe), np.int64)
        w = self.weights[weight].astype(np.int64)
        if d["operand"] == Operand.DEPTHWISE:
            return x[:, :, 0] * w[:, :, 0]
        return np.matmul(w, x[:, 0, :, None])[..., 0] if x.shape[1] == 1 else (x * w).sum(axis=2)

    def _results(self, d: Values, sums: Bytes) -> None:
        """Finished sums (results, pe), in order, become bytes of the ofmap."""
        row, position, second, group = _places(d)
        if len(sums) != len(row):
            raise ProgramError(f"{len(sums)} sums for {len(row)} results")
        if d["product"] and not d["second"]:
            raise ProgramError("a product without a second operand")
        step = 0 if d["one_word"] else 1
        fields = {
            name: np.array(
                [[record[name] for record in self.parameters[d["parameter"] + g * step]]
                 for g in range(d["groups"])], object,
            )[group]
            for name in ("mult", "bias", "shift")
        }  # fmt: skip
        if d["product"]:
            kind = np.int8 if d["product_signed"] else np.uint8
            factors = self._second(d, row, second).view(kind).astype(np.int64)
            sums = _factor(sums + d["product_sum"]) * _factor(factors + d["product_second"])
        value = sums.astype(object) * fields["mult"] + fields["bias"]
        value = rounded(value, fields["shift"], Round(d["rounding"])) + d["offset"]
        value = np.clip(value, d["low"], d["high"])
        if d["tables"]:
            total = self.tables[0][(value & 255).astype(np.int64)].astype(object)
            if d["second"] and not d["product"]:
                total = total + self.tables[1][self._second(d, row, second)].astype(object)
            how = Round.HALF_EVEN if d["second_half_even"] else Round.FLOOR
            value = rounded(total, np.array(TABLE_FRACTION), how)
            value = np.clip(value + d["second_offset"], d["second_low"], d["second_high"])
        self._write(d, value.astype(np.int64), row, position, group)

    def _second(self, d: Values, row: Bytes, position: Bytes) -> Bytes:
        """Bytes of the second operand (results, pe): its values' lowest bits."""
        ring = (d["second_first"] + row) % d["second_ring"]
        place = d["second_base"] + ring // BANKS * d["second_pitch"] + position
        return self._values(ring % BANKS, place, self.shape.pe).astype(np.uint8)

    def _softmax(self, d: Values) -> None:
        """Vectors of the second operand to their softmax."""
        groups, pe = d["groups"], self.shape.pe
        channels = (groups - 1) * pe + d["lanes"]
        if not self.shape.has_softmax:
            raise ProgramError(f"a softmax of values of {self.shape.stored_bits} bits")
        over_words = d["out0_group"] and d["out0_count"] == groups
        if not over_words or d["no_writeback"] or not 0 < channels <= SOFTMAX_CHANNELS:
            raise ProgramError(f"a softmax of {channels} bytes in {groups} words")
        row, position, second, group = _places(d)
        x = self._second(d, row, second).view(np.int8 if d["x_signed"] else np.uint8)
        vectors = x.reshape(-1, groups * pe)[:, :channels].astype(np.int64)
        difference = vectors.max(axis=1, keepdims=True) - vectors
        out = np.minimum(gemmlowp.normalized(self.tables[0][difference], 8), 255) + d["low"]
        out = np.pad(out, ((0, 0), (0, groups * pe - channels)))
        self._write(d, out.reshape(-1, pe), row, position, group)

    def _write(self, d: Values, value: Bytes, row: Bytes, position: Bytes, group: Bytes) -> None:
        ring = (d["y_first"] + row) % d["y_ring"]
        place = d["y_base"] + ring // BANKS * d["y_pitch"] + position
        bits = 32 if d["wide"] else self.shape.stored_bits
        last = d["groups"] - 1
        for n in range(len(value)):
            lanes = d["lanes"] if group[n] == last else self.shape.pe
            out = packed(value[n, :lanes], bits)
            if not 0 <= place[n] <= self.shape.bank_bytes - len(out):
                raise ProgramError(f"a result at {place[n]} leaves its bank")
            self.features[ring[n] % BANKS, place[n] : place[n] + len(out)] = out


def _factor(values: Bytes) -> Bytes:
    """Integers modulo 2**FACTOR_BITS, signed."""
    half = 1 << FACTOR_BITS - 1
    return (values + half & 2 * half - 1) - half


@dataclass
class _TileSteps:
    """Steps of a tile in order: what each reads, and which sum it belongs to.

    begins : of each sum, whether it does here; else it goes on from the psum memory. finished : the
    sums that give results, as they are finished.
    """

    row: Bytes
    position: Bytes
    weight: Bytes
    psum: Bytes
    sum: Bytes
    begins: Bytes
    finished: Bytes

    @property
    def count(self) -> int:
        """Number of sums."""
        return len(self.begins)

    @classmethod
    def of(cls, d: Values, psum_words: int) -> _TileSteps:
        counts = [d[f"loop{n}_count"] for n in range(LEVELS)]
        if min(counts) < 1:
            raise ProgramError("a loop of no steps")
        index = np.indices(counts[::-1])[::-1].reshape(LEVELS, -1)
        places = {}
        for what in ("position", "row", "weight", "psum"):
            places[what] = np.tensordot(_strides(d, "loop", what, counts), index, 1)
        first, last = np.full((2, index.shape[1]), [[not d["accumulate"]], [True]])
        for n in range(LEVELS):
            if Loop(d[f"loop{n}_kind"]) is Loop.TAP:
                first &= index[n] == 0
                last &= index[n] == counts[n] - 1
        for n in SKIPPING:
            last &= index[n] >= d[f"loop{n}_skip"]
        psum = (places["psum"] + d["psum"]) % psum_words
        number, begins = _sums(psum, first)
        return cls(
            places["row"] + d["x_row"], places["position"] + d["x_position"],
            places["weight"] + d["weight"], psum, number, begins, number[last],
        )  # fmt: skip

    def windows(self, d: Values) -> _TileSteps:
        """The steps at which a window is complete; rows and positions of its nine taps."""
        columns = d["loop0_count"]
        across = d["loop0_position"]
        column = np.arange(len(self.row)) % columns
        behind = column - d["window_first"]
        done = (behind >= 0) & (behind % d["window_step"] == 0)
        row = self.row[done][:, None] + np.arange(3)
        back = np.arange(2, -1, -1)
        position = self.position[done][:, None] - back * across
        # What is left of the row's first column is padding, whatever lies there.
        position = np.where(column[done][:, None] >= back, position, -(1 << 20))
        number = np.arange(len(row))
        begins = np.ones(len(row), bool)
        return _TileSteps(row, position, self.weight[done], self.psum[done], number, begins, number)


def _sums(psum: Bytes, first: Bytes) -> tuple[Bytes, Bytes]:
    """Which sum each step belongs to, and which sums begin with their first step.

    A sum is the steps of one psum from one that is ``first`` to before the next that is.
    """
    order = np.argsort(psum, kind="stable")
    other = np.ones(len(psum), bool)
    other[1:] = psum[order][1:] != psum[order][:-1]
    starts = other | first[order]
    number = np.empty(len(psum), np.int64)
    number[order] = np.cumsum(starts) - 1
    return number, first[order][starts]


def may(d: Values, finished: dict[Opcode, int]) -> bool:
    """Whether all that a descriptor waits for is finished; counters wrap."""
    half = 1 << COUNTER_BITS - 1
    return all(
        (count - d[f"wait_{op.name.lower()}"]) % (2 * half) < half for op, count in finished.items()
    )


def _number(values: Bytes, bits: int, signed: int) -> Bytes:
    """What the lowest bits of integers mean."""
    values = values.astype(np.int64) & (1 << bits) - 1
    return values - ((values >> bits - 1) << bits) if signed else values


def _strides(d: Values, loop: str, what: str, counts: list[int]) -> Bytes:
    """The stride of each loop: its increment without what it takes back of the loops inside."""
    strides: list[int] = []
    for n in range(len(counts)):
        inner = sum((c - 1) * s for c, s in zip(counts, strides, strict=False))
        strides.append(d[f"{loop}{n}_{what}"] + inner)
    return np.array(strides)


def _places(d: Values) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Row, position, second position and group of every result in order."""
    counts = [d[f"out{n}_count"] for n in range(OUTPUT_LEVELS)]
    index = np.indices(counts[::-1])[::-1].reshape(OUTPUT_LEVELS, -1)
    row, position, second = (
        np.tensordot(_strides(d, "out", what, counts), index, 1)
        for what in ("row", "position", "second")
    )
    group = sum(index[n] for n in range(OUTPUT_LEVELS) if d[f"out{n}_group"])
    return row, position, second, np.broadcast_to(group, row.shape)


def rounded(value: Bytes, shift: Bytes, how: Round) -> Bytes:
    """Python integers divided by ``2**shift`` and rounded; see ``Round``."""
    if how is Round.FLOAT:
        value, how = _nearest(value, _excess(value)) << _excess(value), Round.HALF_EVEN
    if how is Round.HALF_EVEN:
        return _nearest(value, shift)
    floor = value >> shift
    if how is Round.FLOOR:
        return floor
    negative, rest = value < 0, value - (floor << shift)
    if how is Round.DOUBLE:
        rest = np.where(shift > DOUBLE_BITS, rest >> DOUBLE_BITS << DOUBLE_BITS, 0)
    twice, whole = 2 * rest, np.left_shift(np.ones_like(value), shift)
    up = {
        Round.HALF_AWAY: (twice > whole) | (twice == whole) & ~negative,
        Round.DOUBLE: (twice > whole) | (twice == whole) & ~negative,
        Round.HALF_TO_ZERO: (twice > whole) | (twice == whole) & negative,
        Round.TO_ZERO: (rest > 0) & negative,
        Round.FROM_ZERO: (rest > 0) & ~negative,
    }[how]
    return floor + up.astype(bool).astype(int)


def _nearest(value: Bytes, shift: Bytes) -> Bytes:
    """The nearest integer, at a tie the even one."""
    half = np.where(shift > 0, np.left_shift(np.ones_like(value), shift) >> 1, 1)
    return (value + half - 1 + (value >> shift & 1)) >> shift


def _excess(value: Bytes) -> Bytes:
    """The bits of values beyond a float32's significand."""
    bits = np.vectorize(lambda v: max(0, int(v).bit_length() - SINGLE_BITS), otypes=[object])
    return bits(value)
