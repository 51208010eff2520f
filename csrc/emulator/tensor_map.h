// What the emulator keeps in a CUtensorMap, and the pieces of memory that a copy by such a map moves.
#pragma once
#include "block.h"

namespace emu {

// Calls each(shared, global, bytes) for the pieces of 128 swizzled bytes of shared memory at `base`, which hold the elements of `line`
// from `first` on; it has `count`. global is null outside. line: null where all of it is outside.
template <class F> void each_piece_of_line(Block& block, uint32_t base, char* line, int64_t first, int64_t count, unsigned item, F&& each) {
    constexpr unsigned CHUNK = 16;  // bytes the swizzle keeps together
    for (unsigned k = 0; k < 128; k += CHUNK) {
        const int64_t j = first + int64_t(k / item);
        auto* shared = static_cast<char*>(shared_pointer_in(block, swizzle_128(base + k)));
        if (line && j >= 0 && j + int64_t(CHUNK / item) <= count) {
            each(shared, line + j * item, CHUNK);
            continue;
        }
        for (unsigned e = 0; e < CHUNK; e += item) {
            const int64_t jj = j + int64_t(e / item);
            each(shared + e, line && jj >= 0 && jj < count ? line + jj * item : nullptr, item);
        }
    }
}

struct Map {  // of a matrix, or of a stack of them
    static constexpr uint64_t MAGIC = 0x74656e736f726d61;
    uint64_t magic;
    char* data;
    uint64_t rows, columns, stride;
    unsigned item, box_rows, box_columns;
    bool rounds;  // fp32 elements to tf32, as they are loaded
    uint64_t matrices, matrix_stride, groups, group_stride;  // of a stack; `matrices` is 0 for a matrix of its own
};

struct MatrixBox {  // its first element is (row, column)
    Map map;
    int column, row;

    unsigned bytes() const { return map.box_rows * 128; }

    template <class F> void each_piece(Block& block, uint32_t base, F&& each) const {
        for (unsigned r = 0; r < map.box_rows; ++r) {
            const int64_t i = row + int64_t(r);
            char* const line = i >= 0 && i < int64_t(map.rows) ? map.data + i * int64_t(map.stride) : nullptr;
            each_piece_of_line(block, base + r * 128, line, column, int64_t(map.columns), map.item, each);
        }
    }
};

struct Im2colMap {  // of images (N, H, W, C); pairs are (W, H)
    static constexpr uint64_t MAGIC = 0x696d32636f6c6d61;
    uint64_t magic;
    char* data;
    uint32_t channels, size[2], images;
    uint64_t stride[3];          // of W, H, N in bytes
    int lower[2], upper[2];      // corners of the bounding box, from the first pixel and from the last
    unsigned step[2], item, pixels;
    static constexpr bool rounds = false;

    int last(int d) const { return int(size[d]) - 1 + upper[d]; }  // of the bounding box
};

// The patches' bases go through the bounding box of one image after the other, W first, by the map's steps; each patch gives the pixel
// `offset` from its base.
struct PixelBox {
    Im2colMap map;
    int channel, base[2], image;  // of the first patch
    int offset[2];

    unsigned bytes() const { return map.pixels * 128; }

    template <class F> void each_piece(Block& block, uint32_t to, F&& each) const {
        int w = base[0], h = base[1];
        int64_t n = image;
        for (unsigned p = 0; p < map.pixels; ++p) {
            const int64_t x = w + offset[0], y = h + offset[1];
            const bool inside = x >= 0 && x < int64_t(map.size[0]) && y >= 0 && y < int64_t(map.size[1]) && n >= 0 && n < int64_t(map.images);
            char* const line = inside ? map.data + x * int64_t(map.stride[0]) + y * int64_t(map.stride[1]) + n * int64_t(map.stride[2]) : nullptr;
            each_piece_of_line(block, to + p * 128, line, channel, map.channels, map.item, each);
            if ((w += int(map.step[0])) <= map.last(0)) continue;
            w = map.lower[0];
            if ((h += int(map.step[1])) <= map.last(1)) continue;
            h = map.lower[1];
            ++n;
        }
    }
};

// The map of a copy from or to `tile`; a trap where there can be no such copy.
template <class M> M map_for(const CUtensorMap& opaque, const void* tile, Site at) {
    M map;
    static_assert(sizeof map <= sizeof opaque);
    std::memcpy(&map, &opaque, sizeof map);
    if (map.magic != M::MAGIC) trap("TMA: not a tensor map, or not of this kind of copy", at);
    if (!is_shared(tile) || shared_address(tile, at) % 128) trap("TMA: the tile must be at a multiple of 128 bytes in shared memory", at);
    return map;
}

}  // namespace emu
