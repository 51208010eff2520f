// This module's own ELF file, read once: names of kernels and shared arrays, and the source line of an instruction.
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "block.h"

namespace emu {

namespace {

struct Section {
    const unsigned char *begin = nullptr, *end = nullptr;
};

struct Line {
    uintptr_t address;
    std::string file;
    unsigned line;
    bool end;
};

struct Reader {  // little-endian numbers of a DWARF section
    const unsigned char *p, *end;
    uint64_t number(int bytes) {
        uint64_t v = 0;
        for (int i = 0; i < bytes && p < end; ++i) v |= uint64_t(*p++) << (8 * i);
        return v;
    }
    uint64_t uleb() {
        uint64_t v = 0;
        for (int shift = 0; p < end; shift += 7) {
            const unsigned char byte = *p++;
            v |= uint64_t(byte & 127) << shift;
            if (byte < 128) break;
        }
        return v;
    }
    int64_t sleb() {
        int64_t v = 0;
        for (int shift = 0; p < end;) {
            const unsigned char byte = *p++;
            v |= int64_t(byte & 127) << shift;
            shift += 7;
            if (byte < 128) {
                if (byte & 64) v |= -(int64_t(1) << shift);
                break;
            }
        }
        return v;
    }
};

std::string demangled(const char* name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    std::string out = status == 0 ? text : name;
    std::free(text);
    return out;
}

class Module {
public:
    std::vector<Symbol> functions, arrays;
    std::vector<Line> lines;
    uintptr_t base = 0;  // load address

    Module() {
        Dl_info info;
        if (!dladdr(reinterpret_cast<const void*>(&kernel_name), &info)) return;
        base = reinterpret_cast<uintptr_t>(info.dli_fbase);
        const int fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return;
        struct stat st;
        void* memory = fstat(fd, &st) == 0 ? mmap(nullptr, size_t(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        close(fd);
        if (memory == MAP_FAILED) return;
        read(static_cast<const unsigned char*>(memory));
        munmap(memory, size_t(st.st_size));
        std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
            return a.address != b.address ? a.address < b.address : a.end > b.end;
        });
    }

private:
    Section line_strings, strings;

    void read(const unsigned char* file) {
        const auto& header = *reinterpret_cast<const ElfW(Ehdr)*>(file);
        const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(file + header.e_shoff);
        const char* names = reinterpret_cast<const char*>(file + sections[header.e_shstrndx].sh_offset);
        const auto find = [&](const std::string& name) -> Section {
            for (int i = 0; i < header.e_shnum; ++i)
                if (name == names + sections[i].sh_name && !(sections[i].sh_flags & SHF_COMPRESSED))
                    return {file + sections[i].sh_offset, file + sections[i].sh_offset + sections[i].sh_size};
            return {};
        };
        for (int i = 0; i < header.e_shnum; ++i)
            if (sections[i].sh_type == SHT_SYMTAB)
                read_symbols(file + sections[i].sh_offset, sections[i].sh_size, file + sections[sections[i].sh_link].sh_offset);
        line_strings = find(".debug_line_str");
        strings = find(".debug_str");
        const Section s = find(".debug_line");
        for (Reader r{s.begin, s.end}; r.p < r.end;) {
            const uint64_t length = r.number(4);
            Reader unit{r.p, r.p + length};
            read_lines(unit);
            r.p += length;
        }
    }

    void read_symbols(const unsigned char* table, size_t bytes, const unsigned char* names) {
        const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(table);
        for (size_t i = 0; i < bytes / sizeof(ElfW(Sym)); ++i) {
            const auto& s = symbols[i];
            const char* name = reinterpret_cast<const char*>(names + s.st_name);
            const int type = ELF64_ST_TYPE(s.st_info);
            if (type == STT_FUNC && s.st_size) functions.push_back({name, s.st_value, s.st_size});
            // A static variable of a function; those of this emulator and of libraries are not shared memory.
            if (type == STT_TLS && std::string(name).starts_with("_ZZ")) {
                std::string text = demangled(name);
                if (text.find("emu::") == text.npos && text.find("std::") == text.npos && text.find("pybind11::") == text.npos)
                    arrays.push_back({std::move(text), s.st_value, s.st_size});
            }
        }
    }

    std::string form(Reader& r, uint64_t kind) {  // an entry of a file table; numbers as decimal text
        const auto at = [](Section s, uint64_t offset) { return std::string(reinterpret_cast<const char*>(s.begin + offset)); };
        switch (kind) {
            case 0x08: {  // DW_FORM_string
                std::string s = reinterpret_cast<const char*>(r.p);
                r.p += s.size() + 1;
                return s;
            }
            case 0x1f: return at(line_strings, r.number(4));  // DW_FORM_line_strp
            case 0x0e: return at(strings, r.number(4));       // DW_FORM_strp
            case 0x0b: return std::to_string(r.number(1));    // DW_FORM_data1
            case 0x05: return std::to_string(r.number(2));    // DW_FORM_data2
            case 0x0f: return std::to_string(r.uleb());       // DW_FORM_udata
            case 0x1e: r.p += 16; return "";                  // DW_FORM_data16
        }
        r.p = r.end;
        return "";
    }

    std::vector<std::string> table(Reader& r, const std::vector<std::string>& directories) {
        std::vector<std::pair<uint64_t, uint64_t>> format(r.number(1));
        for (auto& [content, kind] : format) content = r.uleb(), kind = r.uleb();
        std::vector<std::string> out(r.uleb());
        for (std::string& name : out) {
            size_t directory = 0;
            for (const auto& [content, kind] : format) {
                const std::string value = form(r, kind);
                if (content == 1) name = value;
                if (content == 2) directory = size_t(std::atoll(value.c_str()));
            }
            if (directory && directory < directories.size() && !name.starts_with("/")) name = directories[directory] + "/" + name;
        }
        return out;
    }

    void read_lines(Reader r) {  // one unit's line program, DWARF version 5
        if (r.number(2) != 5) return;
        r.number(2);  // sizes of an address and of a segment
        const uint64_t header = r.number(4);
        const unsigned char* program = r.p + header;
        const unsigned step = unsigned(r.number(1));
        r.number(2);  // operations per instruction; default of is_stmt
        const int line_base = int8_t(r.number(1));
        const unsigned line_range = unsigned(r.number(1)), opcode_base = unsigned(r.number(1));
        std::vector<unsigned> arguments(opcode_base);
        for (unsigned i = 1; i < opcode_base; ++i) arguments[i] = unsigned(r.number(1));
        const auto directories = table(r, {});
        const auto files = table(r, directories);
        r.p = program;
        uintptr_t address = 0;
        size_t file = 1;
        int64_t line = 1;
        const auto row = [&](bool end) { lines.push_back({address, file < files.size() ? files[file] : "", unsigned(line), end}); };
        while (r.p < r.end) {
            const unsigned op = unsigned(r.number(1));
            if (op >= opcode_base) {
                address += (op - opcode_base) / line_range * step;
                line += line_base + int((op - opcode_base) % line_range);
                row(false);
            } else if (op == 0) {
                const uint64_t length = r.uleb();
                const unsigned char* next = r.p + length;
                const unsigned extended = unsigned(r.number(1));
                if (extended == 1) row(true), address = 0, file = 1, line = 1;
                if (extended == 2) address = r.number(8);
                r.p = next;
            } else if (op == 1) {
                row(false);
            } else if (op == 2) {
                address += r.uleb() * step;
            } else if (op == 3) {
                line += r.sleb();
            } else if (op == 4) {
                file = r.uleb();
            } else if (op == 8) {
                address += (255 - opcode_base) / line_range * step;
            } else if (op == 9) {
                address += r.number(2);
            } else {
                for (unsigned i = 0; i < arguments[op]; ++i) r.uleb();
            }
        }
    }
};

const Module& module() {
    static const Module m;
    return m;
}

}  // namespace

const std::vector<Symbol>& shared_arrays() { return module().arrays; }

std::string kernel_name(const void* function) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(function) - module().base;
    for (const Symbol& s : module().functions)
        if (s.address == address) {
            std::string name = demangled(s.name.c_str());
            if (name.starts_with("void ")) name = name.substr(5);  // templates carry their return type
            const auto drop = [&](const std::string& piece) {
                for (size_t at; (at = name.find(piece)) != name.npos;) name.erase(at, piece.size());
            };
            drop("(anonymous namespace)::");
            drop("tg::");
            return name.substr(0, name.find('('));
        }
    return "(kernel without a name: the module was stripped)";
}

std::string source_line(uintptr_t pc) {
    const auto& lines = module().lines;
    auto after = std::upper_bound(lines.begin(), lines.end(), pc - module().base, [](uintptr_t a, const Line& l) { return a < l.address; });
    if (after == lines.begin() || (--after)->end || after->file.empty()) return "";
    auto row = after;  // of an inline function of the emulator the user wants the line that called it: the nearest before
    while (row->file.find("emulator/types.h") != row->file.npos || row->file.find("emulator/cuda.h") != row->file.npos) {
        if (row == lines.begin() || (--row)->end) {
            row = after;
            break;
        }
    }
    return std::filesystem::path(row->file).lexically_normal().string() + ":" + std::to_string(row->line);
}

}  // namespace emu
