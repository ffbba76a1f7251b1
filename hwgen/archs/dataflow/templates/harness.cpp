// Batch bench for a generated accelerator under Verilator: frames from a file, beats to a file.
//
//   harness INPUT OUTPUT FRAMES STATS [--edges DIR] [--wave FILE] [--gaps SEED]
//
// INPUT and OUTPUT hold beats of TDATA, little endian, one after the other: all of the first stream,
// then all of the next one. STATS is JSON: for each input the cycle of each frame's first beat, for
// each output that of its last one, levels and work (see probe.v), and for each unit the cycles of
// the first and the last beat that it gives of each frame.
// Sources and sinks are always ready unless --gaps gives a seed for random ones. Exit codes: 1 for
// wrong files, 3 where the design hangs or breaks the contract of its streams.
#include <algorithm>
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

// bus : of one of several outputs; empty where all of them are meant.
[[noreturn]] void fault(uint64_t cycle, size_t frame, const std::string& bus,
                        const std::string& message) {
    const std::string where = OUTPUT_COUNT > 1 && !bus.empty() ? bus + ": " : "";
    fail("frame " + std::to_string(frame) + ", cycle " + std::to_string(cycle) + ": " + where +
         message, 3);
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

bool bit(const uint8_t* bits, int place) { return bits[place / 8] >> (place % 8) & 1; }
void set_bit(uint8_t* bits, int place, bool value) {
    bits[place / 8] = static_cast<uint8_t>((bits[place / 8] & ~(1 << place % 8)) | value << place % 8);
}

// The beats of one stream of the design, and how far it has come.
struct Stream {
    const Port& port;
    int index;
    uint64_t total;
    uint8_t* beats;
    uint64_t beat = 0;
    bool offering = false;
    std::vector<uint64_t> cycles = {};  // of each frame's first beat, or of its last

    bool done() const { return beat == total; }
    bool begins() const { return beat % port.beats == 0; }
    bool ends() const { return beat % port.beats == port.beats - 1; }
    uint8_t* now() const { return beats + beat * port.bytes; }
};

std::vector<Stream> streams_of(const Port* ports, int count, uint64_t frames,
                               std::vector<uint8_t>& data) {
    std::vector<Stream> streams;
    size_t start = 0;
    for (int i = 0; i < count; i++) {
        streams.push_back({ports[i], i, frames * ports[i].beats, data.data() + start});
        start += frames * ports[i].beats * ports[i].bytes;
    }
    return streams;
}

// The frame that the slowest of the outputs is in.
size_t slowest(const std::vector<Stream>& sinks) {
    size_t frame = sinks.front().cycles.size();
    for (const Stream& sink : sinks) frame = std::min(frame, sink.cycles.size());
    return frame;
}

size_t bytes_of_frame(const Port* ports, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += ports[i].beats * ports[i].bytes;
    return bytes;
}

void print_list(std::FILE* file, const char* name, const std::vector<uint64_t>& values) {
    std::fprintf(file, "\"%s\": [", name);
    for (size_t i = 0; i < values.size(); i++)
        std::fprintf(file, "%s%llu", i ? ", " : "", static_cast<unsigned long long>(values[i]));
    std::fprintf(file, "]");
}

void print_cycles(std::FILE* file, const char* name, const std::vector<Stream>& streams) {
    std::fprintf(file, "\"%s\": {", name);
    for (const Stream& stream : streams) {
        if (stream.index) std::fprintf(file, ", ");
        print_list(file, stream.port.name, stream.cycles);
    }
    std::fprintf(file, "}, ");
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
    std::vector<uint8_t> input = read_all(argv[1]);
    if (input.size() != frames * bytes_of_frame(INPUTS, INPUT_COUNT))
        fail("input file has another size");
    std::vector<uint8_t> output(frames * bytes_of_frame(OUTPUTS, OUTPUT_COUNT));
    std::vector<Stream> sources = streams_of(INPUTS, INPUT_COUNT, frames, input);
    std::vector<Stream> sinks = streams_of(OUTPUTS, OUTPUT_COUNT, frames, output);

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

    uint64_t cycle = 0, quiet = 0;
    std::vector<uint64_t> beats(EDGES);
    std::vector<char> taken(sources.size());
    std::vector<std::vector<uint64_t>> spans(EDGES);
    auto running = [&] {
        for (const Stream& sink : sinks)
            if (!sink.done()) return true;
        return false;
    };
    while (running()) {
        // A source keeps a beat it has offered; a sink may change its mind.
        for (Stream& source : sources) {
            if (!source.done() && !source.offering) source.offering = !gaps || coin();
            set_bit(bytes_of(top.in_valid), source.index, source.offering);
            if (!source.offering) continue;
            std::memcpy(bytes_of(top.in_data) + source.port.offset, source.now(), source.port.bytes);
            set_bit(bytes_of(top.in_last), source.index, source.ends());
        }
        for (const Stream& sink : sinks)
            set_bit(bytes_of(top.out_ready), sink.index, !gaps || coin());
        half(0);
        bool moved = false;
        for (Stream& source : sources) {
            taken[source.index] = source.offering && bit(bytes_of(top.in_ready), source.index);
            if (!taken[source.index]) continue;
            moved = true;
            if (source.begins()) source.cycles.push_back(cycle);
        }
        for (Stream& sink : sinks) {
            if (!bit(bytes_of(top.out_valid), sink.index)) continue;
            if (!bit(bytes_of(top.out_ready), sink.index)) continue;
            moved = true;
            if (sink.done())
                fault(cycle, sink.cycles.size(), sink.port.name, "gives more beats than there are");
            std::memcpy(sink.now(), bytes_of(top.out_data) + sink.port.offset, sink.port.bytes);
            if (bit(bytes_of(top.out_last), sink.index) != sink.ends())
                fault(cycle, sink.cycles.size(), sink.port.name,
                      sink.ends() ? "TLAST is missing at the end" : "TLAST is early");
            if (sink.ends()) sink.cycles.push_back(cycle);
            sink.beat++;
        }
        for (int i = 0; i < EDGES; i++) {
            if (!bit(bytes_of(top.edge_beat), i)) continue;
            const uint64_t beat = beats[i]++ % EDGE_BEATS[i];
            if (beat == 0) spans[i].push_back(cycle);
            if (beat == EDGE_BEATS[i] - 1) spans[i].push_back(cycle);
            if (!edge_files.empty())
                std::fwrite(bytes_of(top.edge_data) + EDGE_OFFSETS[i], 1, EDGE_BYTES[i],
                            edge_files[i]);
        }
        half(1);
        for (Stream& source : sources) {
            if (!taken[source.index]) continue;
            source.offering = false;
            source.beat++;
        }
        quiet = moved ? 0 : quiet + 1;
        if (quiet > QUIET_LIMIT)
            fault(cycle, slowest(sinks), "", "no beat for too long: the design hangs");
        cycle++;
    }
    std::FILE* results = std::fopen(argv[2], "wb");
    if (!results) fail("can not write the output file");
    std::fwrite(output.data(), 1, output.size(), results);
    std::fclose(results);
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
    print_cycles(stats, "first", sources);
    print_cycles(stats, "ends", sinks);
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
