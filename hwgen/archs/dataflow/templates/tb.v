// Self-checking bench: drives vectors/input.hex, compares with vectors/output.hex.
// Runs under Icarus Verilog and Verilator (--binary), without hwgen. Prints PASS or FAIL.
`timescale 1ns / 1ps
`include "design.vh"
module tb;
    reg clk = 0;
    reg [1:0] since_start = 0;
    wire rst = since_start != 3;
    always #5 clk = ~clk;

    reg [8*`IN_BYTES-1:0] input_beats [0:`FRAMES*`IN_BEATS-1];
    reg [8*`OUT_BYTES-1:0] output_beats [0:`FRAMES*`OUT_BEATS-1];
    initial $readmemh("vectors/input.hex", input_beats, 0, `FRAMES*`IN_BEATS-1);
    initial $readmemh("vectors/output.hex", output_beats, 0, `FRAMES*`OUT_BEATS-1);

    integer in_beat = 0;
    integer out_beat = 0;
    integer errors = 0;
    integer cycle = 0;
    integer quiet = 0;
    integer last_end = 0;

    wire [8*`IN_BYTES-1:0] tdata = input_beats[in_beat < `FRAMES*`IN_BEATS ? in_beat : 0];
    wire tvalid = !rst && in_beat < `FRAMES*`IN_BEATS;
    wire tlast = in_beat % `IN_BEATS == `IN_BEATS - 1;
    wire tready, m_tvalid, m_tlast;
    wire [8*`OUT_BYTES-1:0] m_tdata;
    wire [`OUT_BYTES-1:0] m_tkeep;
    wire [31:0] rdata;
    wire [1:0] bresp, rresp;
    wire awready, wready, bvalid, arready, rvalid;

    top dut (
        .clk(clk), .rst(rst),
        .s_axis_tdata(tdata), .s_axis_tvalid(tvalid), .s_axis_tready(tready),
        .s_axis_tlast(tlast),
        .m_axis_tdata(m_tdata), .m_axis_tkeep(m_tkeep), .m_axis_tvalid(m_tvalid),
        .m_axis_tready(1'b1), .m_axis_tlast(m_tlast),
        .s_axi_awaddr(6'd0), .s_axi_awvalid(1'b0), .s_axi_awready(awready),
        .s_axi_wdata(32'd0), .s_axi_wstrb(4'd0), .s_axi_wvalid(1'b0), .s_axi_wready(wready),
        .s_axi_bresp(bresp), .s_axi_bvalid(bvalid), .s_axi_bready(1'b1),
        .s_axi_araddr(6'd0), .s_axi_arvalid(1'b0), .s_axi_arready(arready),
        .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rvalid(rvalid), .s_axi_rready(1'b1)
    );

    // Lanes that TKEEP marks unused are not compared.
    function [8*`OUT_BYTES-1:0] kept(input [8*`OUT_BYTES-1:0] beat, input [`OUT_BYTES-1:0] keep);
        integer i;
        for (i = 0; i < `OUT_BYTES; i = i + 1)
            kept[8*i +: 8] = keep[i] ? beat[8*i +: 8] : 8'd0;
    endfunction

`ifdef WAVE
    initial begin
        $dumpfile("tb.vcd");
        $dumpvars(0, tb);
    end
`endif
    always @(posedge clk) if (rst) since_start <= since_start + 1;

    always @(posedge clk) if (!rst) begin
        cycle <= cycle + 1;
        quiet <= quiet + 1;
        if (tvalid && tready) begin
            in_beat <= in_beat + 1;
            quiet <= 0;
        end
        if (m_tvalid) begin
            quiet <= 0;
            out_beat <= out_beat + 1;
            if (kept(m_tdata, m_tkeep) !== kept(output_beats[out_beat], m_tkeep)) begin
                if (errors < 10)
                    $display("beat %0d: got %h, expected %h", out_beat, m_tdata,
                             output_beats[out_beat]);
                errors <= errors + 1;
            end
            if (m_tlast !== (out_beat % `OUT_BEATS == `OUT_BEATS - 1)) begin
                $display("beat %0d: TLAST is %b", out_beat, m_tlast);
                errors <= errors + 1;
            end
            if (m_tlast) begin
                $display("frame %0d ends in cycle %0d, %0d after the one before",
                         out_beat / `OUT_BEATS, cycle, cycle - last_end);
                last_end <= cycle;
            end
        end
        if (out_beat == `FRAMES*`OUT_BEATS) begin
            if (errors == 0) begin
                $display("PASS: %0d frames equal", `FRAMES);
                $finish;
            end else begin
                $display("FAIL: %0d beats differ", errors);
                $fatal(1);
            end
        end
        if (quiet > `QUIET_LIMIT) begin
            $display("FAIL: no beat for %0d cycles", quiet);
            $fatal(1);
        end
    end
endmodule
