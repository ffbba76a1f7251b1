// Each addition is a chain of its own. Yosys would gather those of several terms into trees of full
// adders, which take twice the tables of a carry chain.
(* techmap_celltype = "$add" *)
module adder (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [Y_WIDTH-1:0] x, carries;
    \$alu #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED),
        .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (
        .A(A), .B(B), .Y(Y), .X(x), .CO(carries), .CI(1'b0), .BI(1'b0)
    );
endmodule
