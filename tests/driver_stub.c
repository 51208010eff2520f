// A CUDA driver for machines without a GPU: tests build it as libcuda.so.1 and put its folder first on LD_LIBRARY_PATH. "Device" memory is
// the host's, so copies really copy; kernels do nothing, but what they were launched with is written down, a line each:
//   cuLaunchKernel function=matmul grid=2,1,1 block=128,1,1 shared=49152 stream=0 params=00f01c0a7f7f0000,e8030000
// What the real driver refuses is refused here: no current context, an empty grid, shared memory the function was not allowed, too much memory.
// stub_fail(name, n, error) makes the n-th call of a function from then on fail; stub_set changes the machine; stub_log reads the lines.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
typedef int CUresult;
typedef uintptr_t CUdeviceptr;
typedef struct { char bytes[16]; } CUuuid;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       NOT_FOUND = 500, NOT_READY = 600, CAPTURE_UNSUPPORTED = 900 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char* text;  // the log
static size_t length, room;
static long devices = 1, chips[2] = {90, 90}, version = 13000, memory = 1L << 30, quiet, used;  // chips: of the first device and of the others
static struct { char name[64]; long in; int error; } planned;

static void append(const char* line) {
    const size_t n = strlen(line);
    if (length + n + 1 > room) text = realloc(text, room = 2 * (length + n + 1));
    memcpy(text + length, line, n + 1);
    length += n;
}

static void note(const char* format, ...) {
    if (quiet) return;
    char line[16384];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    pthread_mutex_lock(&lock);
    append(line);
    append("\n");
    pthread_mutex_unlock(&lock);
}

static CUresult failing(const char* name) {
    CUresult error = OK;
    pthread_mutex_lock(&lock);
    if (planned.in > 0 && !strcmp(planned.name, name) && --planned.in == 0) error = planned.error;
    pthread_mutex_unlock(&lock);
    return error;
}

API void stub_fail(const char* name, long n, int error) {
    snprintf(planned.name, sizeof planned.name, "%s", name);
    planned.in = n;
    planned.error = error;
}
API int stub_set(const char* what, long value) {
    const struct { const char* name; long* at; } settings[] = {
        {"devices", &devices}, {"chip", &chips[0]}, {"chip_of_others", &chips[1]}, {"version", &version}, {"memory", &memory}, {"quiet", &quiet}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; ++i)
        if (!strcmp(settings[i].name, what)) return *settings[i].at = value, 0;
    return -1;
}
API const char* stub_log(void) { return text ? text : ""; }
API void stub_clear(void) { length = 0; if (text) *text = 0; }
API long stub_used(void) { return used; }

// Each call begins so: written down, and failed if that was planned. CALL needs a context as well.
#define ENTER(...) do { note(__VA_ARGS__); const CUresult error_ = failing(__func__); if (error_) return error_; } while (0)
#define CALL(...) do { ENTER(__VA_ARGS__); if (!current) return INVALID_CONTEXT; } while (0)

// ---------------------------------------------------------------- devices and contexts

typedef struct Context { int device; } Context;
static Context primary[16];
static _Thread_local Context* current;

API CUresult cuInit(unsigned flags) {
    ENTER("cuInit %u", flags);
    return devices ? OK : NO_DEVICE;
}
API CUresult cuDriverGetVersion(int* v) { return *v = (int)version, OK; }
API CUresult cuDeviceGetCount(int* n) { return *n = (int)devices, OK; }
API CUresult cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal < devices ? OK : INVALID_DEVICE; }
API CUresult cuDeviceGetName(char* name, int n, int device) { return snprintf(name, n, "stub %d", device), OK; }
API CUresult cuDeviceTotalMem_v2(size_t* n, int device) { return (void)device, *n = memory, OK; }
API CUresult cuDeviceGetUuid_v2(CUuuid* id, int device) { return memset(id, device + 1, sizeof *id), OK; }
API CUresult cuDeviceGetPCIBusId(char* id, int n, int device) { return snprintf(id, n, "0000:%02X:00.0", device), OK; }
API CUresult cuDeviceCanAccessPeer(int* can, int a, int b) { return *can = a != b, OK; }
API CUresult cuDeviceGetAttribute(int* value, int attribute, int device) {
    const long chip = chips[device > 0];
    const int limit = chip == 90 ? 232448 : chip == 80 ? 166912 : 101376;
    switch (attribute) {
        case 75: *value = (int)chip / 10; break;
        case 76: *value = (int)chip % 10; break;
        case 1: case 2: case 3: *value = 1024; break;          // threads of a block
        case 5: *value = 2147483647; break;                    // grid x
        case 6: case 7: *value = 65535; break;                 // grid y, z
        case 8: *value = 49152; break;                         // shared memory of a block
        case 10: *value = 32; break;                           // warp
        case 12: *value = 65536; break;                        // registers of a block
        case 16: *value = chip == 90 ? 132 : 108; break;       // multiprocessors
        case 39: *value = 2048; break;                         // threads of a multiprocessor
        case 81: *value = limit + 1024; break;                 // shared memory of a multiprocessor
        case 97: *value = limit; break;                        // shared memory of a block, opted in
        case 41: case 115: *value = 1; break;                  // unified addressing, memory pools
        default: *value = 0;
    }
    return OK;
}
API CUresult cuDeviceComputeCapability(int* major, int* minor, int device) {
    return *major = (int)chips[device > 0] / 10, *minor = (int)chips[device > 0] % 10, OK;
}
API CUresult cuDevicePrimaryCtxRetain(Context** context, int device) {
    ENTER("cuDevicePrimaryCtxRetain %d", device);
    if (device >= devices) return INVALID_DEVICE;
    primary[device].device = device;
    return *context = &primary[device], OK;
}
API CUresult cuDevicePrimaryCtxRelease_v2(int device) { return (void)device, OK; }
API CUresult cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) { return (void)device, *flags = 0, *active = 1, OK; }
API CUresult cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) { return (void)device, (void)flags, OK; }
API CUresult cuCtxGetCurrent(Context** context) { return *context = current, OK; }
API CUresult cuCtxSetCurrent(Context* context) {
    ENTER("cuCtxSetCurrent %d", context ? context->device : -1);
    return current = context, OK;
}
API CUresult cuCtxGetDevice(int* device) { return current ? (*device = current->device, OK) : INVALID_CONTEXT; }
API CUresult cuCtxSynchronize(void) { CALL("cuCtxSynchronize"); return OK; }
API CUresult cuCtxEnablePeerAccess(Context* peer, unsigned flags) { CALL("cuCtxEnablePeerAccess %d %u", peer->device, flags); return OK; }

static const struct { int number; const char *name, *text; } errors[] = {
    {OK, "CUDA_SUCCESS", "no error"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}, {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}, {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"}, {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}};
static CUresult describe(int number, const char** out, int longer) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i)
        if (errors[i].number == number) return *out = longer ? errors[i].text : errors[i].name, OK;
    return *out = NULL, INVALID_VALUE;
}
API CUresult cuGetErrorName(CUresult number, const char** out) { return describe(number, out, 0); }
API CUresult cuGetErrorString(CUresult number, const char** out) { return describe(number, out, 1); }

// ---------------------------------------------------------------- memory

static CUresult take(void** at, size_t n) {
    if (!n) return INVALID_VALUE;
    if (__atomic_add_fetch(&used, (long)n, __ATOMIC_RELAXED) > memory) return __atomic_sub_fetch(&used, (long)n, __ATOMIC_RELAXED), OUT_OF_MEMORY;
    char* block = aligned_alloc(512, 512 + (n + 511) / 512 * 512);
    *(size_t*)block = n;
    return *at = block + 512, OK;
}
static CUresult give_back(void* at) {
    if (!at) return OK;
    __atomic_sub_fetch(&used, *(long*)((char*)at - 512), __ATOMIC_RELAXED);
    return free((char*)at - 512), OK;
}
API CUresult cuMemAlloc_v2(void** at, size_t n) { CALL("cuMemAlloc %zu", n); return take(at, n); }
API CUresult cuMemAllocAsync(void** at, size_t n, void* stream) { CALL("cuMemAllocAsync %zu stream=%zx", n, (size_t)stream); return take(at, n); }
API CUresult cuMemFree_v2(void* at) { CALL("cuMemFree"); return give_back(at); }
API CUresult cuMemFreeAsync(void* at, void* stream) { CALL("cuMemFreeAsync stream=%zx", (size_t)stream); return give_back(at); }
API CUresult cuMemHostAlloc(void** at, size_t n, unsigned flags) { CALL("cuMemHostAlloc %zu %u", n, flags); return take(at, n); }
API CUresult cuMemAllocHost_v2(void** at, size_t n) { CALL("cuMemAllocHost %zu", n); return take(at, n); }
API CUresult cuMemFreeHost(void* at) { CALL("cuMemFreeHost"); return give_back(at); }
API CUresult cuMemGetInfo_v2(size_t* left, size_t* all) { return *left = memory - used, *all = memory, OK; }
API CUresult cuPointerGetAttribute(void* out, int attribute, CUdeviceptr at) {
    (void)at;
    *(int*)out = attribute == 2 ? 2 : 0;  // memory type: the device's; device ordinal 0
    return OK;
}
static CUresult copied(void* to, const void* from, size_t n) { return memmove(to, from, n), OK; }
API CUresult cuMemcpyHtoD_v2(void* to, const void* from, size_t n) { CALL("cuMemcpyHtoD %zu", n); return copied(to, from, n); }
API CUresult cuMemcpyDtoH_v2(void* to, const void* from, size_t n) { CALL("cuMemcpyDtoH %zu", n); return copied(to, from, n); }
API CUresult cuMemcpyDtoD_v2(void* to, const void* from, size_t n) { CALL("cuMemcpyDtoD %zu", n); return copied(to, from, n); }
API CUresult cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t n, void* s) { CALL("cuMemcpyHtoDAsync %zu stream=%zx", n, (size_t)s); return copied(to, from, n); }
API CUresult cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t n, void* s) { CALL("cuMemcpyDtoHAsync %zu stream=%zx", n, (size_t)s); return copied(to, from, n); }
API CUresult cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t n, void* s) { CALL("cuMemcpyDtoDAsync %zu stream=%zx", n, (size_t)s); return copied(to, from, n); }
API CUresult cuMemcpyAsync(void* to, const void* from, size_t n, void* s) { CALL("cuMemcpyAsync %zu stream=%zx", n, (size_t)s); return copied(to, from, n); }
API CUresult cuMemsetD8_v2(void* at, unsigned char v, size_t n) { CALL("cuMemsetD8 %zu", n); return memset(at, v, n), OK; }
API CUresult cuMemsetD8Async(void* at, unsigned char v, size_t n, void* s) { CALL("cuMemsetD8Async %zu stream=%zx", n, (size_t)s); return memset(at, v, n), OK; }

// ---------------------------------------------------------------- streams, events, graphs

typedef struct Graph { size_t nodes; char* lines; } Graph;
typedef struct Stream { Graph* capturing; } Stream;
static Graph* capture_of(void* stream) { return (size_t)stream > 2 ? ((Stream*)stream)->capturing : NULL; }  // 0, 1, 2: the default streams

API CUresult cuStreamCreate(Stream** s, unsigned flags) { CALL("cuStreamCreate %u", flags); return *s = calloc(1, sizeof **s), OK; }
API CUresult cuStreamCreateWithPriority(Stream** s, unsigned flags, int priority) {
    CALL("cuStreamCreate %u priority=%d", flags, priority);
    return *s = calloc(1, sizeof **s), OK;
}
API CUresult cuStreamDestroy_v2(Stream* s) { CALL("cuStreamDestroy"); return free(s), OK; }
API CUresult cuStreamSynchronize(void* s) { CALL("cuStreamSynchronize stream=%zx", (size_t)s); return capture_of(s) ? CAPTURE_UNSUPPORTED : OK; }
API CUresult cuStreamQuery(void* s) { CALL("cuStreamQuery stream=%zx", (size_t)s); return capture_of(s) ? CAPTURE_UNSUPPORTED : OK; }
API CUresult cuStreamWaitEvent(void* s, void* event, unsigned flags) {
    CALL("cuStreamWaitEvent stream=%zx event=%zx %u", (size_t)s, (size_t)event, flags);
    return OK;
}
API CUresult cuEventCreate(void** event, unsigned flags) { CALL("cuEventCreate %u", flags); return *event = calloc(1, 8), OK; }
API CUresult cuEventDestroy_v2(void* event) { CALL("cuEventDestroy"); return free(event), OK; }
API CUresult cuEventRecord(void* event, void* s) { CALL("cuEventRecord event=%zx stream=%zx", (size_t)event, (size_t)s); return OK; }
API CUresult cuEventSynchronize(void* event) { CALL("cuEventSynchronize event=%zx", (size_t)event); return OK; }
API CUresult cuEventQuery(void* event) { CALL("cuEventQuery event=%zx", (size_t)event); return OK; }
API CUresult cuEventElapsedTime(float* ms, void* a, void* b) { CALL("cuEventElapsedTime %zx %zx", (size_t)a, (size_t)b); return *ms = 1, OK; }

API CUresult cuStreamBeginCapture_v2(Stream* s, int mode) {
    CALL("cuStreamBeginCapture stream=%zx mode=%d", (size_t)s, mode);
    if ((size_t)s <= 2 || s->capturing) return CAPTURE_UNSUPPORTED;
    return s->capturing = calloc(1, sizeof(Graph)), OK;
}
API CUresult cuStreamEndCapture(Stream* s, Graph** graph) {
    CALL("cuStreamEndCapture stream=%zx nodes=%zu", (size_t)s, capture_of(s) ? capture_of(s)->nodes : 0);
    if (!capture_of(s)) return INVALID_VALUE;
    *graph = s->capturing;
    return s->capturing = NULL, OK;
}
API CUresult cuStreamIsCapturing(void* s, int* status) { return *status = capture_of(s) != NULL, OK; }
API CUresult cuGraphInstantiateWithFlags(Graph** made, Graph* graph, unsigned long long flags) {
    CALL("cuGraphInstantiate nodes=%zu flags=%llu", graph->nodes, flags);
    return *made = graph, OK;
}
API CUresult cuGraphLaunch(Graph* graph, void* s) {  // the captured launches are written down again, as they were
    CALL("cuGraphLaunch stream=%zx nodes=%zu", (size_t)s, graph->nodes);
    pthread_mutex_lock(&lock);
    if (graph->lines) append(graph->lines);
    pthread_mutex_unlock(&lock);
    return OK;
}
API CUresult cuGraphExecDestroy(Graph* graph) { return (void)graph, OK; }
API CUresult cuGraphDestroy(Graph* graph) { CALL("cuGraphDestroy"); return (void)graph, OK; }

// ---------------------------------------------------------------- modules and launches

typedef struct { char* image; size_t size; } Module;
typedef struct { char name[512]; int allowed, parameters, size[64]; } Function;

static Elf64_Shdr* section(const char* image, const char* name) {  // of a cubin, which is an ELF file
    const Elf64_Ehdr* head = (const Elf64_Ehdr*)image;
    Elf64_Shdr* all = (Elf64_Shdr*)(image + head->e_shoff);
    const char* names = image + all[head->e_shstrndx].sh_offset;
    for (int i = 0; i < head->e_shnum; ++i)
        if (!strcmp(names + all[i].sh_name, name)) return &all[i];
    return NULL;
}

API CUresult cuModuleLoadData(Module** module, const void* image) {
    CALL("cuModuleLoadData");
    if (memcmp(image, ELFMAG, SELFMAG)) return INVALID_IMAGE;
    const Elf64_Ehdr* head = image;
    size_t end = head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
    if (end > 1u << 30) return INVALID_IMAGE;
    Module* m = malloc(sizeof *m);
    m->image = malloc(m->size = end);
    memcpy(m->image, image, end);
    return *module = m, OK;
}
API CUresult cuModuleLoadDataEx(Module** module, const void* image, unsigned n, int* options, void** values) {
    return (void)n, (void)options, (void)values, cuModuleLoadData(module, image);
}
API CUresult cuModuleUnload(Module* module) { CALL("cuModuleUnload"); return free(module->image), free(module), OK; }
API CUresult cuModuleGetFunction(Function** function, Module* module, const char* name) {
    CALL("cuModuleGetFunction %s", name);
    char wanted[600];
    snprintf(wanted, sizeof wanted, ".text.%s", name);
    if (!section(module->image, wanted)) return NOT_FOUND;
    Function* f = calloc(1, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(wanted, sizeof wanted, ".nv.info.%s", name);
    const Elf64_Shdr* info = section(module->image, wanted);
    // Entries: format and attribute, a byte each; then two bytes of value (formats 1 to 3), or of size and so many of value (4).
    for (size_t i = 0; info && i + 4 <= info->sh_size;) {
        const unsigned char* entry = (unsigned char*)module->image + info->sh_offset + i;
        const unsigned size = entry[0] == 4 ? entry[2] | entry[3] << 8 : 0;
        if (entry[0] == 4 && entry[1] == 0x17) {  // a parameter: index (4), ordinal (2), offset (2), flags; its size from bit 18 on
            const int ordinal = entry[8] | entry[9] << 8;
            uint32_t flags;
            memcpy(&flags, entry + 12, 4);
            if (ordinal < 64) {
                f->size[ordinal] = (int)(flags >> 18);
                if (ordinal >= f->parameters) f->parameters = ordinal + 1;
            }
        }
        i += 4 + size;
    }
    return *function = f, OK;
}
API CUresult cuFuncSetAttribute(Function* f, int attribute, int value) {
    CALL("cuFuncSetAttribute function=%s %d %d", f->name, attribute, value);
    int limit = 0;
    cuDeviceGetAttribute(&limit, 97, current->device);
    if (attribute == 8) {
        if (value > limit) return INVALID_VALUE;
        f->allowed = value;
    }
    return OK;
}
API CUresult cuFuncGetAttribute(int* value, int attribute, Function* f) {
    CALL("cuFuncGetAttribute function=%s %d", f->name, attribute);
    return *value = attribute == 8 ? f->allowed : attribute == 0 ? 1024 : 0, OK;
}

static CUresult launched(const char* call, Function* f, const unsigned* grid, const unsigned* block, unsigned shared, void* stream, void** params,
                         void** extra, const char* attributes) {
    char bytes[8300] = "", line[12000];
    if (quiet) return current ? OK : INVALID_CONTEXT;
    if (extra) {  // {1, buffer, 2, &size, 0}
        size_t n = 0;
        const unsigned char* buffer = NULL;
        for (; *extra; extra += 2) {
            if ((size_t)extra[0] == 1) buffer = extra[1];
            if ((size_t)extra[0] == 2) n = *(size_t*)extra[1];
        }
        for (size_t i = 0; i < n && i < 4096; ++i) sprintf(bytes + 2 * i, "%02x", buffer[i]);
    } else {
        char* at = bytes;
        for (int p = 0; p < f->parameters; ++p) {
            if (p) *at++ = ',';
            for (int i = 0; i < f->size[p] && at < bytes + 8200; ++i) at += sprintf(at, "%02x", ((unsigned char*)params[p])[i]);
        }
    }
    snprintf(line, sizeof line, "%s function=%s grid=%u,%u,%u block=%u,%u,%u shared=%u stream=%zx%s params=%s", call, f->name, grid[0], grid[1],
             grid[2], block[0], block[1], block[2], shared, (size_t)stream, attributes, bytes);
    note("%s", line);
    const CUresult error = failing("cuLaunchKernel");
    if (error) return error;
    if (!current) return INVALID_CONTEXT;
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535 || block[0] * block[1] * block[2] - 1 > 1023) return INVALID_VALUE;
    if (shared > 49152 && (int)shared > f->allowed) return INVALID_VALUE;
    Graph* graph = capture_of(stream);
    if (graph) {
        const size_t before = graph->lines ? strlen(graph->lines) : 0;
        graph->lines = realloc(graph->lines, before + strlen(line) + 2);
        sprintf(graph->lines + before, "%s\n", line);
        graph->nodes++;
    }
    return OK;
}
API CUresult cuLaunchKernel(Function* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
                            void** params, void** extra) {
    return launched("cuLaunchKernel", f, (unsigned[]){gx, gy, gz}, (unsigned[]){bx, by, bz}, shared, stream, params, extra, "");
}
typedef struct { int id; char pad[4]; unsigned value[16]; } Attribute;
typedef struct { unsigned grid[3], block[3], shared; void* stream; Attribute* attributes; unsigned n; } Config;
API CUresult cuLaunchKernelEx(const Config* c, Function* f, void** params, void** extra) {
    char list[256] = "";
    for (unsigned i = 0; i < c->n; ++i)
        snprintf(list + strlen(list), sizeof list - strlen(list), " attribute=%d:%u,%u,%u", c->attributes[i].id, c->attributes[i].value[0],
                 c->attributes[i].value[1], c->attributes[i].value[2]);
    return launched("cuLaunchKernelEx", f, c->grid, c->block, c->shared, c->stream, params, extra, list);
}

// The map itself is what it was made of, in the order of the arguments: the tests read it back from the launch's parameters.
API CUresult cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* shape, const uint64_t* strides, const uint32_t* box,
                                    const uint32_t* steps, int interleave, int swizzle, int promotion, int fill) {
    ENTER("cuTensorMapEncodeTiled type=%d rank=%u shape=%zu,%zu strides=%zu box=%u,%u steps=%u,%u interleave=%d swizzle=%d promotion=%d fill=%d", type, rank,
          (size_t)shape[0], rank > 1 ? (size_t)shape[1] : 0, rank > 1 ? (size_t)strides[0] : 0, box[0], rank > 1 ? box[1] : 0, steps[0], rank > 1 ? steps[1] : 0,
          interleave, swizzle, promotion, fill);
    if ((size_t)map % 64 || (size_t)address % 16 || !rank || rank > 5) return INVALID_VALUE;
    for (uint32_t i = 0; i < rank; ++i)
        if (!box[i] || box[i] > 256 || (i + 1 < rank && strides[i] % 16)) return INVALID_VALUE;
    memset(map, 0, 128);
    memcpy(map, &address, 8);
    memcpy((char*)map + 8, shape, 8 * rank);
    return OK;
}

// ---------------------------------------------------------------- finding functions

API CUresult cuGetProcAddress_v2(const char* name, void** at, int asked, uint64_t flags, int* status) {
    (void)asked, (void)flags;
    char newer[128];
    snprintf(newer, sizeof newer, "%s_v2", name);
    void* here = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    *at = here ? dlsym(here, newer) : NULL;
    if (here && !*at) *at = dlsym(here, name);
    if (status) *status = *at ? 0 : 1;
    return *at ? OK : NOT_FOUND;
}
API CUresult cuGetProcAddress(const char* name, void** at, int asked, uint64_t flags) { return cuGetProcAddress_v2(name, at, asked, flags, NULL); }
API CUresult cuGetExportTable(const void** table, const CUuuid* id) { return (void)id, *table = NULL, NOT_FOUND; }
