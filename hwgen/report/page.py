"""report.html: the report as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..flow.package_files import PackageFiles
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
class _Example:
    image: str | None
    scores: list[_Score]
    count: int


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
        result=package.graph.tensors[package.graph.outputs[0]],
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
    x = package.graph.inputs[0]
    zero = package.graph.tensors[package.graph.outputs[0]].type.zero_point
    examples = []
    for codes, outputs in zip(found["inputs"], found["outputs"], strict=True):
        image = frame_png(np.array(codes).reshape(x.shape), x.type.min, x.type.max)
        scores = _scores(outputs, zero) if len(outputs) <= _MOST_SCORES else []
        examples.append(_Example(image, scores, len(outputs)))
    return examples


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
