"""Geometry that plan and gateware share: a sliding window over frames that arrive row by row. Plain
numbers, nothing that computes on data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..numeric.division import ceil_div


@dataclass(frozen=True)
class WindowGeometry:
    """A window of ``kernel`` (rows, columns) moved by ``stride`` over ``size`` (rows, columns).

    ``pads`` is ((top, bottom), (left, right)); ``channels`` of a pixel arrive in beats of
    ``lanes``; ``pixels`` neighbouring output pixels are made at a time.

    The columns of an output row enter a shift register one after the other. Where the window of
    the last pixels of a row hangs over the right edge, something must take the place of the
    missing columns. If rows follow one below the other (stride 1) these are the first columns
    of the next row, which are needed anyway (``fused``): so a row costs no more steps than it
    has columns. Otherwise, and after the last row of a frame, they are virtual steps.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    size: tuple[int, int]
    channels: int
    lanes: int
    pixels: int = 1

    def __post_init__(self) -> None:
        for what in ("kernel", "stride", "size"):
            if min(getattr(self, what)) < 1:
                raise ValueError(f"{what} {getattr(self, what)} must be at least 1")
        if min(self.channels, self.lanes, self.pixels) < 1:
            raise ValueError("channels, lanes and pixels must be at least 1")
        if self.lanes > self.channels:
            raise ValueError(f"{self.lanes} lanes are more than {self.channels} channels")
        for pad, k in zip(self.pads, self.kernel, strict=True):
            if not 0 <= min(pad) <= max(pad) < k:
                raise ValueError(f"padding {self.pads} is not smaller than kernel {self.kernel}")
        if min(self.out_size) < 1:
            raise ValueError("the window does not fit")

    @cached_property
    def out_size(self) -> tuple[int, int]:
        """Output rows and columns."""
        rows, columns = (
            (n + sum(p) - k) // s + 1 if n + sum(p) >= k else 0
            for n, k, s, p in zip(self.size, self.kernel, self.stride, self.pads, strict=True)
        )
        return rows, columns

    @cached_property
    def groups(self) -> int:
        """Groups of ``pixels`` in an output row; the last may be partly beyond the edge."""
        return ceil_div(self.out_size[1], self.pixels)

    @cached_property
    def beats(self) -> int:
        """Beats of an input pixel."""
        return ceil_div(self.channels, self.lanes)

    @cached_property
    def row_beats(self) -> int:
        """Beats of an input row."""
        return self.size[1] * self.beats

    @cached_property
    def window_columns(self) -> int:
        """Columns that a group of pixels sees."""
        return self.kernel[1] + (self.pixels - 1) * self.stride[1]

    @cached_property
    def step(self) -> int:
        """Columns by which one group follows the other."""
        return self.stride[1] * self.pixels

    @cached_property
    def first_steps(self) -> int:
        """Columns that enter for the first group of a row."""
        return self.window_columns - self.pads[1][0]

    @cached_property
    def columns_read(self) -> int:
        """Real columns that a row of outputs needs."""
        return min(self.size[1], self.first_steps + (self.groups - 1) * self.step)

    @cached_property
    def virtual_steps(self) -> int:
        """Columns beyond the right edge."""
        return self.first_steps + (self.groups - 1) * self.step - self.columns_read

    @cached_property
    def fused(self) -> bool:
        """Whether a row's virtual columns are the next row's first ones."""
        return (
            self.stride[0] == 1
            and self.virtual_steps < self.first_steps
            and self.virtual_steps <= self.columns_read
        )

    def first_row(self, out_row: int) -> int:
        """First real input row of an output row."""
        return min(max(0, out_row * self.stride[0] - self.pads[0][0]), self.size[0] - 1)

    def last_row(self, out_row: int) -> int:
        """Last real input row of an output row."""
        low = out_row * self.stride[0] - self.pads[0][0]
        return max(0, min(self.size[0] - 1, low + self.kernel[0] - 1))

    def rows_waited(self, out_row: int) -> int:
        """Index of the last row needed, counted from the first one kept."""
        return self.last_row(out_row) - self.first_row(out_row)

    def rows_released(self, out_row: int) -> int:
        """Rows that are not needed any more when an output row has been read."""
        last = out_row == self.out_size[0] - 1
        following = self.size[0] if last else self.first_row(out_row + 1)
        return following - self.first_row(out_row)
