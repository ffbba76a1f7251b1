"""Components that a test only constructs are never elaborated: that is no mistake here."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")
