"""The tiled engine's shape: everything about it that is fixed in hardware."""

from __future__ import annotations

from dataclasses import dataclass

from ..numeric import ceil_div
from .isa import MOST_TILES, RECORD

BANKS = 4
"""Banks of the feature-map memory: row r of a tensor lies in bank r modulo BANKS."""
MAX_FEATURE_BYTES = 1 << 22
"""Bytes of the largest feature-map memory."""
MEM_WIDTHS = (32, 64, 128, 256)
"""Bits that a port to external memory can have."""
TILES = (1, 2, 4, MOST_TILES)
"""Numbers of tile units that an engine can have."""


@dataclass(frozen=True)
class EngineShape:
    """Everything about an engine that is fixed in hardware.

    pe : output channels at a time; simd : ifmap values that each takes a cycle. feature_bytes :
    of the feature-map memory, all banks. weight_words : of the weight memory, pe * simd bytes each.
    psum_words : of the psum memory, pe sums of 32 bits each. parameter_words : of the parameter
    memory, pe records each. mem_width : bits of the external memory's data port. tiles : tile units
    side by side, each with an array and all of these memories. requantizers : sums that are
    requantized at a time, all pe of a word if nothing is said.
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

    def __post_init__(self) -> None:
        if not self.requantizers:
            object.__setattr__(self, "requantizers", self.pe)
        for name in ("pe", "simd", "weight_words", "psum_words", "parameter_words"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        if not 4 <= self.pe <= 64 or not 4 <= self.simd <= 64:
            raise ValueError(f"an array of {self.pe}x{self.simd} is outside 4x4..64x64")
        if self.mem_width not in MEM_WIDTHS:
            raise ValueError(f"a memory port of {self.mem_width} bits: 32, 64, 128 or 256")
        if self.weight_bytes < self.bus_bytes:
            raise ValueError(
                f"a word of weights has {self.weight_bytes} bytes, a beat {self.bus_bytes}"
            )
        lanes = self.requantizers
        if lanes & (lanes - 1) or not 1 <= lanes <= self.pe:
            raise ValueError(f"{lanes} requantizers for {self.pe} sums: a power of two of them")
        bank = self.bank_bytes
        if bank < 4 * self.word or bank & (bank - 1) or self.feature_bytes > MAX_FEATURE_BYTES:
            raise ValueError(f"a feature-map memory of {self.feature_bytes} bytes")
        if self.tiles not in TILES:
            raise ValueError(f"{self.tiles} tile units: 1, 2, 4 or 8")

    @property
    def word(self) -> int:
        """Bytes that a bank of the feature-map memory reads or writes a cycle, at any address."""
        return max(self.pe, self.simd, self.mem_width // 8)

    @property
    def bank_bytes(self) -> int:
        """Bytes of one bank."""
        return self.feature_bytes // BANKS

    @property
    def weight_bytes(self) -> int:
        """Bytes of one word of weights."""
        return self.pe * self.simd

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
