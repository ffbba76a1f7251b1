"""Array files of the command line: .npy and .npz, read with clear refusals, written whole."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..aliases import Array
from ..emit.package import npz_bytes, vector_keys
from ..emit.place import followed, write_files
from ..errors import UserError, naming
from ..ir import Graph

_DAMAGED = (ValueError, EOFError, MemoryError, OverflowError, BadZipFile, zlib.error, KeyError)
"""What NumPy raises for files that are damaged, pickled or no arrays at all."""


def load_array(path: Path) -> Array:
    """The array of a .npy file. Raises UserError."""
    array = _load(path)
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(
            "is an .npz archive, one array is needed", file=path, hint="save it with numpy.save"
        )
    if not array.size:
        raise UserError(f"is empty (shape {array.shape})", file=path, hint="give a frame or more")
    return array


def load_labelled(path: Path, graph: Graph) -> tuple[dict[str, Array], Array]:
    """Samples of each input by its name, in the model file's shape, and labels ``y`` of an .npz
    file.

    Its arrays have the keys that vectors.npz of a package has. Raises UserError, also for a network
    with several outputs.
    """
    if len(graph.outputs) != 1:
        raise UserError(
            f"labels are of one output, this network has {len(graph.outputs)}: "
            f"{', '.join(map(repr, graph.outputs))}",
            hint="hwgen run gives all of them",
        )
    keys, _ = vector_keys(graph)
    wanted = [*keys.values(), "y"]
    hint = f"save it with numpy.savez(file, {', '.join(f'{key}=...' for key in wanted)})"
    archive = _load(path)
    if isinstance(archive, np.ndarray):
        told = f"{', '.join(wanted[:-1])} and y"
        raise UserError(f"is a single array, {told} are needed", file=path, hint=hint)
    with archive:
        missing = {*wanted} - set(archive.files)
        if missing:
            names = " and ".join(repr(name) for name in sorted(missing))
            there = ", ".join(archive.files) or "nothing"
            raise UserError(f"has no array {names}, only {there}", file=path, hint=hint)
        try:
            x, y = {name: archive[key] for name, key in keys.items()}, archive["y"]
        except _DAMAGED as error:
            raise _damaged(path, error) from None
    with naming(path):
        x = graph.framed(x)
    y = y.reshape(-1)
    for array in x.values():
        if len(array) != len(y) or not len(array):
            raise UserError(f"has {len(array)} samples and {len(y)} labels", file=path)
    if y.dtype.kind not in "iu":
        raise UserError(f"labels have type {y.dtype}, integers are needed", file=path)
    classes = graph.tensors[graph.outputs[0]].size
    if y.min() < 0 or (classes > 1 and y.max() >= classes):
        raise UserError(
            f"labels are {y.min()}..{y.max()}, the network's output has {classes} classes",
            file=path,
        )
    return x, y


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"can not be read ({error.strerror or error})", file=path) from None
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason:
        reason = "objects or other data, numbers are needed"
    return UserError(f"is not a readable array file ({reason})", file=path, hint="save it again")


def array_bytes(array: Array) -> bytes:
    """The array as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def save_arrays(files: Mapping[Path, Array | Mapping[str, Array]]) -> None:
    """Write .npy files (arrays) and .npz files (arrays by name): all of them or none.

    Where a path is a link, the file that it leads to is written. Raises UserError.
    """
    write_files({followed(path): _file_bytes(value) for path, value in files.items()})


def _file_bytes(value: Array | Mapping[str, Array]) -> bytes:
    return array_bytes(value) if isinstance(value, np.ndarray) else npz_bytes(value)
