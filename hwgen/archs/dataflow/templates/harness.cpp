// Batch bench for a generated accelerator under Verilator: frames from a file, beats to a file.
//
//   harness INPUT OUTPUT FRAMES STATS [--edges DIR] [--wave FILE] [--gaps SEED]
//
// INPUT and OUTPUT hold beats of TDATA, little endian, one after the other. STATS is JSON: the
// cycle of each frame's first input beat and last output beat, levels and work (see probe.v), and
// for each unit the cycles of the first and the last beat that it gives of each frame.
// Source and sink are always ready unless --gaps gives a seed for random ones. Exit codes: 1 for
// wrong files, 3 where the design hangs or breaks the contract of its streams.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vprobe.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#include "design.h"

namespace {

template <typename Port>
uint8_t* bytes_of(Port& port) { return reinterpret_cast<uint8_t*>(&port); }

uint64_t random_state = 1;
bool coin() {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717ULL >> 60) & 1;
}

[[noreturn]] void fail(const std::string& message, int code = 1) {
    std::fprintf(stderr, "harness: %s\n", message.c_str());
    std::exit(code);
}

[[noreturn]] void fault(uint64_t cycle, size_t frame, const std::string& message) {
    fail("frame " + std::to_string(frame) + ", cycle " + std::to_string(cycle) + ": " + message, 3);
}

std::vector<uint8_t> read_all(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) fail(std::string("can not read ") + path);
    std::fseek(file, 0, SEEK_END);
    std::vector<uint8_t> data(static_cast<size_t>(std::ftell(file)));
    std::fseek(file, 0, SEEK_SET);
    if (!data.empty() && std::fread(data.data(), 1, data.size(), file) != data.size())
        fail("short read");
    std::fclose(file);
    return data;
}

void print_list(std::FILE* file, const char* name, const std::vector<uint64_t>& values) {
    std::fprintf(file, "\"%s\": [", name);
    for (size_t i = 0; i < values.size(); i++)
        std::fprintf(file, "%s%llu", i ? ", " : "", static_cast<unsigned long long>(values[i]));
    std::fprintf(file, "]");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) fail("usage: harness INPUT OUTPUT FRAMES STATS [--edges DIR] [--wave FILE] [--gaps SEED]");
    const uint64_t frames = std::strtoull(argv[3], nullptr, 10);
    std::string edges, wave;
    bool gaps = false;
    for (int i = 5; i + 1 < argc; i += 2) {
        if (!std::strcmp(argv[i], "--edges")) edges = argv[i + 1];
        if (!std::strcmp(argv[i], "--wave")) wave = argv[i + 1];
        if (!std::strcmp(argv[i], "--gaps")) {
            gaps = true;
            random_state = std::strtoull(argv[i + 1], nullptr, 10) * 2 + 1;
        }
    }
    const std::vector<uint8_t> input = read_all(argv[1]);
    if (input.size() != frames * IN_BEATS * IN_BYTES) fail("input file has another size");
    std::FILE* output = std::fopen(argv[2], "wb");
    if (!output) fail("can not write the output file");

    VerilatedContext context;
    Vprobe top(&context);
#if VM_TRACE
    VerilatedVcdC trace;
    if (!wave.empty()) {
        context.traceEverOn(true);
        top.trace(&trace, 99);
        trace.open(wave.c_str());
    }
#endif
    std::vector<std::FILE*> edge_files;
    if (!edges.empty())
        for (int i = 0; i < EDGES; i++)
            edge_files.push_back(std::fopen((edges + "/" + EDGE_NAMES[i] + ".bin").c_str(), "wb"));

    uint64_t now = 0;
    auto half = [&](int clock) {
        top.clk = clock;
        top.eval();
#if VM_TRACE
        if (!wave.empty()) trace.dump(now);
#endif
        now++;
    };
    top.rst = 1;
    for (int i = 0; i < 4; i++) half(i & 1);
    top.rst = 0;

    const uint64_t in_total = frames * IN_BEATS, out_total = frames * OUT_BEATS;
    uint64_t in_beat = 0, out_beat = 0, cycle = 0, quiet = 0;
    bool offering = false;
    std::vector<uint64_t> first, ends, beats(EDGES);
    std::vector<std::vector<uint64_t>> spans(EDGES);
    while (out_beat < out_total) {
        // A source keeps a beat it has offered; a sink may change its mind.
        if (in_beat < in_total && !offering) offering = !gaps || coin();
        top.s_axis_tvalid = offering;
        if (offering) {
            std::memcpy(bytes_of(top.s_axis_tdata), &input[in_beat * IN_BYTES], IN_BYTES);
            top.s_axis_tlast = in_beat % IN_BEATS == IN_BEATS - 1;
        }
        top.m_axis_tready = !gaps || coin();
        half(0);
        const bool taken = offering && top.s_axis_tready;
        const bool given = top.m_axis_tvalid && top.m_axis_tready;
        if (taken && in_beat % IN_BEATS == 0) first.push_back(cycle);
        if (given) {
            std::fwrite(bytes_of(top.m_axis_tdata), 1, OUT_BYTES, output);
            const bool last = out_beat % OUT_BEATS == OUT_BEATS - 1;
            if (static_cast<bool>(top.m_axis_tlast) != last)
                fault(cycle, ends.size(), last ? "TLAST is missing at the end" : "TLAST is early");
            if (last) ends.push_back(cycle);
            out_beat++;
        }
        for (int i = 0; i < EDGES; i++) {
            if (!(bytes_of(top.edge_beat)[i / 8] >> (i % 8) & 1)) continue;
            const uint64_t beat = beats[i]++ % EDGE_BEATS[i];
            if (beat == 0) spans[i].push_back(cycle);
            if (beat == EDGE_BEATS[i] - 1) spans[i].push_back(cycle);
            if (!edge_files.empty())
                std::fwrite(bytes_of(top.edge_data) + EDGE_OFFSETS[i], 1, EDGE_BYTES[i],
                            edge_files[i]);
        }
        half(1);
        if (taken) {
            offering = false;
            in_beat++;
        }
        quiet = taken || given ? 0 : quiet + 1;
        if (quiet > QUIET_LIMIT)
            fault(cycle, ends.size(), "no beat for too long: the design hangs");
        cycle++;
    }
    std::fclose(output);
    for (std::FILE* file : edge_files) std::fclose(file);
#if VM_TRACE
    if (!wave.empty()) trace.close();
#endif
    std::FILE* stats = std::fopen(argv[4], "w");
    if (!stats) fail("can not write the statistics");
    std::vector<uint64_t> levels, work;
    for (int i = 0; i < LEVELS; i++) {
        uint32_t value;
        std::memcpy(&value, bytes_of(top.levels) + 4 * i, 4);
        levels.push_back(value);
    }
    for (int i = 0; i < EDGES; i++) {
        uint64_t value;
        std::memcpy(&value, bytes_of(top.work) + 8 * i, 8);
        work.push_back(value);
    }
    std::fprintf(stats, "{\"cycles\": %llu, ", static_cast<unsigned long long>(cycle));
    print_list(stats, "first", first);
    std::fprintf(stats, ", ");
    print_list(stats, "ends", ends);
    std::fprintf(stats, ", ");
    print_list(stats, "levels", levels);
    std::fprintf(stats, ", ");
    print_list(stats, "work", work);
    std::fprintf(stats, ", \"given\": [");
    for (int i = 0; i < EDGES; i++) {
        std::fprintf(stats, i ? ", {" : "{");
        print_list(stats, "cycles", spans[i]);
        std::fprintf(stats, "}");
    }
    std::fprintf(stats, "]}\n");
    std::fclose(stats);
    return 0;
}
