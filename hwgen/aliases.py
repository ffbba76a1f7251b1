"""Names of types that several rooms use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
"""An array of any numbers."""
Arrays = dict[str, Array]
"""Arrays by the names of tensors: frames (frames, *shape) of inputs, outputs or edges."""
ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
"""An array of bytes."""
Progress = Callable[[str], None]
"""Is told what is being done, for a person who waits."""
