"""Ports that all architectures have."""

from __future__ import annotations

from amaranth.lib.wiring import In, Out

AXI_LITE = {
    "awaddr": In, "awvalid": In, "awready": Out, "wdata": In, "wstrb": In, "wvalid": In,
    "wready": Out, "bresp": Out, "bvalid": Out, "bready": In, "araddr": In, "arvalid": In,
    "arready": Out, "rdata": Out, "rresp": Out, "rvalid": Out, "rready": In,
}  # fmt: skip
