"""A tiled plan as a person reads it."""

from __future__ import annotations

from dataclasses import replace

from ...contract.engine import MEM_WIDTHS, widest_port
from ...errors import UserError
from ...plan.tiled.options import buffer_bytes
from ...plan.tiled.plan import WAITING, TiledPlan, plan_tiled
from ..protocol import Description, Table

WORTH = 0.03
"""Part of a frame's cycles that a wider port must save to be told of."""


def describe(plan: TiledPlan) -> Description:
    """A plan for ``hwgen inspect --plan``."""
    estimate = plan.estimate()
    wider = _wider(plan)
    value = plan.to_json() | {
        "multipliers": plan.multipliers,
        "interval_bound": plan.interval_bound,
        "memory_bound": plan.memory_bound,
        "wider_port": wider,
        "needs": list(plan.needs),
        "could_leave_out": list(plan.could_leave_out),
        "interval_estimate": estimate.cycles,
        "latency_estimate": estimate.cycles,
    }
    return Description(_lines(plan, wider), [_tiles(plan), _buffers(plan)], value)


def _wider(plan: TiledPlan) -> dict[str, int] | None:
    """What a port of twice the width would bring, where the array waits; None where that is next to
    nothing, or no port is wider."""
    width, shape = 2 * plan.shape.mem_width, plan.shape
    waits = plan.estimate().cycles > (1 + WAITING) * plan.interval_bound
    if (
        not waits
        or width > MEM_WIDTHS[-1]
        or width > widest_port(shape.pe, shape.simd, shape.weight_bits)
    ):
        return None
    try:
        engine = replace(shape, mem_width=width)
        wider = plan_tiled(plan.graph, engine, plan.resident, preferred=plan.preferred)
    except (UserError, ValueError):  # rows of buffers may not fit any more
        return None
    cycles = wider.estimate().cycles
    if cycles > (1 - WORTH) * plan.estimate().cycles:
        return None
    return {"mem_width": width, "interval_estimate": cycles}


def _lines(plan: TiledPlan, wider: dict[str, int] | None) -> list[str]:
    shape, estimate, program = plan.shape, plan.estimate(), plan.program
    lines = []
    arrays = "an array" if shape.tiles == 1 else f"{shape.tiles} tile units, each an array"
    if plan.used < shape.tiles:
        lines.append(f"{plan.used} of {shape.tiles} tile units have work: more make it no quicker")
    each = "" if shape.tiles == 1 else " of each unit"
    return [
        *lines,
        f"tiled plan: {arrays} of {shape.pe}x{shape.simd}, {plan.multipliers} multipliers; about "
        f"{estimate.cycles:,} cycles a frame (bound {plan.interval_bound:,})",
        f"  operands: ifmap values of {shape.ifmap_bits} bits, {shape.stored_bits} in memory; "
        f"weights of {shape.weight_bits}; sums of {shape.psum_bits}",
        f"  requantizers{each}: {shape.requantizers}, so that a word of {shape.pe} sums takes "
        f"{shape.result_parts} cycle{'s' if shape.result_parts > 1 else ''}",
        f"  buffers{each}: {buffer_bytes(shape) / 1024:g} KiB: feature maps "
        f"{shape.feature_bytes:,} bytes, weights {shape.weight_words} words, "
        f"psums {shape.psum_words}, parameters {shape.parameter_words}; "
        f"tiles held in each: {plan.resident}",
        f"  external memory: {shape.mem_width} bits; {len(program.memory):,} bytes, of these "
        f"{program.start:,} constants, {program.end - program.start:,} program",
        f"  bounds: array {plan.interval_bound:,} cycles, external memory {plan.memory_bound:,}",
        f"  {options_told(plan)}",
        *_advice(wider),
    ]


def options_told(plan: TiledPlan) -> str:
    """What of the engine the network needs, and what it could do without."""
    needs = ", ".join(plan.needs) or "nothing that can be left out"
    told = f"options that the network needs: {needs}"
    if plan.shape.without:
        told += f"; built without {', '.join(plan.shape.without)}"
    if plan.could_leave_out:
        told += f"; not needed: --without {','.join(plan.could_leave_out)}"
    return told


def _advice(wider: dict[str, int] | None) -> list[str]:
    if wider is None:
        return []
    return [
        f"  with a wider port (--mem-width {wider['mem_width']}): about "
        f"{wider['interval_estimate']:,} cycles"
    ]


def _tiles(plan: TiledPlan) -> Table:
    rows = []
    for row in plan.layers():
        tile, moved = row["tile"], row["bytes"]
        places = ["chip" if row[way]["stays"] else "memory" for way in ("ifmap", "ofmap")]
        rows.append(
            [row["name"], " -> ".join(places), f"{row['units']} by {row['split']}",
             f"{tile['rows']}x{tile['columns']}x{tile['outputs']}", row["tiles"], row["order"],
             moved["weights"] + moved["parameters"], moved["ifmaps"], moved["ofmaps"],
             row["interval_bound"], row["bounds"]["memory"], row["binds"],
             row["interval_estimate"]]
        )  # fmt: skip
    columns = [
        "layer", "ifmap -> ofmap", "units", "tile", "tiles", "order", "weight bytes", "ifmap bytes",
        "ofmap bytes", "steps", "port", "bound by", "cycles",
    ]  # fmt: skip
    if plan.shape.tiles == 1:
        columns.remove("units")
        rows = [row[:2] + row[3:] for row in rows]
    return Table("tiles (rows x columns x channels)", columns, rows)


def _buffers(plan: TiledPlan) -> Table:
    rows = [
        [row["name"], row["stationary"], *row["buffer_bytes"].values()] for row in plan.layers()
    ]
    totals = [sum(column) for column in zip(*(row[2:] for row in rows), strict=True)]
    columns = [
        "layer", "stationary", "ifmap bytes", "weight bytes", "psum bytes read", "written",
    ]  # fmt: skip
    return Table("between buffers and array", columns, [*rows, ["all", "", *totals]])
