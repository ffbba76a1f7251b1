// External memory behind the AXI4 port of a tiled engine: how it answers, what goes wrong, what it
// has seen. Bursts that break the rules of AXI end the simulation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vprobe.h"
#include "design.h"  // BUS_BYTES, MOVES

constexpr uint32_t BASE = 0x40000000;  // address of its first byte

[[noreturn]] inline void fail(const std::string& message, int code = 1) {
    std::fprintf(stderr, "harness: %s\n", message.c_str());
    std::exit(code);
}

template <typename Port>
uint8_t* bytes_of(Port& port) { return reinterpret_cast<uint8_t*>(&port); }

// Something that goes wrong in a run, see the head of harness.cpp.
struct Fault {
    std::string kind;
    uint64_t at, cycles;
};

// What is seen while a job runs: bytes read and written in each region of memory.
struct Traffic {
    std::vector<uint64_t> regions, read, written;  // regions: where they end

    explicit Traffic(const std::vector<uint64_t>& ends)
        : regions(ends), read(ends.size() + 1), written(ends.size() + 1) {}

    size_t region_of(uint64_t offset) const {
        size_t n = 0;
        while (n < regions.size() && offset >= regions[n]) n++;
        return n;
    }
};

class Memory {
   public:
    std::vector<uint8_t> data;
    uint64_t latency = 20, writable = 0, moved = 0;
    double rate = 1.0;
    std::vector<Fault> faults;
    Traffic traffic{{}};

    explicit Memory(Vprobe& port) : top(port) {}

    void pause_at_random(uint64_t number) {
        gaps = true;
        seed = number;
    }

    // A run begins, or the engine was reset: nothing is under way.
    void begin() {
        runs++;
        reads.clear();
        writes.clear();
        answers.clear();
        offered = answered = failed = false;
        beats_read = beats_written = 0;
    }

    // Whether a fault of a kind acts in this cycle of a run.
    bool acts(const char* kind, uint64_t cycle) const {
        for (const Fault& fault : faults)
            if (cycle >= fault.at && cycle - fault.at < fault.cycles && fault.kind == kind)
                return true;
        return false;
    }

    // Whether a fault that happens once is due; it is over then.
    bool due(const char* kind, uint64_t cycle) {
        for (auto fault = faults.begin(); fault != faults.end(); ++fault)
            if (cycle >= fault->at && fault->kind == kind) {
                faults.erase(fault);
                return true;
            }
        return false;
    }

    // What memory offers and takes in a cycle, before its rising edge. cycle: of the run.
    void drive(uint64_t time, uint64_t cycle) {
        now = time;
        if (gaps) willing_now = mixed(mixed(mixed(seed) + runs) + cycle) >> 59;
        read_credit = std::min(read_credit + rate, 1.0 + rate);
        write_credit = std::min(write_credit + rate, 1.0 + rate);
        top.m_axi_arready = willing("ar", cycle);
        top.m_axi_awready = willing("aw", cycle);
        // What is offered stays until it is taken.
        if (!offered && !reads.empty() && now >= reads.front().ready && read_credit >= 1.0)
            offered = willing("r", cycle);
        top.m_axi_rvalid = offered;
        if (offered) {
            const Burst& first = reads.front();
            std::memcpy(bytes_of(top.m_axi_rdata), &data[first.address], BUS_BYTES);
            top.m_axi_rlast = first.left == 1;
            top.m_axi_rresp = acts("read_error", beats_read + 1) ? 2 : 0;
        }
        top.m_axi_wready = write_credit >= 1.0 && !writes.empty() && willing("w", cycle);
        if (!answered && !answers.empty() && now >= answers.front().ready)
            answered = willing("b", cycle);
        top.m_axi_bvalid = answered;
        top.m_axi_bresp = answered ? static_cast<uint8_t>(answers.front().left) : 0;
    }

    // What passes with the rising edge.
    void take() {
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
        moved += ar + aw + r + w + b;
    }

   private:
    struct Burst {
        uint64_t address, left, ready;
    };

    Vprobe& top;
    std::deque<Burst> reads, writes, answers;
    uint64_t now = 0, beats_read = 0, beats_written = 0, seed = 0, willing_now = 0;
    uint64_t runs = ~0ull;  // 0 is the first one
    double read_credit = 1.0, write_credit = 1.0;
    bool gaps = false, offered = false, answered = false, failed = false;

    // splitmix64's: a pause follows from seed, run, cycle and channel, whatever was asked before.
    static uint64_t mixed(uint64_t value) {
        value += 0x9E3779B97F4A7C15ULL;
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
        value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
        return value ^ value >> 31;
    }

    bool willing(const char* channel, uint64_t cycle) const {
        constexpr const char* CHANNELS[] = {"ar", "r", "aw", "w", "b"};
        for (int n = 0; gaps && n < 5; n++)
            if (std::strcmp(CHANNELS[n], channel) == 0 && !(willing_now >> n & 1)) return false;
        return !acts(channel, cycle);
    }

    Burst burst(uint32_t address, uint32_t length, uint32_t size, uint32_t kind) {
        const uint64_t beats = length + 1, bytes = beats * BUS_BYTES;
        const uint64_t offset = static_cast<uint64_t>(address) - BASE;
        if (kind != 1 || (1u << size) != BUS_BYTES) fail("a burst is not INCR of whole beats", 3);
        if (address % BUS_BYTES) fail("a burst begins within a beat", 3);
        if (address / 4096 != (address + bytes - 1) / 4096) fail("a burst crosses 4 KiB", 3);
        if (address < BASE || offset + bytes > data.size()) fail("a burst leaves the memory", 3);
        return {offset, beats, now + latency};
    }

    void take_read() {
        Burst& first = reads.front();
        traffic.read[traffic.region_of(first.address)] += BUS_BYTES;
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
                if (first.address + i < writable) fail("a write below WRITE_FROM", 3);
                data[first.address + i] = bytes_of(top.m_axi_wdata)[i];
                traffic.written[traffic.region_of(first.address + i)]++;
            }
        first.address += BUS_BYTES;
        beats_written++;
        write_credit -= 1.0;
        failed |= acts("write_error", beats_written);
        if (static_cast<bool>(top.m_axi_wlast) != (first.left == 1)) fail("WLAST is wrong", 3);
        if (--first.left == 0) {
            answers.push_back({0, failed ? 2u : 0u, now + latency});
            failed = false;
            writes.pop_front();
        }
    }
};
