// Batch bench for a tiled engine under Verilator: external memory behind AXI4, runs of programs.
//
//   harness STATS JOB [JOB ...] [--latency N] [--rate R] [--gaps SEED] [--dump FILE] [--wave FILE]
//
// Jobs run one after the other, without a reset between them. A JOB is a text file of lines "KEY
// VALUE": image, the file of external memory's beginning; memory, its bytes, zero behind the image;
// program, program_end, writable, engine_lo, engine_hi, the values of the registers PROGRAM,
// PROGRAM_END, WRITE_FROM, ENGINE_LO and ENGINE_HI;
// inputs, the file of frames one after the other; frames, their number; input_at, input_bytes,
// output_at, output_bytes, where each frame goes and its results come from; outputs, the file that
// they are written to; expected, a file that they are compared with; cycles, beats, what a run is
// expected to take of both: one that takes several times as long hangs; region, once for each, the
// byte at which a region of memory ends. Files named .hex hold words as hexadecimal digits, lowest
// byte last; others hold bytes.
//
// A line "fault KIND AT CYCLES" lets something go wrong in each run of a job: read_error,
// write_error, from beat AT on, counted from 1, so many beats are answered with an error; ar, r, aw,
// w, b, from cycle AT after the start on, memory withholds its READY or VALID; reset, the engine is
// reset in cycle AT, which ends the run; start, START is written then.
//
// STATS is JSON. For each job: cycles and beats of each run as the registers say, the cycles in
// which tiles, loads and stores were finished in its first one, those in which the steps of tiles and
// the bursts of reads (and where they read) and writes began in it, the steps that the array of each
// tile unit took in it, the words that each tile of each unit moved between buffers and array, and
// the bytes read and written in each region. Reads answer N cycles after their address, a beat every
// 1/R cycles, writes likewise; --gaps makes both sides random. --dump keeps the memory after the last
// run. Exit codes: 1 for wrong files and outputs that differ, 3 where the engine hangs or breaks AXI.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "Vprobe.h"
#include "memory.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr uint64_t QUIET_LIMIT = 100000;  // cycles in which nothing moves
constexpr uint64_t PATIENCE = 4;          // a run may last so many times what is expected
constexpr uint64_t ANSWER_LIMIT = 1000;   // cycles until a register access is answered

uint8_t digit(char c, const std::string& path) {
    if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
    fail(path + ": a digit is not hexadecimal");
}

std::vector<uint8_t> read_hex(std::ifstream& file, const std::string& path) {
    std::vector<uint8_t> data;
    for (std::string word; file >> word;) {
        if (word.size() % 2) fail(path + ": half a byte");
        for (size_t i = word.size(); i; i -= 2)
            data.push_back(
                static_cast<uint8_t>(digit(word[i - 2], path) << 4 | digit(word[i - 1], path)));
    }
    return data;
}

std::vector<uint8_t> read_all(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("can not read " + path);
    if (path.size() > 4 && path.substr(path.size() - 4) == ".hex") return read_hex(file, path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_all(const std::string& path, const std::vector<uint8_t>& data) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(data.data(), 1, data.size(), file) != data.size())
        fail("can not write " + path);
    std::fclose(file);
}

enum Registers : uint32_t {  // see INTEGRATE.md
    CONTROL = 0x10, STATUS = 0x14, ERROR_LAYER = 0x18, MEM_BASE = 0x1C, MEM_LIMIT = 0x20,
    WRITE_FROM = 0x24, PROGRAM = 0x28, CYCLES = 0x2C, READ_BEATS = 0x30, WRITE_BEATS = 0x34,
    PROGRAM_END = 0x4C, ENGINE_LO = 0x58, ENGINE_HI = 0x5C,
};
enum Control : uint32_t { START = 1, CLEAR = 2, IRQ_ENABLE = 4 };

struct Run {
    uint32_t cycles, status, layer, read_beats, write_beats;
};

struct Job {
    std::map<std::string, std::string> texts;
    std::vector<uint64_t> regions;
    std::vector<Fault> faults;

    explicit Job(const std::string& path) {
        std::ifstream file(path);
        if (!file) fail("can not read " + path);
        for (std::string line; std::getline(file, line);) {
            const size_t space = line.find(' ');
            if (space == std::string::npos) continue;
            const std::string key = line.substr(0, space), value = line.substr(space + 1);
            if (key == "region") regions.push_back(std::stoull(value));
            else if (key == "fault") add_fault(value);
            else texts[key] = value;
        }
    }

    bool has(const char* key) const { return texts.count(key); }
    const std::string& text(const char* key) const {
        if (!has(key)) fail(std::string("a job says nothing of ") + key);
        return texts.at(key);
    }
    uint64_t number(const char* key) const { return std::stoull(text(key)); }
    uint32_t word(const char* key) const { return static_cast<uint32_t>(number(key)); }

   private:
    void add_fault(const std::string& value) {
        Fault fault;
        if (!(std::istringstream(value) >> fault.kind >> fault.at >> fault.cycles))
            fail("a fault is not KIND AT CYCLES");
        faults.push_back(fault);
    }
};

// When things were finished in a run, and the words that its tiles moved.
struct Seen {
    struct Words {
        std::vector<uint64_t> of_tiles;
        size_t tile = 0;
    };
    struct Unit {
        uint64_t steps = 0;
        std::vector<uint64_t> begun;  // when the steps of each tile began
        std::vector<Words> words = std::vector<Words>(std::size(MOVES));
    };
    std::vector<uint64_t> tiles, loads, stores;
    std::vector<uint64_t> asked, asked_at, sent;  // when reads are asked for, and from where; first beats written
    std::vector<Unit> units = std::vector<Unit>(TILES);

    // Words move a fixed time after their step, when the next tile may have begun.
    void count(uint64_t now, uint64_t n, bool begins, const uint8_t* buffers) {
        Unit& unit = units[n];
        for (size_t k = 0; k < std::size(MOVES); k++) {
            const Move& move = MOVES[k];
            Words& moving = unit.words[k];
            while (moving.tile < unit.begun.size() && unit.begun[moving.tile] + move.delay < now) {
                moving.tile++;
                moving.of_tiles.push_back(0);
            }
            uint64_t moved = 0;
            for (uint64_t i = 0, low = n * MOVE_BITS + move.low; i < move.bits; i++)
                moved |= (buffers[(low + i) / 8] >> (low + i) % 8 & 1ull) << i;
            if (moved && !moving.tile) fail("words move before there is a tile", 3);
            if (moved) moving.of_tiles.back() += moved;
        }
        if (begins) unit.begun.push_back(now);
    }
};

class Bench {
   public:
    Vprobe top;
    Memory memory{top};

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
        half(0);
        half(1);
        top.rst = 0;
        now++;
        memory.begin();
    }

    // seen: where to keep what happens in it; may be none.
    Run run(const Job& job, Seen* seen) {
        write(MEM_BASE, BASE);
        write(MEM_LIMIT, static_cast<uint32_t>(memory.data.size()));
        write(WRITE_FROM, job.word("writable"));
        write(PROGRAM, job.word("program"));
        write(PROGRAM_END, job.word("program_end"));
        write(ENGINE_LO, job.word("engine_lo"));
        write(ENGINE_HI, job.word("engine_hi"));
        kept = seen;
        memory.begin();
        writing = false;
        memory.faults = job.faults;
        started = now;
        write(CONTROL, START | CLEAR | IRQ_ENABLE);
        wait(limit_of(job));
        memory.faults.clear();
        const Run result{read(CYCLES), read(STATUS), read(ERROR_LAYER), read(READ_BEATS),
                         read(WRITE_BEATS)};
        write(CONTROL, CLEAR);
        return result;
    }

   private:
#if VM_TRACE
    VerilatedVcdC trace;
    bool tracing = false;
#endif
    uint64_t now = 0, halves = 0, started = 0;
    bool writing = false;  // the next beat of a write is not its burst's first one
    Seen* kept = nullptr;

    // Cycles that no run of a job takes. That something moves does not say that it comes to its
    // end. Expected are those of the engine, and as if memory had a beat at a time.
    uint64_t limit_of(const Job& job) const {
        const double beat = static_cast<double>(memory.latency) + 1 / memory.rate;
        const double wait = static_cast<double>(job.number("beats")) * beat;
        return QUIET_LIMIT + PATIENCE * (job.number("cycles") + static_cast<uint64_t>(wait));
    }

    // Until the run ends.
    void wait(uint64_t limit) {
        for (uint64_t quiet = 0; !top.irq;) {
            const uint64_t moved = memory.moved, run = now - started;
            if (memory.due("reset", run)) return reset();
            if (memory.due("start", run)) write(CONTROL, START | IRQ_ENABLE);
            else cycle();
            quiet = moved == memory.moved && !top.probe_issue ? quiet + 1 : 0;
            if (quiet > QUIET_LIMIT) fail("nothing moves any more: the engine hangs", 3);
            if (run > limit)
                fail("no end after " + std::to_string(run) + " cycles: the engine hangs", 3);
        }
    }

    void half(int clock) {
        top.clk = clock;
        top.eval();
#if VM_TRACE
        if (tracing) trace.dump(halves);
#endif
        halves++;
    }

    // One clock cycle: memory's answers are set before the rising edge and taken with it.
    void cycle() {
        memory.drive(now, now - started);
        half(0);
        const bool asks = top.m_axi_arvalid && top.m_axi_arready;
        const bool writes = top.m_axi_wvalid && top.m_axi_wready, sends = writes && !writing;
        if (writes) writing = !top.m_axi_wlast;
        memory.take();
        if (top.probe_start) started = now;
        if (kept && asks) {
            kept->asked.push_back(now - started);
            kept->asked_at.push_back(top.m_axi_araddr - BASE);
        }
        if (kept && sends) kept->sent.push_back(now - started);
        for (unsigned n = 0; kept && n < TILES; n++) {
            kept->units[n].steps += top.probe_issue >> n & 1;
            kept->count(now - started, n, top.probe_begin >> n & 1, bytes_of(top.probe_buffers));
        }
        if (kept && top.probe_tile) kept->tiles.push_back(now - started);
        if (kept && top.probe_load) kept->loads.push_back(now - started);
        if (kept && top.probe_store) kept->stores.push_back(now - started);
        half(1);
        now++;
    }

    // A cycle of a register access that began then.
    void answer_cycle(uint64_t begin) {
        if (now - begin > ANSWER_LIMIT) fail("a register does not answer: the engine hangs", 3);
        cycle();
    }

    void write(uint32_t address, uint32_t value) {
        top.s_axi_awaddr = address;
        top.s_axi_wdata = value;
        top.s_axi_wstrb = 15;
        top.s_axi_awvalid = top.s_axi_wvalid = 1;
        top.s_axi_bready = 1;
        const uint64_t begin = now;
        while (top.s_axi_awvalid || top.s_axi_wvalid) {
            top.eval();
            const bool address = top.s_axi_awready, data = top.s_axi_wready;
            answer_cycle(begin);
            if (address) top.s_axi_awvalid = 0;
            if (data) top.s_axi_wvalid = 0;
        }
        while (!top.s_axi_bvalid) answer_cycle(begin);
        cycle();
    }

    uint32_t read(uint32_t address) {
        top.s_axi_araddr = address;
        top.s_axi_arvalid = 1;
        top.s_axi_rready = 1;
        const uint64_t begin = now;
        for (bool taken = false; !taken;) {
            top.eval();
            taken = top.s_axi_arready;
            answer_cycle(begin);
        }
        top.s_axi_arvalid = 0;
        while (!top.s_axi_rvalid) answer_cycle(begin);
        const uint32_t value = top.s_axi_rdata;
        cycle();
        return value;
    }
};

template <typename Values, typename Get>
void print_values(std::FILE* file, const Values& values, Get get) {
    std::fprintf(file, "[");
    for (size_t i = 0; i < values.size(); i++)
        std::fprintf(file, "%s%llu", i ? ", " : "", static_cast<unsigned long long>(get(values[i])));
    std::fprintf(file, "]");
}

template <typename Values, typename Get>
void print_list(std::FILE* file, const char* name, const Values& values, Get get) {
    std::fprintf(file, "\"%s\": ", name);
    print_values(file, values, get);
}

void print_job(std::FILE* file, const std::vector<Run>& runs, const Seen& seen,
               const Traffic& traffic) {
    std::fprintf(file, "{");
    for (auto [name, member] : {std::pair{"cycles", &Run::cycles}, {"status", &Run::status},
                                {"layer", &Run::layer}, {"read_beats", &Run::read_beats},
                                {"write_beats", &Run::write_beats}}) {
        print_list(file, name, runs, [member = member](const Run& run) { return run.*member; });
        std::fprintf(file, ", ");
    }
    const char* separator = "";
    for (auto [name, values] :
         {std::pair{"tiles", &seen.tiles}, {"loads", &seen.loads}, {"stores", &seen.stores},
          {"asked", &seen.asked}, {"asked_at", &seen.asked_at}, {"sent", &seen.sent},
          {"read_bytes", &traffic.read}, {"written_bytes", &traffic.written}}) {
        std::fprintf(file, "%s", separator);
        print_list(file, name, *values, [](uint64_t value) { return value; });
        separator = ", ";
    }
    std::fprintf(file, ", ");
    print_list(file, "steps", seen.units, [](const Seen::Unit& unit) { return unit.steps; });
    std::fprintf(file, ", \"begun\": [");
    for (size_t unit = 0; unit < seen.units.size(); unit++) {
        std::fprintf(file, unit ? ", " : "");
        print_values(file, seen.units[unit].begun, [](uint64_t value) { return value; });
    }
    std::fprintf(file, "], \"words\": [");
    for (size_t unit = 0; unit < seen.units.size(); unit++) {
        std::fprintf(file, unit ? ", {" : "{");
        for (size_t n = 0; n < std::size(MOVES); n++) {
            if (n) std::fprintf(file, ", ");
            print_list(file, MOVES[n].name, seen.units[unit].words[n].of_tiles,
                       [](uint64_t value) { return value; });
        }
        std::fprintf(file, "}");
    }
    std::fprintf(file, "]}");
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

// All frames of a job, and what is to be said of them. Whether the outputs are as expected.
bool run_job(Bench& bench, const Job& job, std::FILE* stats) {
    std::vector<uint8_t> image = read_all(job.text("image"));
    const std::vector<uint8_t> inputs = read_all(job.text("inputs"));
    const uint64_t frames = job.number("frames"), size = job.number("input_bytes"),
                   from = job.number("output_at"), result = job.number("output_bytes"),
                   to = job.number("input_at");
    if (image.size() != job.number("writable"))
        fail(job.text("image") + " has " + std::to_string(image.size()) +
             " bytes, not those up to WRITE_FROM");
    image.resize(job.number("memory"));
    if (!frames || inputs.size() != frames * size) fail("the inputs have another size");
    if (to + size > image.size() || from + result > image.size()) fail("outside the memory");
    std::vector<uint8_t> outputs;
    std::vector<Run> runs;
    Seen seen;
    bench.memory.traffic = Traffic(job.regions);
    bench.memory.writable = job.number("writable");
    for (uint64_t frame = 0; frame < frames; frame++) {
        std::vector<uint8_t>& memory = bench.memory.data;
        memory = image;
        std::copy_n(inputs.begin() + static_cast<std::ptrdiff_t>(frame * size), size,
                    memory.begin() + static_cast<std::ptrdiff_t>(to));
        runs.push_back(bench.run(job, frame ? nullptr : &seen));
        const auto begin = memory.begin() + static_cast<std::ptrdiff_t>(from);
        outputs.insert(outputs.end(), begin, begin + static_cast<std::ptrdiff_t>(result));
    }
    if (job.has("outputs")) write_all(job.text("outputs"), outputs);
    print_job(stats, runs, seen, bench.memory.traffic);
    return as_expected(job, runs, outputs);
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
        if (option == "--latency") bench.memory.latency = std::strtoull(argv[i], nullptr, 10);
        else if (option == "--rate") bench.memory.rate = std::strtod(argv[i], nullptr);
        else if (option == "--gaps") bench.memory.pause_at_random(std::strtoull(argv[i], nullptr, 10));
        else if (option == "--wave") wave = argv[i];
        else if (option == "--dump") dump = argv[i];
        else fail(option + " is no option");
    }
    std::FILE* stats = std::fopen(argv[1], "w");
    if (!stats) fail("can not write the statistics");
    bench.open_wave(context, wave);
    bench.reset();
    bool good = true;
    for (size_t n = 0; n < jobs.size(); n++) {
        std::fprintf(stats, "%s", n ? ", " : "[");
        good &= run_job(bench, jobs[n], stats);
    }
    std::fprintf(stats, "]\n");
    std::fclose(stats);
    bench.close_wave();
    if (!dump.empty()) write_all(dump, bench.memory.data);
    return good ? 0 : 1;
}
