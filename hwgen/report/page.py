"""report.html: the report as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..flow.package_files import PackageFiles
from ..ir import Graph
from .command_lines import commands_of
from .drawing import frame_png
from .html import number, render, shape, type_text
from .tiles import Tile, measured_later

_KINDS = ("lut", "ff", "dsp", "bram")
_MOST_SCORES = 32
"""Outputs of a frame that are drawn one by one."""


@dataclass(frozen=True)
class _Score:
    """An output as a bar from zero on; places in percent of the bar's room."""

    value: int
    left: float
    width: float
    zero: float
    best: bool


@dataclass(frozen=True)
class _Given:
    """What the RTL gave for a frame at one output; ``name`` is empty where it is the only one."""

    name: str
    scores: list[_Score]
    count: int


@dataclass(frozen=True)
class _Example:
    images: list[str]
    outputs: list[_Given]


def page(
    report: dict[str, Any],
    package: PackageFiles,
    tiles: Sequence[Tile],
    sections: Sequence[Markup],
) -> str:
    """The page of a report (see ``summary``).

    Parameters: ``tiles`` are the figures at the top, ``sections`` HTML, both of the architecture.
    """
    synthesis = report.get("synthesis")
    return render(
        "page.html",
        report=report,
        verified=report.get("verification"),
        tiles=[*tiles, *measured_later(report)],
        sections=sections,
        synthesis=synthesis,
        resources=[
            [name, *(number(used.get(kind)) for kind in _KINDS)]
            for name, used in (synthesis or {"layers": {}})["layers"].items()
        ],
        examples=_examples(package),
        results=_results(package.graph),
        edges=_edges(package),
        forms=report["requantizations"],
        commands=commands_of(package),
        tools=package.manifest["tools"],
        design=package.design,
    )


def _examples(package: PackageFiles) -> list[_Example]:
    """Frames that were given to the last verification, with the RTL's outputs."""
    found = (package.result("verify") or {}).get("examples")
    if not found:
        return []
    graph = package.graph
    inputs = _by_name(found["inputs"], [x.name for x in graph.inputs])
    outputs = _by_name(found["outputs"], graph.outputs)
    frames = len(next(iter(outputs.values())))
    return [
        _Example(
            _images(graph, {name: rows[n] for name, rows in inputs.items()}),
            [_given(graph, name, rows[n]) for name, rows in outputs.items()],
        )
        for n in range(frames)
    ]


def _by_name(rows: Any, names: Sequence[str]) -> dict[str, list[list[int]]]:
    """Frames by their names, which are not there where it is one alone."""
    return rows if len(names) > 1 else {names[0]: rows}


def _images(graph: Graph, frame: dict[str, list[int]]) -> list[str]:
    """The inputs of a frame that are images."""
    drawn = (
        frame_png(np.array(frame[x.name]).reshape(x.shape), x.type.min, x.type.max)
        for x in graph.inputs
    )
    return [image for image in drawn if image is not None]


def _given(graph: Graph, name: str, codes: list[int]) -> _Given:
    zero = graph.tensors[name].type.zero_point
    scores = _scores(codes, zero) if len(codes) <= _MOST_SCORES else []
    return _Given(name if len(graph.outputs) > 1 else "", scores, len(codes))


def _results(graph: Graph) -> str:
    """The types of the outputs, in words."""
    types = [type_text(graph.tensors[name].type) for name in graph.outputs]
    if len(types) == 1:
        return types[0]
    return "; ".join(f"{name}: {text}" for name, text in zip(graph.outputs, types, strict=True))


def _scores(outputs: list[int], zero: int) -> list[_Score]:
    """Bars from zero to each output, all on one scale. zero : the integer that means 0."""
    low, high = min(*outputs, zero), max(*outputs, zero)
    percent = 100 / max(1, high - low)
    best = outputs.index(max(outputs))
    return [
        _Score(
            value,
            percent * (min(value, zero) - low),
            percent * abs(value - zero),
            percent * (zero - low),
            n == best,
        )
        for n, value in enumerate(outputs)
    ]


def _edges(package: PackageFiles) -> list[list[str]]:
    titles = {node.name: node.title for node in package.graph.nodes}
    rows = []
    for tensor in package.graph.tensors.values():
        low, high = tensor.range
        layer = titles.get(tensor.name, "")
        text = [shape(tensor.shape), type_text(tensor.type), f"{low} .. {high}"]
        rows.append([tensor.name, "" if layer == tensor.name else layer, *text])
    return rows
