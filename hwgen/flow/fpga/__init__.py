"""Synthesis, placement and routing for FPGAs with open tools."""

from .devices import DEVICES, Device
from .synth import synthesize

__all__ = ["DEVICES", "Device", "synthesize"]
