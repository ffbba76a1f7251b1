"""Model files that the importers refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.errors import UserError
from hwgen.importers import load


def refusal(path: Path, **options: Any) -> str:
    """The message for a model file, which names it."""
    with pytest.raises(UserError) as caught:
        load(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)
