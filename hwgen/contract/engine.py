"""The tiled engine's shape: everything about it that is fixed in hardware."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..numeric import ceil_div
from .features import Feature, left_out
from .isa import MOST_TILES, RECORD, WINDOW_TAPS

BANKS = 4
"""Banks of the feature-map memory: row r of a tensor lies in bank r modulo BANKS."""
MAX_FEATURE_BYTES = 1 << 22
"""Bytes of the largest feature-map memory."""
MEM_WIDTHS = (32, 64, 128, 256)
"""Bits that a port to external memory can have."""
TILES = (1, 2, 4, MOST_TILES)
"""Numbers of tile units that an engine can have."""
MOST_BITS = 16
"""Bits of the widest ifmap values and weights."""
STORED_BITS = (2, 4, 8, 16)
"""Bits that an ifmap value can have in memory."""
LEAST_PSUM_BITS = 32
"""Bits of a psum, where ifmap values and weights need no more."""
_HEADROOM = 11
"""Bits of a psum beyond those of an ifmap value and a weight: sums of 2,048 products of the largest
unsigned ifmap values, and of twice as many of signed ones."""


@dataclass(frozen=True)
class EngineShape:
    """Everything about an engine that is fixed in hardware.

    pe : output channels at a time; simd : ifmap values that each takes a cycle. feature_bytes :
    of the feature-map memory, all banks. weight_words : of the weight memory, pe * simd weights
    each. psum_words : of the psum memory, pe sums each. parameter_words : of the parameter
    memory, pe records each. mem_width : bits of the external memory's data port. tiles : tile units
    side by side, each with an array and all of these memories. requantizers : sums that are
    requantized at a time, all pe of a word if nothing is said. ifmap_bits, weight_bits : of an
    ifmap value, with its sign where it has one, and of a weight, which has one.
    """

    pe: int = 16
    simd: int = 16
    feature_bytes: int = 64 << 10
    weight_words: int = 256
    psum_words: int = 256
    parameter_words: int = 64
    mem_width: int = 64
    tiles: int = 1
    requantizers: int = 0
    ifmap_bits: int = 8
    weight_bits: int = 8
    without: tuple[Feature, ...] = ()

    def __post_init__(self) -> None:
        if not self.requantizers:
            object.__setattr__(self, "requantizers", self.pe)
        object.__setattr__(self, "without", left_out(self.without))
        for name in ("ifmap_bits", "weight_bits"):
            if not 1 <= getattr(self, name) <= MOST_BITS:
                raise ValueError(f"{name} must be 1 to {MOST_BITS}, got {getattr(self, name)}")
        for name in ("pe", "simd", "weight_words", "psum_words", "parameter_words"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        if not 4 <= self.pe <= 64 or not 4 <= self.simd <= 64:
            raise ValueError(f"an array of {self.pe}x{self.simd} is outside 4x4..64x64")
        if self.mem_width not in MEM_WIDTHS:
            raise ValueError(f"a memory port of {self.mem_width} bits: 32, 64, 128 or 256")
        if self.mem_width > widest_port(self.pe, self.simd, self.weight_bits):
            raise ValueError(
                f"a word of weights has {self.weight_word_bytes} bytes, a beat {self.bus_bytes}"
            )
        lanes = self.requantizers
        if lanes & (lanes - 1) or not 1 <= lanes <= self.pe:
            raise ValueError(f"{lanes} requantizers for {self.pe} sums: a power of two of them")
        bank = self.bank_bytes
        if bank < 4 * self.word or bank & (bank - 1) or self.feature_bytes > MAX_FEATURE_BYTES:
            raise ValueError(f"a feature-map memory of {self.feature_bytes} bytes")
        if self.tiles not in TILES:
            raise ValueError(f"{self.tiles} tile units: 1, 2, 4 or 8")

    def to_json(self) -> dict[str, Any]:
        """All that is stated of it, as a JSON value."""
        return asdict(self) | {"without": list(self.without)}

    @property
    def word(self) -> int:
        """Bytes that a bank of the feature-map memory reads or writes a cycle, at any address."""
        return max(self.value_bytes(max(self.pe, self.simd)), self.mem_width // 8)

    @property
    def stored_bits(self) -> int:
        """Bits that an ifmap value has in memory."""
        return next(bits for bits in STORED_BITS if bits >= self.ifmap_bits)

    def has(self, feature: Feature) -> bool:
        """Whether it has a feature. A softmax takes and gives bytes: engines of other values have
        none. A window takes a lane for each of its taps."""
        possible = {
            Feature.SOFTMAX: self.stored_bits == 8,
            Feature.WINDOW: self.simd >= WINDOW_TAPS**2,
        }
        return feature not in self.without and possible.get(feature, True)

    @property
    def lacks(self) -> tuple[Feature, ...]:
        """The features that it does not have."""
        return tuple(feature for feature in Feature if not self.has(feature))

    def value_bytes(self, count: int) -> int:
        """Bytes of so many ifmap values side by side."""
        return ceil_div(count * self.stored_bits, 8)

    @property
    def bank_bytes(self) -> int:
        """Bytes of one bank."""
        return self.feature_bytes // BANKS

    @property
    def weight_bytes(self) -> int:
        """Bytes of one word of weights in external memory: whole beats."""
        return ceil_div(self.weight_word_bytes, self.bus_bytes) * self.bus_bytes

    @property
    def weight_word_bytes(self) -> int:
        """Bytes of one word of weights in the weight memory."""
        return self.pe * self.simd * self.weight_bits // 8

    @property
    def lane_bits(self) -> int:
        """Bits of a weight in external memory where those of lane 0 alone are given."""
        return 8 if self.weight_bits <= 8 else 16

    @property
    def takes_one_lane(self) -> bool:
        """Whether weights of lane 0 alone can be given: a beat then fills whole slices of words."""
        return self.simd * self.weight_bits % self.lane_bits == 0

    @property
    def psum_bits(self) -> int:
        """Bits of a sum: as many as products of these operands need."""
        return max(LEAST_PSUM_BITS, self.ifmap_bits + self.weight_bits + _HEADROOM)

    @property
    def psum_word_bytes(self) -> int:
        """Bytes of one word of psums, the last one perhaps not whole."""
        return ceil_div(self.pe * self.psum_bits, 8)

    @property
    def parameter_row_bytes(self) -> int:
        """Bytes of the records that all requantizers take at a time: whole beats."""
        return ceil_div(self.requantizers * RECORD.size // 8, self.bus_bytes) * self.bus_bytes

    @property
    def parameter_bytes(self) -> int:
        """Bytes of one word of parameters."""
        return self.result_parts * self.parameter_row_bytes

    @property
    def result_parts(self) -> int:
        """Parts in which the requantizers take a word of sums."""
        return self.pe // self.requantizers

    @property
    def bus_bytes(self) -> int:
        """Bytes of a beat of external memory."""
        return self.mem_width // 8


def widest_port(pe: int, simd: int, weight_bits: int) -> int:
    """Bits of the widest port to external memory that an array can have: a beat brings one word of
    weights at most, where they have 8 bits or more; narrower ones may leave a part of it unused."""
    return pe * simd * max(8, weight_bits)
