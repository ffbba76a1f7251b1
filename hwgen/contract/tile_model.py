"""A tile unit in NumPy: its memories, and what descriptors do with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..aliases import Array
from ..numeric import gemmlowp, packed, unpacked
from .engine import BANKS, EngineShape
from .features import Feature, asks
from .isa import (
    FACTOR_BITS,
    RECORD,
    SOFTMAX_CHANNELS,
    TABLE_FRACTION,
    TABLE_WORDS,
    Operand,
    Reduction,
    Round,
    Target,
    row_lanes,
)
from .rounding import rounded
from .tile_walk import ProgramError, TileSteps, Values, places

STEPS = 1 << 14
"""Steps of a tile that are computed at a time."""


class TileUnitModel:
    """A tile unit: its memories, and what is done with them."""

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.features = np.zeros((BANKS, shape.bank_bytes), np.uint8)
        self.weights = np.zeros((shape.weight_words, shape.pe, shape.simd), np.int16)
        self.psums = np.zeros((shape.psum_words, shape.pe), np.int64)
        self.parameters: dict[int, list[Values]] = {}
        self.tables = np.zeros((2, TABLE_WORDS), np.int64)

    def load(self, d: Values, memory: Array) -> None:
        """External memory to a buffer."""
        target = Target(d["target"])
        if target is Target.FEATURES:
            for row in range(d["rows"]):
                start = d["address"] + row * d["pitch"]
                data = memory[start : start + d["bytes"]]
                self._row(d, row, d["base"], d["bank_pitch"])[:] = data
            return
        if target is Target.TABLES and not self.shape.has(Feature.TABLES):
            raise ProgramError("a load of tables, which there are none of")
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

    def _weights(self, word: Array, given: Array, one_lane: bool) -> None:
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

    def store(self, d: Values, memory: Array) -> None:
        """Feature maps to external memory."""
        for row in range(d["rows"]):
            start = d["address"] + row * d["pitch"]
            memory[start : start + d["bytes"]] = self._row(d, row, d["base"], d["bank_pitch"])

    def _row(self, d: Values, row: int, base: int, pitch: int) -> Array:
        ring = (d["first"] + row) % d["ring"]
        start = base + ring // BANKS * pitch
        if start + d["bytes"] > self.shape.bank_bytes:
            raise ProgramError(f"a row of {d['bytes']} bytes at {start} leaves its bank")
        return self.features[ring % BANKS, start : start + d["bytes"]]

    def compute(self, d: Values) -> None:
        """One tile of a layer."""
        for feature in self.shape.lacks:
            if asks(d, feature):
                raise ProgramError(f"a tile that asks for {feature}, which there is none of")
        if d["softmax"]:
            return self._softmax(d)
        lanes = row_lanes(self.shape.simd, d["tap_rows"]) * self.shape.stored_bits
        if d["tap_rows"] and (d["operand"] != Operand.DENSE or lanes % 8):
            raise ProgramError(f"a step of {d['tap_rows'] + 1} rows")
        steps = TileSteps.of(d, self.shape.psum_words)
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

    def _wrapped(self, sums: Array) -> Array:
        """Sums as psums hold them."""
        half = 1 << self.shape.psum_bits - 1
        return (sums + half) % (2 * half) - half

    def _taps(self, d: Values, row: Array, position: Array) -> Array:
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

    def _read(self, d: Values, row: Array, position: Array, count: int) -> Array:
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

    def _values(self, bank: Array, place: Array, count: int) -> Array:
        """Ifmap values (n, count) from these bytes on, without sign."""
        bits, size = self.shape.stored_bits, self.shape.value_bytes(count)
        at = (place[:, None] + np.arange(size)) % self.shape.bank_bytes
        raw = self.features[bank[:, None], at]
        return raw if bits == 8 else unpacked(raw, bits, signed=False)[:, :count]

    def _products(self, d: Values, x: Array, weight: Array) -> Array:
        if d["ones"]:
            return x[:, :, 0] + np.zeros((1, self.shape.pe), np.int64)
        w = self.weights[weight].astype(np.int64)
        if d["operand"] == Operand.DEPTHWISE:
            return x[:, :, 0] * w[:, :, 0]
        return np.matmul(w, x[:, 0, :, None])[..., 0] if x.shape[1] == 1 else (x * w).sum(axis=2)

    def _results(self, d: Values, sums: Array) -> None:
        """Finished sums (results, pe), in order, become bytes of the ofmap."""
        row, position, second, group = places(d)
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

    def _second(self, d: Values, row: Array, position: Array) -> Array:
        """Array of the second operand (results, pe): its values' lowest bits."""
        ring = (d["second_first"] + row) % d["second_ring"]
        place = d["second_base"] + ring // BANKS * d["second_pitch"] + position
        return self._values(ring % BANKS, place, self.shape.pe).astype(np.uint8)

    def _softmax(self, d: Values) -> None:
        """Vectors of the second operand to their softmax."""
        groups, pe = d["groups"], self.shape.pe
        channels = (groups - 1) * pe + d["lanes"]
        over_words = d["out0_group"] and d["out0_count"] == groups
        if not over_words or d["no_writeback"] or not 0 < channels <= SOFTMAX_CHANNELS:
            raise ProgramError(f"a softmax of {channels} bytes in {groups} words")
        row, position, second, group = places(d)
        x = self._second(d, row, second).view(np.int8 if d["x_signed"] else np.uint8)
        vectors = x.reshape(-1, groups * pe)[:, :channels].astype(np.int64)
        difference = vectors.max(axis=1, keepdims=True) - vectors
        out = np.minimum(gemmlowp.normalized(self.tables[0][difference], 8), 255) + d["low"]
        out = np.pad(out, ((0, 0), (0, groups * pe - channels)))
        self._write(d, out.reshape(-1, pe), row, position, group)

    def _write(self, d: Values, value: Array, row: Array, position: Array, group: Array) -> None:
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


def _factor(values: Array) -> Array:
    """Integers modulo 2**FACTOR_BITS, signed."""
    half = 1 << FACTOR_BITS - 1
    return (values + half & 2 * half - 1) - half


def _number(values: Array, bits: int, signed: int) -> Array:
    """What the lowest bits of integers mean."""
    values = values.astype(np.int64) & (1 << bits) - 1
    return values - ((values >> bits - 1) << bits) if signed else values
