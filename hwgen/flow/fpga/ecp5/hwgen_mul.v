// hwgen_mul for ECP5: one DSP block with its own input and output registers (Lattice FPGA-TN-02205).
// Very narrow and very wide products stay with the fabric and the synthesizer, and so do those of a
// design with more products than the device has blocks (TABLES: 1).
module hwgen_mul #(
    parameter A_WIDTH = 8,
    parameter B_WIDTH = 8,
    parameter A_SIGNED = 1,
    parameter B_SIGNED = 1,
    parameter TABLES = 0
) (
    input clk,
    input [A_WIDTH-1:0] a,
    input [B_WIDTH-1:0] b,
    output [A_WIDTH+B_WIDTH-1:0] p
);
    localparam BLOCK = 18;
    localparam NARROW = 3;

    function [A_WIDTH+B_WIDTH-1:0] multiple(
        input [A_WIDTH+B_WIDTH-1:0] value, input [NARROW-1:0] times, input negative
    );
        multiple = (times[0] ? value : 0) + (times[1] ? value << 1 : 0)
            + (times[2] ? (negative ? -(value << 2) : value << 2) : 0);
    endfunction

    generate
        if (TABLES != 0 && A_WIDTH > NARROW && B_WIDTH > NARROW) begin : tables
            // Registers stand between a multiple for each two bits of b and their sum.
            localparam PAIRS = (B_WIDTH + 1) / 2;
            wire signed [A_WIDTH+2:0] x = $signed({A_SIGNED != 0 && a[A_WIDTH-1], a});
            wire [2*PAIRS-1:0] y = {B_SIGNED != 0 && b[B_WIDTH-1], b};
            localparam SIZE = A_WIDTH + B_WIDTH;
            wire [SIZE*(PAIRS+1)-1:0] sums;
            reg [SIZE-1:0] product;
            genvar n;
            assign sums[SIZE-1:0] = 0;
            for (n = 0; n < PAIRS; n = n + 1) begin : pair
                reg signed [A_WIDTH+2:0] multiple;
                wire signed [A_WIDTH+2:0] twice = y[2*n+1] ? x <<< 1 : 0;
                always @(posedge clk)
                    if (B_SIGNED != 0 && n == PAIRS - 1) multiple <= (y[2*n] ? x : 0) - twice;
                    else multiple <= (y[2*n] ? x : 0) + twice;
                wire signed [SIZE-1:0] wide = multiple;
                assign sums[SIZE*(n+1) +: SIZE] = sums[SIZE*n +: SIZE] + (wide << (2 * n));
            end
            always @(posedge clk) product <= sums[SIZE*PAIRS +: SIZE];
            assign p = product;
        end else
        if (A_WIDTH <= BLOCK && B_WIDTH <= BLOCK && A_WIDTH > NARROW && B_WIDTH > NARROW) begin : dsp
            wire [17:0] x = {{BLOCK{A_SIGNED != 0 && a[A_WIDTH-1]}}, a};
            wire [17:0] y = {{BLOCK{B_SIGNED != 0 && b[B_WIDTH-1]}}, b};
            wire [35:0] z;
            MULT18X18D #(
                .REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), .REG_OUTPUT_CLK("CLK0"),
                .GSR("DISABLED")
            ) block (
                .A0(x[0]), .A1(x[1]), .A2(x[2]), .A3(x[3]), .A4(x[4]), .A5(x[5]), .A6(x[6]),
                .A7(x[7]), .A8(x[8]), .A9(x[9]), .A10(x[10]), .A11(x[11]), .A12(x[12]),
                .A13(x[13]), .A14(x[14]), .A15(x[15]), .A16(x[16]), .A17(x[17]),
                .B0(y[0]), .B1(y[1]), .B2(y[2]), .B3(y[3]), .B4(y[4]), .B5(y[5]), .B6(y[6]),
                .B7(y[7]), .B8(y[8]), .B9(y[9]), .B10(y[10]), .B11(y[11]), .B12(y[12]),
                .B13(y[13]), .B14(y[14]), .B15(y[15]), .B16(y[16]), .B17(y[17]),
                .C0(1'b0), .C1(1'b0), .C2(1'b0), .C3(1'b0), .C4(1'b0), .C5(1'b0), .C6(1'b0),
                .C7(1'b0), .C8(1'b0), .C9(1'b0), .C10(1'b0), .C11(1'b0), .C12(1'b0), .C13(1'b0),
                .C14(1'b0), .C15(1'b0), .C16(1'b0), .C17(1'b0),
                .SIGNEDA(A_SIGNED != 0), .SIGNEDB(B_SIGNED != 0), .SOURCEA(1'b0), .SOURCEB(1'b0),
                .CLK0(clk), .CE0(1'b1), .RST0(1'b0),
                .P0(z[0]), .P1(z[1]), .P2(z[2]), .P3(z[3]), .P4(z[4]), .P5(z[5]), .P6(z[6]),
                .P7(z[7]), .P8(z[8]), .P9(z[9]), .P10(z[10]), .P11(z[11]), .P12(z[12]),
                .P13(z[13]), .P14(z[14]), .P15(z[15]), .P16(z[16]), .P17(z[17]), .P18(z[18]),
                .P19(z[19]), .P20(z[20]), .P21(z[21]), .P22(z[22]), .P23(z[23]), .P24(z[24]),
                .P25(z[25]), .P26(z[26]), .P27(z[27]), .P28(z[28]), .P29(z[29]), .P30(z[30]),
                .P31(z[31]), .P32(z[32]), .P33(z[33]), .P34(z[34]), .P35(z[35])
            );
            assign p = z;
        end else begin : fabric
            reg [A_WIDTH-1:0] x;
            reg [B_WIDTH-1:0] y;
            reg [A_WIDTH+B_WIDTH-1:0] product;
            wire [A_WIDTH+B_WIDTH-1:0] wide_x = {{B_WIDTH{A_SIGNED != 0 && x[A_WIDTH-1]}}, x};
            wire [A_WIDTH+B_WIDTH-1:0] wide_y = {{A_WIDTH{B_SIGNED != 0 && y[B_WIDTH-1]}}, y};
            wire [A_WIDTH+B_WIDTH-1:0] sum;
            always @(posedge clk) begin x <= a; y <= b; product <= sum; end
            assign p = product;
            // A narrow operand chooses among few multiples: written as such, for the synthesizer
            // would take a DSP block without its registers.
            if (B_WIDTH <= NARROW) begin : by_b
                wire [NARROW-1:0] few = {{NARROW{B_SIGNED != 0 && y[B_WIDTH-1]}}, y};
                assign sum = multiple(wide_x, few, B_SIGNED != 0);
            end else if (A_WIDTH <= NARROW) begin : by_a
                wire [NARROW-1:0] few = {{NARROW{A_SIGNED != 0 && x[A_WIDTH-1]}}, x};
                assign sum = multiple(wide_y, few, A_SIGNED != 0);
            end else begin : wide
                assign sum = wide_x * wide_y;
            end
        end
    endgenerate
endmodule
