// Self-checking bench: drives the beats of vectors/input*.hex, compares with vectors/output*.hex.
// Runs under Icarus Verilog and Verilator (--binary), without hwgen. Prints PASS or FAIL.
`timescale 1ns / 1ps
`include "design.vh"
module tb;
    reg clk = 0;
    reg [1:0] since_start = 0;
    wire rst = since_start != 3;
    always #5 clk = ~clk;

{% for x in inputs %}
    reg [8*`{{ x.sized }}_BYTES-1:0] input_beats{{ x.end }} [0:`FRAMES*`{{ x.sized }}_BEATS-1];
    initial $readmemh("{{ x.file }}", input_beats{{ x.end }}, 0, `FRAMES*`{{ x.sized }}_BEATS-1);
{% endfor %}
{% for y in outputs %}
    reg [8*`{{ y.sized }}_BYTES-1:0] output_beats{{ y.end }} [0:`FRAMES*`{{ y.sized }}_BEATS-1];
    initial $readmemh("{{ y.file }}", output_beats{{ y.end }}, 0, `FRAMES*`{{ y.sized }}_BEATS-1);
{% endfor %}

{% for x in inputs %}
    integer in_beat{{ x.end }} = 0;
{% endfor %}
{% for y in outputs %}
    integer out_beat{{ y.end }} = 0;
    integer errors{{ y.end }} = 0;
    integer last_end{{ y.end }} = 0;
{% endfor %}
    integer cycle = 0;
    integer quiet = 0;

{% for x in inputs %}
    wire [8*`{{ x.sized }}_BYTES-1:0] tdata{{ x.end }} =
        input_beats{{ x.end }}[in_beat{{ x.end }} < `FRAMES*`{{ x.sized }}_BEATS ? in_beat{{ x.end }} : 0];
    wire tvalid{{ x.end }} = !rst && in_beat{{ x.end }} < `FRAMES*`{{ x.sized }}_BEATS;
    wire tlast{{ x.end }} = in_beat{{ x.end }} % `{{ x.sized }}_BEATS == `{{ x.sized }}_BEATS - 1;
    wire tready{{ x.end }};
{% endfor %}
{% for y in outputs %}
    wire m_tvalid{{ y.end }}, m_tlast{{ y.end }};
    wire [8*`{{ y.sized }}_BYTES-1:0] m_tdata{{ y.end }};
    wire [`{{ y.sized }}_BYTES-1:0] m_tkeep{{ y.end }};
{% endfor %}
    wire [31:0] rdata;
    wire [1:0] bresp, rresp;
    wire awready, wready, bvalid, arready, rvalid;

    top dut (
        .clk(clk), .rst(rst),
{% for x in inputs %}
        .{{ x.bus }}_tdata(tdata{{ x.end }}), .{{ x.bus }}_tvalid(tvalid{{ x.end }}),
        .{{ x.bus }}_tready(tready{{ x.end }}), .{{ x.bus }}_tlast(tlast{{ x.end }}),
{% endfor %}
{% for y in outputs %}
        .{{ y.bus }}_tdata(m_tdata{{ y.end }}), .{{ y.bus }}_tkeep(m_tkeep{{ y.end }}),
        .{{ y.bus }}_tvalid(m_tvalid{{ y.end }}), .{{ y.bus }}_tready(1'b1),
        .{{ y.bus }}_tlast(m_tlast{{ y.end }}),
{% endfor %}
        .s_axi_awaddr(6'd0), .s_axi_awvalid(1'b0), .s_axi_awready(awready),
        .s_axi_wdata(32'd0), .s_axi_wstrb(4'd0), .s_axi_wvalid(1'b0), .s_axi_wready(wready),
        .s_axi_bresp(bresp), .s_axi_bvalid(bvalid), .s_axi_bready(1'b1),
        .s_axi_araddr(6'd0), .s_axi_arvalid(1'b0), .s_axi_arready(arready),
        .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rvalid(rvalid), .s_axi_rready(1'b1)
    );

    // Lanes that TKEEP marks unused are not compared.
{% for y in outputs %}
    function [8*`{{ y.sized }}_BYTES-1:0] kept{{ y.end }}(
        input [8*`{{ y.sized }}_BYTES-1:0] beat, input [`{{ y.sized }}_BYTES-1:0] keep);
        integer i;
        for (i = 0; i < `{{ y.sized }}_BYTES; i = i + 1)
            kept{{ y.end }}[8*i +: 8] = keep[i] ? beat[8*i +: 8] : 8'd0;
    endfunction
{% endfor %}

    wire all_out = {% for y in outputs %}out_beat{{ y.end }} == `FRAMES*`{{ y.sized }}_BEATS{{ " && " if not loop.last else ";" }}{% endfor %}

    wire [31:0] wrong = {% for y in outputs %}errors{{ y.end }}{{ " + " if not loop.last else ";" }}{% endfor %}


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
{% for x in inputs %}
        if (tvalid{{ x.end }} && tready{{ x.end }}) begin
            in_beat{{ x.end }} <= in_beat{{ x.end }} + 1;
            quiet <= 0;
        end
{% endfor %}
{% for y in outputs %}
{% set of = " of " + y.bus if y.end else "" %}
        if (m_tvalid{{ y.end }}) quiet <= 0;
        if (m_tvalid{{ y.end }} && out_beat{{ y.end }} == `FRAMES*`{{ y.sized }}_BEATS) begin
            $display("a beat{{ of }} behind the last frame");
            errors{{ y.end }} <= errors{{ y.end }} + 1;
        end else if (m_tvalid{{ y.end }}) begin
            out_beat{{ y.end }} <= out_beat{{ y.end }} + 1;
            if (kept{{ y.end }}(m_tdata{{ y.end }}, m_tkeep{{ y.end }}) !==
                kept{{ y.end }}(output_beats{{ y.end }}[out_beat{{ y.end }}], m_tkeep{{ y.end }})) begin
                if (errors{{ y.end }} < 10)
                    $display("beat %0d{{ of }}: got %h, expected %h", out_beat{{ y.end }}, m_tdata{{ y.end }},
                             output_beats{{ y.end }}[out_beat{{ y.end }}]);
                errors{{ y.end }} <= errors{{ y.end }} + 1;
            end
            if (m_tlast{{ y.end }} !== (out_beat{{ y.end }} % `{{ y.sized }}_BEATS == `{{ y.sized }}_BEATS - 1)) begin
                $display("beat %0d{{ of }}: TLAST is %b", out_beat{{ y.end }}, m_tlast{{ y.end }});
                errors{{ y.end }} <= errors{{ y.end }} + 1;
            end
            if (m_tlast{{ y.end }}) begin
                $display("frame %0d{{ of }} ends in cycle %0d, %0d after the one before",
                         out_beat{{ y.end }} / `{{ y.sized }}_BEATS, cycle, cycle - last_end{{ y.end }});
                last_end{{ y.end }} <= cycle;
            end
        end
{% endfor %}
        if (all_out) begin
            if (wrong == 0) begin
                $display("PASS: %0d frames equal", `FRAMES);
                $finish;
            end else begin
                $display("FAIL: %0d beats differ", wrong);
                $fatal(1);
            end
        end
        if (quiet > `QUIET_LIMIT) begin
            $display("FAIL: no beat for %0d cycles", quiet);
            $fatal(1);
        end
    end
endmodule
