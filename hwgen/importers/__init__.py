"""Model files to graphs. Each format is one row of ``IMPORTERS``; heavy packages load lazily.

What is not supported raises UserError with the file, the layer, the reason and what to do;
nothing is approximated.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..ir import Graph, graph_from_json
from ..numeric import QType
from ..validation import read_json
from ..values import one_of
from .limits import check_edges

__all__ = ["IMPORTERS", "RUNTIMES", "Importer", "ModelFile", "Options", "load"]

RUNTIMES = ("tflm", "xnnpack", "reference")
"""Runtimes by name; a TensorFlow Lite file means other integers to each."""

_ZIP_SIGNATURE = b"PK\x03\x04"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ModelFile:
    """A model file as its importer is chosen: its path and first bytes, and its JSON if it is."""

    path: Path
    head: bytes

    @cached_property
    def json(self) -> Any:
        """The parsed file where it is JSON, else None."""
        text = self.head.removeprefix(codecs.BOM_UTF8).lstrip()
        if self.path.suffix.lower() != ".json" and not text.startswith(b"{"):
            return None
        return read_json(self.path)


@dataclass(frozen=True)
class Options:
    """What the user says beside the file: None where nothing.

    ``input_type`` for formats that do not state it; ``weights`` a file of weights; ``runtime``
    the name of the one whose integers are kept, for formats with several.
    """

    input_type: QType | None = None
    weights: Path | None = None
    runtime: str | None = None

    def given(self) -> dict[str, str]:
        """What was said: the field, and how to call it."""
        names = {"input_type": "an input type", "weights": "a weights file", "runtime": "a runtime"}
        return {field: name for field, name in names.items() if getattr(self, field) is not None}


@dataclass(frozen=True)
class Importer:
    """One format.

    ``suffixes`` usual endings, for messages and for files that are damaged at their beginning;
    ``matches`` whether the content is of this format; ``read`` makes the graph; ``takes`` the
    options that mean something to it.
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[ModelFile], bool]
    read: Callable[[ModelFile, Options], Graph]
    takes: tuple[str, ...] = ()


def _is_own(source: ModelFile) -> bool:
    return isinstance(source.json, dict) and "format" in source.json


def _read_own(source: ModelFile, options: Options) -> Graph:
    return graph_from_json(source.json)


def _is_qkeras(source: ModelFile) -> bool:
    from .qkeras import is_architecture

    return source.head.startswith(_HDF5_SIGNATURE) or is_architecture(source.json)


def _read_qkeras(source: ModelFile, options: Options) -> Graph:
    from .qkeras import load_qkeras

    return load_qkeras(source.path, source.json, options.input_type, options.weights)


def _is_keras_archive(source: ModelFile) -> bool:
    # Other archives begin in the same way.
    return source.head.startswith(_ZIP_SIGNATURE) and source.path.suffix.lower() == ".keras"


def _read_keras_archive(source: ModelFile, options: Options) -> Graph:
    from .hgq import load_hgq
    from .keras.archive import read_archive
    from .qkeras.archives import is_qkeras, load_archive

    archive = read_archive(source.path)
    read = load_archive if is_qkeras(archive.config) else load_hgq
    return read(source.path, archive, options.input_type)


def _is_tflite(source: ModelFile) -> bool:
    from .tflite import is_tflite

    return is_tflite(source.head)


def _read_tflite(source: ModelFile, options: Options) -> Graph:
    from .tflite import Runtime, load_tflite

    return load_tflite(source.path, Runtime(options.runtime or Runtime.TFLM))


def _is_onnx(source: ModelFile) -> bool:
    from .onnx import is_onnx

    return is_onnx(source.head)


def _read_onnx(source: ModelFile, options: Options) -> Graph:
    from .onnx import load_onnx

    return load_onnx(source.path, options.input_type)


IMPORTERS: tuple[Importer, ...] = (
    Importer("hwgen model description", (".json",), _is_own, _read_own),
    Importer(
        "HGQ2 or QKeras", (".keras",), _is_keras_archive, _read_keras_archive, ("input_type",)
    ),
    Importer(
        "QKeras", (".h5", ".hdf5", ".json"), _is_qkeras, _read_qkeras, ("input_type", "weights")
    ),
    Importer("TensorFlow Lite", (".tflite",), _is_tflite, _read_tflite, ("runtime",)),
    Importer("ONNX", (".onnx",), _is_onnx, _read_onnx, ("input_type",)),
)
"""All formats; the first whose content matches reads the file."""


def load(
    path: str | Path,
    *,
    input_type: QType | None = None,
    weights: str | Path | None = None,
    runtime: str | None = None,
) -> Graph:
    """Read a model file of any supported format.

    Parameters
    ----------
    path : the model: QKeras HDF5, Keras architecture JSON, HGQ2 .keras, TensorFlow Lite, ONNX,
        or the project's own JSON.
    input_type : type of the input, for formats that do not state it.
    weights : HDF5 weights of an architecture JSON; None: ``NAME_weights.h5`` or ``NAME.h5``.
    runtime : of RUNTIMES, whose integers are kept; None: the format's usual one.

    Raises UserError, naming the file, for whatever can not be read or is not supported.
    """
    path = Path(path)
    if runtime is not None:
        runtime = one_of("--runtime", runtime, RUNTIMES)
    try:
        source = ModelFile(path, _head(path))
        importer = _choose(source)
        options = Options(input_type, None if weights is None else Path(weights), runtime)
        for field, name in options.given().items():
            if field not in importer.takes:
                raise UserError(f"{name} was given, but a file of this format says its own")
        return check_edges(importer.read(source, options))
    except UserError as error:
        raise error.within(path) from None
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        raise UserError(f"there is not enough memory to read it{reason}", file=path) from None
    except OSError as error:
        raise UserError(f"can not be read ({error.strerror or error})", file=path) from None


def _head(path: Path) -> bytes:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise UserError("its name is not UTF-8", hint="rename it: reports say it") from None
    if path.is_dir():
        raise UserError("is a directory", hint="give the model file")
    if not path.exists():
        raise UserError("no such file")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise UserError("the file is empty")
    return head


def _choose(source: ModelFile) -> Importer:
    for importer in IMPORTERS:
        if importer.matches(source):
            return importer
    suffix = source.path.suffix.lower()
    formats = "; ".join(f"{i.name} ({', '.join(i.suffixes)})" for i in IMPORTERS)
    expected = [i.name for i in IMPORTERS if suffix in i.suffixes]
    if expected:
        raise UserError(
            f"the content is not that of a {suffix} file ({' or '.join(expected)})",
            hint="it may be damaged: copy or save it again",
        )
    raise UserError(
        f"no importer reads files ending in {suffix!r}"
        if suffix
        else "the format is not recognized",
        hint=f"supported are {formats}",
    )
