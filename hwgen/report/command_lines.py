"""Commands as a person types them into a shell."""

from __future__ import annotations

import shlex
from typing import Any

from ..flow.comparison import GIVEN, RANDOM
from ..flow.fpga import DEVICES
from ..flow.fpga.synth import SEED, TARGET_MHZ
from ..flow.package_files import PackageFiles

PLACE = "PACKAGE"
"""Stands for the directory of a package in what is printed into it."""
FRAMES = "FRAMES.npy"
"""Stands for the file of frames that a verification was given."""


def command_line(command: str, /, *places: object, **options: object) -> str:
    """``hwgen COMMAND PLACE... --OPTION VALUE...``, for a POSIX shell.

    places : files and directories. options : values by the option's name with underscores; True
    stands for the option alone, None and False for nothing, a list for the option with each of its
    values. Whatever a name or a value holds (blanks, quotation marks, a dash in front), the command
    gets it as it is.
    """
    words = ["hwgen", command, *(_place(str(place)) for place in places)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += _option(f"--{name.replace('_', '-')}", each)
    return shlex.join(words)


def _option(option: str, value: object) -> list[str]:
    """The words of an option with a value."""
    if value is None or value is False:
        return []
    text = "" if value is True else _text(value)
    if text.startswith("-"):
        return [f"{option}={text}"]
    return [option, text] if text else [option]


def _place(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _text(value: object) -> str:
    """Floats in the fewest digits that read back as the same number."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def commands_of(package: PackageFiles) -> list[str]:
    """What made a package and its results, to be run again beside the model's file."""
    lines = [_build(package.manifest)]
    verified = package.result("verify")
    if verified:
        lines.append(_verify(verified, [x.name for x in package.graph.inputs]))
    results = ((name, package.result(f"synth-{name}")) for name in DEVICES)
    lines += [_synth(name, result) for name, result in results if result]
    return lines


def _build(manifest: dict[str, Any]) -> str:
    options = manifest["options"] | {"out": PLACE}
    return command_line("build", manifest["model"]["file"], **options)


def _verify(result: dict[str, Any], names: list[str]) -> str:
    """names : of the inputs."""
    files = [FRAMES] if len(names) == 1 else [f"{name}={FRAMES}" for name in names]
    memory = result.get("memory") or {}
    source = result.get("source")
    # The bench of a tiled package that runs where no simulator is named.
    compiled = result.get("bench") == "c++"
    return command_line(
        "verify", PLACE, sim=None if compiled else result["simulator"],
        random=result["frames"] if source == RANDOM else None,
        inputs=files if source == GIVEN else None,
        mem_latency=memory.get("latency"), mem_rate=memory.get("rate"),
        mem_gaps=memory.get("gaps"),
    )  # fmt: skip


def _synth(device: str, result: dict[str, Any]) -> str:
    seeds = [int(seed) for seed in result["fmax_mhz_of_seeds"]]
    asked = {"freq": result["target_mhz"], "seed": min(seeds), "tries": len(seeds)}
    usual = {"freq": TARGET_MHZ, "seed": SEED, "tries": 1}
    given = {name: value for name, value in asked.items() if value != usual[name]}
    return command_line("synth", PLACE, device=device, **given)
