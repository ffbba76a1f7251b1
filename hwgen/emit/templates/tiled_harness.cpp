// Batch bench for a tiled engine under Verilator: external memory behind AXI4, runs of programs.
//
//   harness STATS JOB [JOB ...] [--latency N] [--rate R] [--gaps SEED] [--dump FILE]
//           [--fail-read N] [--fail-write N] [--wave FILE]
//
// Jobs run one after the other, without a reset between them. A JOB is a text file of lines "KEY
// VALUE": image, the file of external memory's beginning; memory, its bytes, zero behind the image;
// program, writable, the values of the registers PROGRAM and WRITE_FROM; inputs, the file of frames
// one after the other; frames, their number; input_at, input_bytes, output_at, output_bytes, where
// each frame goes and its results come from; outputs, the file that they are written to; expected,
// a file that they are compared with; region, once for each, the byte at which a region of memory
// ends. Files named .hex hold words as hexadecimal digits, lowest byte last; others hold bytes.
//
// STATS is JSON. For each job: cycles and beats of each run as the registers say, the cycles in
// which tiles, loads and stores were finished in its first one, the steps that the array of each
// tile unit took in it, and the bytes read and written in each region. Reads answer N cycles after their address, a beat every 1/R cycles, writes likewise;
// --gaps makes both sides random. --fail-* answers the Nth beat of all with an error. --dump keeps
// the memory after the last run. Exit codes: 1 for wrong files and outputs that differ, 3 where the
// engine hangs or breaks AXI.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "Vprobe.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#include "design.h"  // BUS_BYTES, TILES

namespace {

constexpr uint64_t QUIET_LIMIT = 100000;  // cycles in which nothing moves

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

uint8_t digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
    fail("a digit is not hexadecimal");
}

std::vector<uint8_t> read_hex(std::ifstream& file) {
    std::vector<uint8_t> data;
    for (std::string word; file >> word;) {
        if (word.size() % 2) fail("half a byte");
        for (size_t i = word.size(); i; i -= 2)
            data.push_back(static_cast<uint8_t>(digit(word[i - 2]) << 4 | digit(word[i - 1])));
    }
    return data;
}

std::vector<uint8_t> read_all(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("can not read " + path);
    if (path.size() > 4 && path.substr(path.size() - 4) == ".hex") return read_hex(file);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_all(const std::string& path, const std::vector<uint8_t>& data) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(data.data(), 1, data.size(), file) != data.size())
        fail("can not write " + path);
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

struct Job {
    std::map<std::string, std::string> texts;
    std::vector<uint64_t> regions;

    explicit Job(const std::string& path) {
        std::ifstream file(path);
        if (!file) fail("can not read " + path);
        for (std::string line; std::getline(file, line);) {
            const size_t space = line.find(' ');
            if (space == std::string::npos) continue;
            const std::string key = line.substr(0, space), value = line.substr(space + 1);
            if (key == "region") regions.push_back(std::stoull(value));
            else texts[key] = value;
        }
    }

    bool has(const char* key) const { return texts.count(key); }
    const std::string& text(const char* key) const {
        if (!has(key)) fail(std::string("a job says nothing of ") + key);
        return texts.at(key);
    }
    uint64_t number(const char* key) const { return std::stoull(text(key)); }
};

// What is seen while a job runs; the times are those of its first run.
struct Seen {
    bool first = true;
    std::vector<uint64_t> regions, read_bytes, written_bytes, tiles, loads, stores, steps;

    explicit Seen(const std::vector<uint64_t>& ends)
        : regions(ends), read_bytes(ends.size() + 1), written_bytes(ends.size() + 1),
          steps(TILES) {}

    size_t region_of(uint64_t offset) const {
        size_t n = 0;
        while (n < regions.size() && offset >= regions[n]) n++;
        return n;
    }
};

class Bench {
   public:
    std::vector<uint8_t> memory;
    uint64_t latency = 20, fail_read = 0, fail_write = 0;
    double rate = 1.0;
    bool gaps = false;
    Seen seen{{}};

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

    Run run(uint32_t program, uint32_t writable) {
        write(MEM_BASE, BASE);
        write(MEM_LIMIT, static_cast<uint32_t>(memory.size()));
        write(WRITE_FROM, writable);
        write(PROGRAM, program);
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
    bool offered = false, answered = false, failed = false;

    void half(int clock) {
        top.clk = clock;
        top.eval();
#if VM_TRACE
        if (tracing) trace.dump(halves);
#endif
        halves++;
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
        if (seen.first && top.probe_tile) seen.tiles.push_back(now - started);
        if (seen.first && top.probe_load) seen.loads.push_back(now - started);
        if (seen.first && top.probe_store) seen.stores.push_back(now - started);
        for (unsigned unit = 0; unit < TILES; unit++)
            seen.steps[unit] += seen.first && (top.probe_issue >> unit & 1);
        moved += ar + aw + r + w + b;
        half(1);
        now++;
    }

    void take_read() {
        Burst& first = reads.front();
        seen.read_bytes[seen.region_of(first.address)] += BUS_BYTES;
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
                seen.written_bytes[seen.region_of(first.address + i)]++;
            }
        first.address += BUS_BYTES;
        beats_written++;
        write_credit -= 1.0;
        failed |= fail_write && beats_written == fail_write;
        if (static_cast<bool>(top.m_axi_wlast) != (first.left == 1)) fail("WLAST is wrong", 3);
        if (--first.left == 0) {
            answers.push_back({0, failed ? 2u : 0u, now + latency});
            failed = false;
            writes.pop_front();
        }
    }

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

void print_job(std::FILE* file, const std::vector<Run>& runs, const Seen& seen) {
    std::fprintf(file, "{");
    const auto of_runs = [&](const char* name, uint32_t Run::*member) {
        print_list(file, name, runs, [member](const Run& run) { return run.*member; });
        std::fprintf(file, ", ");
    };
    of_runs("cycles", &Run::cycles);
    of_runs("status", &Run::status);
    of_runs("layer", &Run::layer);
    of_runs("read_beats", &Run::read_beats);
    of_runs("write_beats", &Run::write_beats);
    const auto of_seen = [&](const char* name, const std::vector<uint64_t>& values) {
        print_list(file, name, values, [](uint64_t value) { return value; });
    };
    for (auto [name, values] : {std::pair{"tiles", &seen.tiles}, {"loads", &seen.loads},
                                {"stores", &seen.stores}, {"steps", &seen.steps}, {"read_bytes", &seen.read_bytes}}) {
        of_seen(name, *values);
        std::fprintf(file, ", ");
    }
    of_seen("written_bytes", seen.written_bytes);
    std::fprintf(file, "}");
}

// Whether the outputs are those that the job expects; says so where it has any.
bool as_expected(const Job& job, const std::vector<Run>& runs, const std::vector<uint8_t>& outputs) {
    if (!job.has("expected")) return true;
    const std::vector<uint8_t> expected = read_all(job.text("expected"));
    if (expected.size() != outputs.size()) fail("the expected outputs have another size");
    size_t wrong = 0, stopped = 0;
    for (size_t i = 0; i < outputs.size(); i++) wrong += expected[i] != outputs[i];
    for (const Run& run : runs) stopped += run.status >> 8 & 255 ? 1 : 0;
    if (wrong || stopped) {
        std::printf("FAIL: %zu bytes differ, %zu runs ended with an error\n", wrong, stopped);
        return false;
    }
    std::printf("PASS: %zu frames equal, %u cycles a frame\n", runs.size(), runs[0].cycles);
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) fail("usage: harness STATS JOB [JOB ...] [options]");
    VerilatedContext context;
    Bench bench(context);
    std::string wave, dump;
    std::vector<Job> jobs;
    for (int i = 2; i < argc; i++) {
        const std::string option = argv[i];
        if (option.substr(0, 2) != "--") {
            jobs.emplace_back(option);
            continue;
        }
        if (++i == argc) fail(option + " has no value");
        if (option == "--latency") bench.latency = std::strtoull(argv[i], nullptr, 10);
        else if (option == "--rate") bench.rate = std::strtod(argv[i], nullptr);
        else if (option == "--wave") wave = argv[i];
        else if (option == "--dump") dump = argv[i];
        else if (option == "--fail-read") bench.fail_read = std::strtoull(argv[i], nullptr, 10);
        else if (option == "--fail-write") bench.fail_write = std::strtoull(argv[i], nullptr, 10);
        else if (option == "--gaps") {
            bench.gaps = true;
            random_state = std::strtoull(argv[i], nullptr, 10) * 2 + 1;
        } else fail(option + " is no option");
    }
    std::FILE* stats = std::fopen(argv[1], "w");
    if (!stats) fail("can not write the statistics");
    std::fprintf(stats, "[");
    bench.open_wave(context, wave);
    bench.reset();
    bool good = true;
    for (size_t n = 0; n < jobs.size(); n++) {
        const Job& job = jobs[n];
        std::vector<uint8_t> image = read_all(job.text("image"));
        const std::vector<uint8_t> inputs = read_all(job.text("inputs"));
        const uint64_t frames = job.number("frames"), size = job.number("input_bytes"),
                       from = job.number("output_at"), result = job.number("output_bytes"),
                       to = job.number("input_at");
        image.resize(job.number("memory"));
        if (!frames || inputs.size() != frames * size) fail("the inputs have another size");
        if (to + size > image.size() || from + result > image.size()) fail("outside the memory");
        std::vector<uint8_t> outputs;
        std::vector<Run> runs;
        bench.seen = Seen(job.regions);
        for (uint64_t frame = 0; frame < frames; frame++) {
            bench.memory = image;
            std::copy_n(inputs.begin() + static_cast<std::ptrdiff_t>(frame * size), size,
                        bench.memory.begin() + static_cast<std::ptrdiff_t>(to));
            runs.push_back(bench.run(static_cast<uint32_t>(job.number("program")),
                                     static_cast<uint32_t>(job.number("writable"))));
            const auto begin = bench.memory.begin() + static_cast<std::ptrdiff_t>(from);
            outputs.insert(outputs.end(), begin, begin + static_cast<std::ptrdiff_t>(result));
            bench.seen.first = false;
        }
        if (job.has("outputs")) write_all(job.text("outputs"), outputs);
        good &= as_expected(job, runs, outputs);
        if (n) std::fprintf(stats, ", ");
        print_job(stats, runs, bench.seen);
    }
    std::fprintf(stats, "]\n");
    std::fclose(stats);
    bench.close_wave();
    if (!dump.empty()) write_all(dump, bench.memory);
    return good ? 0 : 1;
}
