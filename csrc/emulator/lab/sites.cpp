#include "sites.h"

#include <filesystem>
#include <stdexcept>

namespace emu::lab {

void Sites::clear() {
    places.clear();
    slots_.assign(1 << 16, 0);
}

uint32_t Sites::add(uint32_t& slot, const Place& place) {
    if (places.size() * 2 > slots_.size()) throw std::runtime_error("the lab's recording has too many places: stop and start it more often");
    places.push_back(place);
    return (slot = uint32_t(places.size())) - 1;
}

SourceLine Sites::line(uint32_t site) const {
    const Place& p = places[site];
    std::string text;
    if (p.line) {
        text = std::filesystem::path(reinterpret_cast<const char*>(p.where)).lexically_normal().string();
        return {std::move(text), p.line};
    }
    text = source_line(p.where - 1);  // of the call that returns there
    const size_t colon = text.rfind(':');
    if (colon == text.npos) return {"", 0};
    return {text.substr(0, colon), unsigned(std::atoi(text.c_str() + colon + 1))};
}

}  // namespace emu::lab
