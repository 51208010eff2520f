// A recording as JSON: tensorgrad/lab.py tells what the fields mean.
#include <algorithm>
#include <stdexcept>

#include "recorder.h"

namespace emu::lab {

namespace {

constexpr const char* KINDS[] = {"barrier", "named barrier", "cluster barrier", "syncwarp",  "shuffle",         "vote",          "ldmatrix", "mma",
                                 "wgmma",   "cp.async",      "tma load",        "tma store", "mbarrier arrive", "mbarrier wait", "fence"};

std::string quoted(const std::string& s) {
    std::string out = "\"";
    for (char c : s) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}
std::string field(const char* name, uint64_t n) { return quoted(name) + ": " + std::to_string(n); }
std::string field(const char* name, const std::string& s) { return quoted(name) + ": " + quoted(s); }
template <class V> std::string field(const char* name, const V& v, int) {
    return quoted(name) + ": [" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + "]";
}
template <class... T> std::string object(const T&... fields) {
    std::string out;
    ((out += (out.empty() ? "{" : ", ") + fields), ...);
    return out + "}";
}
std::string list(const char* name, const std::vector<std::string>& items) {
    std::string out = quoted(name) + ": [";
    for (size_t i = 0; i < items.size(); ++i) out += (i ? ",\n " : "\n ") + items[i];
    return out + "]";
}

void add(Totals& to, const Totals& from) {
    to.requests += from.requests, to.lanes += from.lanes, to.bytes += from.bytes, to.sectors += from.sectors;
    to.ideal_sectors += from.ideal_sectors, to.wavefronts += from.wavefronts, to.ideal_wavefronts += from.ideal_wavefronts;
    to.conflicts += from.conflicts;
}

std::vector<std::string> lines(const LaunchRecord& l, const std::vector<SourceLine>& source) {
    std::map<std::tuple<SourceLine, Space, Access, Via, uint32_t>, Totals> rows;
    for (uint32_t site = 0; site < l.totals.size() && site < source.size(); ++site) {
        const What& w = recorder.sites.places[site].what;
        if (w.access == Access::none || w.space == Space::registers || !l.totals[site].requests) continue;
        add(rows[{source[site], w.space, w.access, w.via, w.bytes}], l.totals[site]);
    }
    std::vector<std::string> out;
    for (const auto& [key, t] : rows) {
        const auto& [line, space, access, via, bytes] = key;
        const bool boxes = via == Via::tma || via == Via::tma_store;  // rows of 128 bytes, or what of them lies inside
        out.push_back(object(field("file", line.file), field("line", line.line), field("space", SPACES[int(space)]),
                             field("access", ACCESSES[int(access)]), field("via", VIAS[int(via)]), field("bytes_per_lane", bytes),
                             field("requests", t.requests), field("lanes", t.lanes), field("bytes", t.bytes), field("sectors", t.sectors),
                             field("ideal_sectors", boxes && space == Space::global ? (t.bytes + 31) / 32 : t.ideal_sectors),
                             field("wavefronts", t.wavefronts), field("ideal_wavefronts", t.ideal_wavefronts), field("conflicts", t.conflicts)));
    }
    return out;
}

std::vector<std::string> instructions(const LaunchRecord& l, const std::vector<SourceLine>& source) {
    std::map<std::pair<SourceLine, std::string>, Totals> rows;
    for (uint32_t site = 0; site < l.totals.size() && site < source.size(); ++site) {
        const What& w = recorder.sites.places[site].what;
        if (!l.totals[site].requests || w.space == Space::registers) continue;
        if (w.access == Access::none) add(rows[{source[site], KINDS[int(w.kind)]}], l.totals[site]);
        else if (w.via == Via::thread) add(rows[{source[site], std::string(SPACES[int(w.space)]) + " " + ACCESSES[int(w.access)]}], l.totals[site]);
    }
    std::vector<std::string> out;
    for (const auto& [key, t] : rows)
        out.push_back(object(field("file", key.first.file), field("line", key.first.line), field("kind", key.second), field("count", t.requests),
                             field("lanes", t.lanes)));
    return out;
}

std::string side(const char* name, const Side& s, const char* agent, const std::vector<SourceLine>& source) {
    const What& w = recorder.sites.places[s.site].what;
    const std::string who = w.via == Via::ldmatrix ? "ldmatrix" : agent;
    return quoted(name) + ": " + object(field("file", source[s.site].file), field("line", source[s.site].line),
                                        field("access", ACCESSES[int(w.access)]), field("agent", who), field("block", s.block, 0),
                                        field("thread", s.thread, 0));
}

std::vector<std::string> races(const LaunchRecord& l, const std::vector<SourceLine>& source) {
    struct Row {
        const RaceKey* key;
        const Race* race;
        uint64_t count;
    };
    std::map<std::tuple<SourceLine, SourceLine, std::string, Space, std::string, std::string>, Row> rows;  // sites of the same lines are one
    for (const auto& [key, race] : l.races) {
        const auto& [kind, space, first, second, a, b] = key;
        const SourceLine none{};
        const auto [at, is_new] = rows.emplace(std::tuple{race.alone ? none : source[first], source[second], kind, space, a, b}, Row{&key, &race, 0});
        at->second.count += race.count;
    }
    std::vector<std::string> out;
    for (const auto& [_, row] : rows) {
        const auto& [kind, space, first, second, a, b] = *row.key;
        out.push_back(object(field("kind", kind), field("space", SPACES[int(space)]), field("count", row.count),
                             row.race->alone ? "\"first\": null" : side("first", row.race->first, a, source),
                             side("second", row.race->second, b, source), field("where", row.race->where)));
    }
    return out;
}

std::string launch(const LaunchRecord& l, const std::vector<SourceLine>& source) {
    const bool metrics = recorder.metrics;
    return object(field("kernel", kernel_name(l.launch.kernel)), field("grid", l.launch.grid, 0), field("block", l.launch.block, 0),
                  field("cluster", l.launch.cluster, 0), field("dynamic_shared", l.launch.dynamic_shared), field("static_shared", l.static_shared),
                  field("blocks", l.blocks), field("warps", l.warps), std::string("\"failed\": ") + (l.failed ? "true" : "false"),
                  list("lines", metrics ? lines(l, source) : std::vector<std::string>{}),
                  list("instructions", metrics ? instructions(l, source) : std::vector<std::string>{}), field("sectors_read", l.sectors_read), field("sectors_written", l.sectors_written),
                  list("races", races(l, source)));
}

}  // namespace

void start(bool metrics, bool races) {
    recorder.on = true;
    recorder.metrics = metrics;
    recorder.races = races;
    recorder.sites.clear();
    recorder.done.clear();
}

std::string stop() {
    if (!recorder.on) throw std::runtime_error("the lab is not recording: start it first");
    recorder.on = false;
    std::vector<SourceLine> source;
    for (uint32_t site = 0; site < recorder.sites.places.size(); ++site) source.push_back(recorder.sites.line(site));
    std::vector<std::string> launches;
    for (const LaunchRecord& l : recorder.done) launches.push_back(launch(l, source));
    recorder.done.clear();
    return "{" + list("launches", launches) + "}";
}

}  // namespace emu::lab
