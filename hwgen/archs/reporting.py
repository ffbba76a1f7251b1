"""Reports of packages: the common part, and what their architecture adds."""

from __future__ import annotations

from typing import Any

from ..emit.seals import sealed, sealed_page
from ..report.page import page
from ..report.summary import summary
from .package import Package


def report_of(package: Package) -> dict[str, Any]:
    """The content of report.json; ``*_measured`` is null until it is measured."""
    verified = package.result("verify") or {}
    own = package.architecture.report(package, verified)
    return summary(package, package.plan, verified, own)


def write_report(package: Package) -> dict[str, Any]:
    """Write report.json and report.html of a package; returns the report."""
    report, own = report_of(package), package.architecture
    tiles, sections = own.summary(report, package), own.sections(report, package)
    html = page(report, package, tiles, sections)
    package.write({"report.json": sealed(report), "report.html": sealed_page(html)})
    return report
