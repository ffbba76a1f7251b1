// Batch bench for a tiled engine under Verilator: external memory behind AXI4, runs of a program.
//
//   harness IMAGE INPUTS OUTPUTS FRAMES STATS [--latency N] [--rate R] [--gaps SEED] [--dump FILE]
//           [--fail read|write N] [--wave FILE]
//
// IMAGE is external memory before a run; INPUTS and OUTPUTS hold frames one after the other. STATS
// is JSON: cycles and beats of each run as the registers say, the cycle in which each tile was
// finished in the first one, and the bytes read and written in each region. Reads answer N cycles
// after their address, a beat every 1/R cycles, writes likewise; --gaps makes both sides random.
// --fail answers the Nth read or write beat with an error, in the first run only. --dump keeps the
// memory after the last run. Exit codes: 1 for wrong files, 3 where the engine hangs or breaks AXI.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
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

void write_all(const char* path, const std::vector<uint8_t>& data) {
    std::FILE* file = std::fopen(path, "wb");
    if (!file || std::fwrite(data.data(), 1, data.size(), file) != data.size())
        fail(std::string("can not write ") + path);
    std::fclose(file);
}

constexpr uint32_t BASE = 0x40000000;
enum Registers : uint32_t {  // see INTEGRATE.md
    CONTROL = 0x10, STATUS = 0x14, ERROR_LAYER = 0x18, MEM_BASE = 0x1C, MEM_LIMIT = 0x20,
    WRITE_FROM = 0x24, PROGRAM = 0x28, CYCLES = 0x2C, READ_BEATS = 0x30, WRITE_BEATS = 0x34,
};

struct Burst {
    uint64_t address, left, ready;
};

struct Run {
    uint32_t cycles, status, layer, read_beats, write_beats;
};

class Bench {
   public:
    std::vector<uint8_t> memory;
    uint64_t latency = 20, fail_read = 0, fail_write = 0;
    double rate = 1.0;
    bool gaps = false;
    std::vector<uint64_t> tiles;
    std::vector<uint64_t> read_bytes = std::vector<uint64_t>(REGIONS + 1);
    std::vector<uint64_t> written_bytes = std::vector<uint64_t>(REGIONS + 1);

    explicit Bench(VerilatedContext& context) : top(&context) {}

    void open_wave(VerilatedContext& context, const std::string& file) {
#if VM_TRACE
        if (file.empty()) return;
        context.traceEverOn(true);
        top.trace(&trace, 99);
        trace.open(file.c_str());
        tracing = true;
#else
        (void)context;
        if (!file.empty()) fail("this build keeps no waves");
#endif
    }

    void close_wave() {
#if VM_TRACE
        if (tracing) trace.close();
#endif
    }

    void reset() {
        top.rst = 1;
        for (int i = 0; i < 4; i++) half(i & 1);
        top.rst = 0;
    }

    Run run() {
        write(MEM_BASE, BASE);
        write(MEM_LIMIT, static_cast<uint32_t>(memory.size()));
        write(WRITE_FROM, IMAGE_WRITABLE);
        write(PROGRAM, IMAGE_PROGRAM);
        started = 0;
        write(CONTROL, 1 | 2 | 4);
        uint64_t quiet = 0;
        while (!top.irq) {
            const uint64_t before = moved;
            cycle();
            quiet = moved == before && !top.probe_issue ? quiet + 1 : 0;
            if (quiet > QUIET_LIMIT) fail("nothing moves any more: the engine hangs", 3);
        }
        const Run result{read(CYCLES), read(STATUS), read(ERROR_LAYER), read(READ_BEATS),
                         read(WRITE_BEATS)};
        write(CONTROL, 2);
        return result;
    }

   private:
    Vprobe top;
#if VM_TRACE
    VerilatedVcdC trace;
    bool tracing = false;
#endif
    std::deque<Burst> reads, writes, answers;
    uint64_t now = 0, halves = 0, started = 0, moved = 0, beats_read = 0, beats_written = 0;
    double read_credit = 1.0, write_credit = 1.0;
    bool offered = false, answered = false;

    void half(int clock) {
        top.clk = clock;
        top.eval();
#if VM_TRACE
        if (tracing) trace.dump(halves);
#endif
        halves++;
    }

    static size_t region_of(uint64_t offset) {
        size_t n = 0;
        while (n < REGIONS && offset >= REGION_ENDS[n]) n++;
        return n;
    }

    uint64_t offset_of(uint32_t address, uint64_t bytes) {
        const uint64_t offset = static_cast<uint64_t>(address) - BASE;
        if (address < BASE || offset + bytes > memory.size()) fail("a burst leaves the memory", 3);
        return offset;
    }

    Burst burst(uint32_t address, uint32_t length, uint32_t size, uint32_t kind) {
        const uint64_t beats = length + 1, bytes = beats * BUS_BYTES;
        if (kind != 1 || (1u << size) != BUS_BYTES) fail("a burst is not INCR of whole beats", 3);
        if (address / 4096 != (address + bytes - 1) / 4096) fail("a burst crosses 4 KiB", 3);
        return {offset_of(address, bytes), beats, now + latency};
    }

    // One clock cycle: memory's answers are set before the rising edge and taken with it.
    void cycle() {
        read_credit = std::min(read_credit + rate, 1.0 + rate);
        write_credit = std::min(write_credit + rate, 1.0 + rate);
        top.m_axi_arready = !gaps || coin();
        top.m_axi_awready = !gaps || coin();
        // What is offered stays until it is taken.
        if (!offered && !reads.empty() && now >= reads.front().ready && read_credit >= 1.0)
            offered = !gaps || coin();
        top.m_axi_rvalid = offered;
        if (offered) {
            const Burst& first = reads.front();
            std::memcpy(bytes_of(top.m_axi_rdata), &memory[first.address], BUS_BYTES);
            top.m_axi_rlast = first.left == 1;
            top.m_axi_rresp = fail_read && beats_read + 1 == fail_read ? 2 : 0;
        }
        top.m_axi_wready = write_credit >= 1.0 && !writes.empty() && (!gaps || coin());
        if (!answered && !answers.empty() && now >= answers.front().ready)
            answered = !gaps || coin();
        top.m_axi_bvalid = answered;
        top.m_axi_bresp = answered ? static_cast<uint8_t>(answers.front().left) : 0;
        half(0);
        const bool ar = top.m_axi_arvalid && top.m_axi_arready;
        const bool aw = top.m_axi_awvalid && top.m_axi_awready;
        const bool r = offered && top.m_axi_rready, b = answered && top.m_axi_bready;
        const bool w = top.m_axi_wvalid && top.m_axi_wready;
        if (ar)
            reads.push_back(burst(top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize,
                                  top.m_axi_arburst));
        if (aw)
            writes.push_back(burst(top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize,
                                   top.m_axi_awburst));
        if (r) take_read();
        if (w) take_write();
        if (b) {
            answers.pop_front();
            answered = false;
        }
        if (top.probe_start) started = now;
        if (top.probe_tile) tiles.push_back(now - started);
        moved += ar + aw + r + w + b;
        half(1);
        now++;
    }

    void take_read() {
        Burst& first = reads.front();
        read_bytes[region_of(first.address)] += BUS_BYTES;
        first.address += BUS_BYTES;
        beats_read++;
        read_credit -= 1.0;
        if (--first.left == 0) reads.pop_front();
        offered = false;
    }

    void take_write() {
        Burst& first = writes.front();
        for (uint64_t i = 0; i < BUS_BYTES; i++)
            if (top.m_axi_wstrb >> i & 1) {
                memory[first.address + i] = bytes_of(top.m_axi_wdata)[i];
                written_bytes[region_of(first.address + i)]++;
            }
        first.address += BUS_BYTES;
        beats_written++;
        write_credit -= 1.0;
        const bool wrong = fail_write && beats_written == fail_write;
        if (static_cast<bool>(top.m_axi_wlast) != (first.left == 1)) fail("WLAST is wrong", 3);
        first.ready = wrong ? 1 : first.ready;
        failed |= wrong;
        if (--first.left == 0) {
            answers.push_back({0, failed ? 2u : 0u, now + latency});
            failed = false;
            writes.pop_front();
        }
    }
    bool failed = false;

    void write(uint32_t address, uint32_t value) {
        top.s_axi_awaddr = address;
        top.s_axi_wdata = value;
        top.s_axi_wstrb = 15;
        top.s_axi_awvalid = top.s_axi_wvalid = 1;
        top.s_axi_bready = 1;
        for (bool taken = false; !taken;) {
            top.eval();
            taken = top.s_axi_awready && top.s_axi_wready;
            cycle();
        }
        top.s_axi_awvalid = top.s_axi_wvalid = 0;
        cycle();
    }

    uint32_t read(uint32_t address) {
        top.s_axi_araddr = address;
        top.s_axi_arvalid = 1;
        top.s_axi_rready = 1;
        for (bool taken = false; !taken;) {
            top.eval();
            taken = top.s_axi_arready;
            cycle();
        }
        top.s_axi_arvalid = 0;
        while (!top.s_axi_rvalid) cycle();
        const uint32_t value = top.s_axi_rdata;
        cycle();
        return value;
    }
};

template <typename Values, typename Get>
void print_list(std::FILE* file, const char* name, const Values& values, Get get) {
    std::fprintf(file, "\"%s\": [", name);
    for (size_t i = 0; i < values.size(); i++)
        std::fprintf(file, "%s%llu", i ? ", " : "", static_cast<unsigned long long>(get(values[i])));
    std::fprintf(file, "]");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 6) fail("usage: harness IMAGE INPUTS OUTPUTS FRAMES STATS [options]");
    VerilatedContext context;
    Bench bench(context);
    std::string wave, dump;
    for (int i = 6; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        if (option == "--latency") bench.latency = std::strtoull(argv[i + 1], nullptr, 10);
        if (option == "--rate") bench.rate = std::strtod(argv[i + 1], nullptr);
        if (option == "--wave") wave = argv[i + 1];
        if (option == "--dump") dump = argv[i + 1];
        if (option == "--fail-read") bench.fail_read = std::strtoull(argv[i + 1], nullptr, 10);
        if (option == "--fail-write") bench.fail_write = std::strtoull(argv[i + 1], nullptr, 10);
        if (option == "--gaps") {
            bench.gaps = true;
            random_state = std::strtoull(argv[i + 1], nullptr, 10) * 2 + 1;
        }
    }
    const std::vector<uint8_t> image = read_all(argv[1]), inputs = read_all(argv[2]);
    const uint64_t frames = std::strtoull(argv[4], nullptr, 10);
    if (inputs.size() != frames * INPUT_BYTES) fail("the inputs have another size");
    std::vector<uint8_t> outputs;
    std::vector<Run> runs;
    bench.open_wave(context, wave);
    bench.reset();
    for (uint64_t frame = 0; frame < frames; frame++) {
        bench.memory = image;
        std::copy_n(&inputs[frame * INPUT_BYTES], INPUT_BYTES, &bench.memory[INPUT_AT]);
        runs.push_back(bench.run());
        outputs.insert(outputs.end(), &bench.memory[OUTPUT_AT],
                       &bench.memory[OUTPUT_AT] + OUTPUT_BYTES);
    }
    bench.close_wave();
    write_all(argv[3], outputs);
    if (!dump.empty()) write_all(dump.c_str(), bench.memory);
    bench.tiles.resize(frames ? bench.tiles.size() / frames : 0);
    std::FILE* stats = std::fopen(argv[5], "w");
    if (!stats) fail("can not write the statistics");
    std::fprintf(stats, "{");
    print_list(stats, "cycles", runs, [](const Run& r) { return r.cycles; });
    std::fprintf(stats, ", ");
    print_list(stats, "status", runs, [](const Run& r) { return r.status; });
    std::fprintf(stats, ", ");
    print_list(stats, "layer", runs, [](const Run& r) { return r.layer; });
    std::fprintf(stats, ", ");
    print_list(stats, "read_beats", runs, [](const Run& r) { return r.read_beats; });
    std::fprintf(stats, ", ");
    print_list(stats, "write_beats", runs, [](const Run& r) { return r.write_beats; });
    std::fprintf(stats, ", ");
    print_list(stats, "tiles", bench.tiles, [](uint64_t v) { return v; });
    std::fprintf(stats, ", ");
    print_list(stats, "read_bytes", bench.read_bytes, [](uint64_t v) { return v; });
    std::fprintf(stats, ", ");
    print_list(stats, "written_bytes", bench.written_bytes, [](uint64_t v) { return v; });
    std::fprintf(stats, "}\n");
    std::fclose(stats);
    return 0;
}
