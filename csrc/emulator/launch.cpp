// A launch: checked as the hardware would, its blocks handed to the cores, its failure made a message.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "cluster.h"
#include "record.h"
#include "team.h"

namespace emu {

namespace {

// Shared memory a block may have in all, in bytes (CUDA programming guide, technical specifications per compute capability).
size_t shared_limit() {
    switch (settings.chip) {
        case 75: return 64 * 1024;
        case 80: case 87: return 163 * 1024;
        case 86: case 89: case 120: case 121: return 99 * 1024;
        default: return 227 * 1024;  // 90, 100, 103, 110
    }
}
constexpr size_t MAX_STATIC = 48 * 1024;  // of it what the compiler takes as static arrays

struct Grid {
    dim3 grid, cluster, block;
    size_t shared;
    Body body;
    void* arguments;
    const void* kernel;
    unsigned clusters;
    std::atomic<unsigned> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex{};
    Failure failure{};

    // Runs clusters until none is left, or `limit` of them. A block on its own is a cluster of one.
    void work(unsigned limit) {
        const unsigned size = cluster.x * cluster.y * cluster.z;
        Team team(size - 1);
        for (unsigned done = 0; done < limit && !failed; ++done) {
            const unsigned i = next++;
            if (i >= clusters) break;
            Cluster c;
            c.size = size;
            team.run([&](unsigned rank) { run_block(c, i, rank, !done); });
        }
        team.run([&](unsigned) { poison_shared(kernel, 0); });
    }

    void run_block(Cluster& c, unsigned number, unsigned rank, bool first) {
        watch_this_thread();
        Block& b = this_block();
        current.block_dim = block;
        current.grid_dim = grid;
        const unsigned x = grid.x / cluster.x, y = grid.y / cluster.y;  // clusters along each axis
        current.block = {number % x * cluster.x + rank % cluster.x, number / x % y * cluster.y + rank / cluster.x % cluster.y,
                         number / (x * y) * cluster.z + rank / (cluster.x * cluster.y)};
        if (first) b.prepare(block, body, arguments);
        poison_shared(kernel, shared);
        b.begin(c, rank, number * c.size + rank);
        if (c.start(rank)) b.run();
        if (first) learn_shared(kernel);
        if (!b.failed) return;
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) failure = std::move(b.failure);
    }
};

class Workers {  // operating-system threads that sleep between launches
public:
    void run(Grid& grid, int threads) {
        const std::lock_guard one_at_a_time(launching);
        while (count < threads) std::thread([this] { serve(); }).detach(), ++count;
        {
            const std::lock_guard lock(mutex);
            job = &grid;
            wanted = threads;
            running = 0;
            ++generation;
        }
        start.notify_all();
        grid.work(~0u);
        std::unique_lock lock(mutex);
        wanted = 0;
        job = nullptr;
        finished.wait(lock, [&] { return running == 0; });
    }

private:
    void serve() {
        std::unique_lock lock(mutex);
        for (uint64_t seen = 0;;) {
            start.wait(lock, [&] { return generation != seen && wanted > 0; });
            seen = generation;
            --wanted;
            ++running;
            Grid* grid = job;
            lock.unlock();
            grid->work(~0u);
            lock.lock();
            if (--running == 0) finished.notify_all();
        }
    }

    std::mutex launching, mutex;
    std::condition_variable start, finished;
    Grid* job = nullptr;
    int wanted = 0, running = 0, count = 0;
    uint64_t generation = 0;
};

Workers& workers() {
    static Workers* all = nullptr;
    static pid_t process = 0;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (process != getpid()) all = new Workers, process = getpid();  // threads do not survive a fork
    return *all;
}

std::string text(dim3 d) { return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")"; }

void check_configuration(dim3 grid, dim3 cluster, dim3 block, size_t shared, const std::string& name) {
    const auto refuse = [&](const std::string& why) { throw std::runtime_error("kernel " + name + ": launch refused: " + why); };
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (!grid.x || !grid.y || !grid.z) refuse("a grid of " + text(grid) + " blocks has no block");
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        refuse("a grid of " + text(grid) + " blocks is beyond (2147483647, 65535, 65535)");
    if (!threads) refuse("a block of " + text(block) + " threads has no thread");
    if (block.x > 1024 || block.y > 1024 || block.z > 64)
        refuse("a block of " + text(block) + " threads is beyond (1024, 1024, 64)");
    if (threads > MAX_THREADS) refuse("a block of " + text(block) + " = " + std::to_string(threads) + " threads is beyond 1024 in all");
    if (shared > shared_limit())
        refuse(std::to_string(shared) + " bytes of dynamic shared memory are beyond " + std::to_string(shared_limit()) + " (compute capability " +
               std::to_string(settings.chip / 10) + "." + std::to_string(settings.chip % 10) + ")");
    const uint64_t size = uint64_t(cluster.x) * cluster.y * cluster.z;
    if (!size) refuse("a cluster of " + text(cluster) + " blocks has no block");
    if (size > 1 && settings.chip < 90) refuse("clusters need compute capability 9.0 or newer");
    if (size > MAX_CLUSTER) refuse("a cluster of " + text(cluster) + " = " + std::to_string(size) + " blocks is beyond 8");
    if (grid.x % cluster.x || grid.y % cluster.y || grid.z % cluster.z)
        refuse("a grid of " + text(grid) + " blocks is not made of whole clusters of " + text(cluster));
    if (uint64_t(grid.x) * grid.y * grid.z > 0xffffffffu) refuse("the emulator runs at most 2^32 - 1 blocks");
}

// Static arrays are seen only as a first block uses them.
void check_static(const void* kernel, size_t shared) {
    const size_t fixed = static_shared(kernel);
    if (fixed <= MAX_STATIC && fixed + shared <= shared_limit()) return;
    const std::string bytes = std::to_string(fixed) + " bytes of static";
    throw std::runtime_error("kernel " + kernel_name(kernel) + ": launch refused: " +
                             (fixed > MAX_STATIC ? bytes + " shared memory are beyond " + std::to_string(MAX_STATIC)
                                                 : bytes + " and " + std::to_string(shared) + " of dynamic shared memory are beyond " +
                                                       std::to_string(shared_limit()) + " in all"));
}

std::string message(const Grid& g) {
    const Failure& f = g.failure;
    std::string where = f.at.line() ? std::string(f.at.file_name()) + ":" + std::to_string(f.at.line()) : source_line(f.pc);
    if (!where.empty()) where += ", ";
    std::string out = "kernel " + kernel_name(g.kernel) + ": " + f.what + " (" + where + "block " + text(f.block);
    return out + (f.in_thread ? ", thread " + text(f.thread) : "") + ")";
}

}  // namespace

void run_grid(dim3 grid, dim3 cluster, dim3 block, size_t shared, Body body, void* arguments, const void* kernel) {
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z, threads = uint64_t(block.x) * block.y * block.z;
    const uint64_t size = uint64_t(cluster.x) * cluster.y * cluster.z;
    if (!blocks || !threads || threads > MAX_THREADS || block.x > 1024 || block.y > 1024 || block.z > 64 || grid.x > 0x7fffffffu ||
        grid.y > 65535 || grid.z > 65535 || blocks > 0xffffffffu || shared > shared_limit() || size != 1)
        check_configuration(grid, cluster, block, shared, kernel_name(kernel));
    install_fault_handler();
    const auto clusters = unsigned(blocks / size);
    Grid g{grid, cluster, block, shared, body, arguments, kernel, clusters};
    using Clock = std::chrono::steady_clock;
    record::launch_begins({kernel, grid, block, cluster, shared});
    const auto begin = Clock::now();
    g.work(1);
    const double one = std::chrono::duration<double>(Clock::now() - begin).count();
    const int cores = record::recording() ? 1 : settings.threads > 0 ? settings.threads : int(std::thread::hardware_concurrency());
    constexpr double WORTH_WAKING = 200e-6;  // seconds
    if (cores > 1 && clusters > 1 && one * double(clusters) > WORTH_WAKING)
        workers().run(g, int(std::min<uint64_t>(uint64_t(cores), clusters)) - 1);
    else g.work(~0u);
    record::launch_ends(g.failed);
    if (!g.failed) check_static(kernel, shared);
    if (g.failed) throw std::runtime_error(message(g));
}

}  // namespace emu
