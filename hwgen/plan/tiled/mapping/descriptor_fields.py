"""A tile of a task as the fields of a COMPUTE descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....contract.engine import EngineShape
from ....contract.isa import LEVELS, OUTPUT_LEVELS, SKIPPING, Loop, Operand, Reduction
from ..network.tasks import Stored, Task
from .stationarity import Stationarity, margins, scatters
from .tile import Taps, Tile, View

Values = dict[str, int]


def compute(
    task: Task,
    tile: Tile,
    taps: Taps,
    shape: EngineShape,
    x: Stored,
    y: Stored,
    views: tuple[View, View, View | None],
    second: Stored | None,
    places: Mapping[str, int],
) -> Values:
    """Fields of the descriptor. views : of ifmap, ofmap and second operand. places : words of
    weights, parameters and psums."""
    of_x, of_y, of_second = views
    if task.softmax is not None:
        return _softmax(task, tile, shape, x, y, of_x, of_y)
    pixel = x.span(of_x.depth)
    stride, ((top, _), (left, _)) = task.stride, task.pads
    rows, columns, cout_blocks = (b - a for a, b in (tile.rows, tile.columns, tile.cout_blocks))
    (ky, _), (kx, _), (cin_block, _) = tile.taps
    scattered = scatters(tile.stationarity, y.shape[:2])
    first_row, first_column = (
        out[0] // times for out, times in zip((tile.rows, tile.columns), task.repeat, strict=True)
    )
    row = first_row * stride[0] - top + ky * taps.rows * task.dilation[0]
    column = first_column * stride[1] - left - of_x.columns[0]
    position = column * pixel + kx * taps.across + cin_block * shape.value_bytes(taps.lanes)
    values: Values = {
        "operand": task.operand,
        "tap_rows": taps.rows - 1,
        "reduction": task.reduction,
        "ones": int(task.weights is None and task.reduction is Reduction.SUM),
        "x_signed": int(x.signed),
        "accumulate": int(tile.accumulate),
        "no_writeback": int(tile.no_writeback),
        "pad": task.pad & 255,
        "x_base": of_x.base,
        "x_pitch": of_x.pitch,
        "x_ring": of_x.ring,
        "x_row": row,
        "x_rows": x.shape[0],
        "x_bytes": (of_x.columns[1] - of_x.columns[0]) * pixel,
        "weight": places["weights"],
        "psum": places["psums"],
    }
    if task.operand is Operand.DEPTHWISE or task.operand is Operand.DEPTHWISE_WINDOW:
        position += x.span(tile.cout_blocks[0] * shape.pe - of_x.channels[0])
    loops = _loops(task, taps, tile, shape, pixel, scattered)
    if task.operand is Operand.DEPTHWISE_WINDOW:
        before = max(0, -column)
        position += before * pixel
        values["window_first"] = task.kernel[1] - 1 - before
        values["window_step"] = stride[1]
        loops[0] = _Loop(
            Loop.PIXEL, task.kernel[1] - before + (columns - 1) * stride[1], position=pixel
        )
    values["x_position"] = position
    values["x_first"] = of_x.ring_row(row)
    values |= _fields("loop", loops, LEVELS, ("position", "row", "weight", "psum"))
    for n in range(LEVELS):
        values[f"loop{n}_ring"] = values[f"loop{n}_row"] % of_x.ring
        values[f"loop{n}_kind"] = loops[n].kind if n < len(loops) else Loop.PIXEL
    if not tile.no_writeback:
        values |= _results(
            task, tile, shape, y, of_y, second, of_second, cout_blocks, rows, columns
        )
        values["parameter"] = places["parameters"]
        values["one_word"] = int(task.requant.alike)
    if scattered:
        # Above and left of the tile's first outputs sums are finished too: they miss taps.
        for n, steps in zip(SKIPPING, reversed(margins(task)), strict=True):
            values[f"loop{n}_skip"] = steps
    return values


def _softmax(
    task: Task, tile: Tile, shape: EngineShape, x: Stored, y: Stored, of_x: View, of_y: View
) -> Values:
    """Fields of a softmax, which reads the ifmap as the second operand."""
    rows, columns, cout_blocks = (b - a for a, b in (tile.rows, tile.columns, tile.cout_blocks))
    values: Values = {"softmax": 1, "operand": Operand.DEPTHWISE, "x_signed": int(x.signed)}
    values |= _fields("loop", [], LEVELS, ())
    values |= {f"loop{n}_kind": Loop.PIXEL for n in range(LEVELS)}
    values |= _results(task, tile, shape, y, of_y, x, of_x, cout_blocks, rows, columns)
    return values | {"second": 0}


@dataclass(frozen=True)
class _Loop:
    kind: Loop
    count: int
    position: int = 0
    row: int = 0
    weight: int = 0
    psum: int = 0
    second: int = 0


def _loops(
    task: Task, taps: Taps, tile: Tile, shape: EngineShape, pixel: int, scattered: bool
) -> list[_Loop]:
    """Innermost first. pixel : bytes of one of the ifmap.

    Cout blocks are outside of pixels, so that their parameters are seldom changed, unless an ifmap
    word stays for all of them.
    """
    rows, columns, cout_blocks = (b - a for a, b in (tile.rows, tile.columns, tile.cout_blocks))
    counts = [b - a for a, b in tile.taps]
    words = counts[0] * counts[1] * counts[2]
    if scattered:
        down, across = margins(task)
        rows, columns = rows + down, columns + across
    shared, held = task.operand is Operand.DENSE, tile.accumulate or tile.no_writeback
    # Where a sum is finished before the next one begins, it needs no place.
    many = held or (tile.stationarity is not Stationarity.OUTPUT and words > 1)
    apart = held or tile.stationarity is Stationarity.INPUT
    cout_block = _Loop(
        Loop.GROUP, cout_blocks, weight=words, psum=rows * columns if many and apart else 0,
        position=0 if shared else shape.value_bytes(shape.pe),
    )  # fmt: skip
    across = _Loop(Loop.PIXEL, columns, position=task.stride[1] * pixel, psum=int(many))
    down = _Loop(Loop.PIXEL, rows, row=task.stride[0], psum=columns if many else 0)
    if task.operand is Operand.DEPTHWISE_WINDOW:
        return [across, down, cout_block]
    if task.repeat != (1, 1):
        again_down, again_across = (_Loop(Loop.PIXEL, times) for times in task.repeat)
        across = replace(across, count=columns // task.repeat[1])
        down = replace(down, count=rows // task.repeat[0])
        return [again_across, across, again_down, down, cout_block]
    position = shape.value_bytes(taps.lanes)
    cin_block = _Loop(Loop.TAP, counts[2], position=position, weight=1)
    if scattered:
        # The ifmap pixel stays where it is: a tap further on is a pixel of the ofmap back.
        steps = (columns * task.dilation[0], task.dilation[1])
        tap_row = _Loop(Loop.TAP, counts[0], weight=counts[1] * counts[2], psum=-steps[0])
        tap_column = _Loop(Loop.TAP, counts[1], weight=counts[2], psum=-steps[1])
        return [tap_column, tap_row, cout_block, across, down, cin_block]
    inner = [
        cin_block,
        _Loop(Loop.TAP, counts[1], position=taps.across, weight=counts[2]),
        _Loop(Loop.TAP, counts[0], row=taps.rows * task.dilation[0], weight=counts[1] * counts[2]),
    ]
    if tile.stationarity is Stationarity.WEIGHT:
        return [across, down, *inner, cout_block]
    if tile.stationarity is Stationarity.INPUT:
        return [cout_block, across, down, *inner]
    return [*inner, across, down, cout_block]


def _results(
    task: Task, tile: Tile, shape: EngineShape, y: Stored, of_y: View, second: Stored | None,
    of_second: View | None, cout_blocks: int, rows: int, columns: int,
) -> Values:  # fmt: skip
    requant, first = task.requant, tile.cout_blocks[0] * shape.pe
    outputs = min(task.outputs - first, cout_blocks * shape.pe)
    start = (tile.columns[0] - of_y.columns[0]) * y.pixel + y.span(task.channel + first)
    values: Values = {
        "rounding": requant.rounding,
        "offset": requant.offset,
        "low": requant.low,
        "high": requant.high,
        "wide": int(y.wide),
        "groups": cout_blocks,
        "lanes": outputs - (cout_blocks - 1) * shape.pe,
        "y_base": of_y.base + start,
        "y_pitch": of_y.pitch,
        "y_ring": of_y.ring,
        "y_first": of_y.ring_row(tile.rows[0]),
    }
    other = second.pixel if second is not None else 0
    cout_block = _Loop(
        Loop.GROUP,
        cout_blocks,
        position=y.span(shape.pe),
        second=shape.value_bytes(shape.pe) if other else 0,
    )
    across = _Loop(Loop.PIXEL, columns, position=y.pixel, second=other)
    down = _Loop(Loop.PIXEL, rows, row=1)
    # All words of a vector are one behind the other.
    cout_blocks_first = task.softmax is not None or tile.stationarity is Stationarity.INPUT
    order = [cout_block, across, down] if cout_blocks_first else [across, down, cout_block]
    values |= _fields("out", order, OUTPUT_LEVELS, ("position", "row", "second"))
    for n, loop in enumerate(order):
        values[f"out{n}_group"] = int(loop.kind is Loop.GROUP)
    if task.tables is not None:
        last = task.tables
        values |= {
            "tables": 1,
            "second_half_even": int(last.half_even),
            "second_offset": last.offset,
            "second_low": last.low,
            "second_high": last.high,
        }
    if second is not None and of_second is not None:
        begin = (tile.columns[0] - of_second.columns[0]) * other + second.span(first)
        values |= {
            "second": 1,
            "second_base": of_second.base + begin,
            "second_pitch": of_second.pitch,
            "second_ring": of_second.ring,
            "second_first": of_second.ring_row(tile.rows[0]),
        }
        if task.product is not None:
            of_sum, of_byte = task.product.zeros
            values |= {
                "product": 1,
                "product_signed": int(second.signed),
                "product_sum": -of_sum,
                "product_second": -of_byte,
            }
    return values


def _fields(prefix: str, loops: Sequence[_Loop], levels: int, names: tuple[str, ...]) -> Values:
    """Counts and increments: what a loop adds, less what the loops inside it added."""
    values = {}
    back = dict.fromkeys(names, 0)
    for n in range(levels):
        loop = loops[n] if n < len(loops) else _Loop(Loop.PIXEL, 1)
        values[f"{prefix}{n}_count"] = loop.count
        for name in names:
            step = getattr(loop, name)
            values[f"{prefix}{n}_{name}"] = step - back[name] if loop.count > 1 else 0
            back[name] += (loop.count - 1) * step
    return values
