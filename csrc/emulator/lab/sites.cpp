#include "sites.h"

#include <filesystem>

namespace emu::lab {

void Sites::clear() {
    places.clear();
    slots_.assign(1 << 8, 0);
}

void Sites::enter(uint32_t number) {
    size_t i = hash(places[number]);
    while (slots_[i & (slots_.size() - 1)]) ++i;
    slots_[i & (slots_.size() - 1)] = number + 1;
}

uint32_t Sites::add(const Place& place) {
    places.push_back(place);
    const auto number = uint32_t(places.size() - 1);
    if (places.size() * 2 <= slots_.size()) {
        enter(number);
    } else {
        slots_.assign(slots_.size() * 2, 0);
        for (uint32_t n = 0; n <= number; ++n) enter(n);
    }
    return number;
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
