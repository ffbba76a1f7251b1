"""HDF5 files, taken apart within limits of memory and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import UserError
from ..confined import confined
from ..limits import check_unpacked


class Arrays:
    """Reads arrays of a file of ``size`` bytes as long as all of them together are no larger than
    such a file can be expected to hold."""

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0

    def read(self, dataset: Any) -> np.ndarray[Any, Any]:
        """A stored array. Raises UserError where there are too many bytes."""
        self._taken += int(dataset.size or 0) * dataset.dtype.itemsize
        check_unpacked(self._taken, self._size, "arrays that it states")
        return np.asarray(dataset)


def read_confined(file: Path | BinaryIO, size: int, read: Callable[[Any, Arrays], Any]) -> Any:
    """What ``read`` takes from an open HDF5 file, with its Arrays.

    ``size`` : bytes of the file. Raises UserError where it is damaged.
    """
    import h5py  # only those who import such models pay for it

    def content() -> Any:
        try:
            with h5py.File(file, "r") as opened:
                return read(opened, Arrays(size))
        except UserError:
            raise
        except Exception as error:
            # A damaged file surfaces as many kinds of exceptions from inside h5py; all mean the
            # same.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"not a readable HDF5 file ({reason})", hint="copy or save it again"
            ) from None

    return confined(content, size)
