// A launch: checked as the hardware would, its blocks handed to the cores, its failure made a message.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "block.h"
#include "record.h"

namespace emu {

namespace {

constexpr size_t MAX_SHARED = 227 * 1024;  // dynamic shared memory of a block on sm_90

struct Grid {
    dim3 grid, block;
    size_t shared;
    Body body;
    void* arguments;
    const void* kernel;
    unsigned blocks;
    std::atomic<unsigned> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex{};
    Failure failure{};

    // Runs blocks until none is left, or `limit` of them.
    void work(unsigned limit) {
        watch_this_thread();
        Block& b = this_block();
        current.block_dim = block;
        current.grid_dim = grid;
        b.prepare(block, body, arguments);
        for (unsigned done = 0; done < limit && !failed; ++done) {
            const unsigned i = next++;
            if (i >= blocks) break;
            current.block = {i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)};
            poison_shared(kernel, shared);
            record::block_begins();
            const bool good = b.run(i);
            record::block_ends();
            if (!done) learn_shared(kernel);
            if (!good) {
                const std::lock_guard lock(mutex);
                if (!failed.exchange(true)) failure = std::move(b.failure);
            }
        }
        poison_shared(kernel, 0);
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

void check_configuration(dim3 grid, dim3 block, size_t shared, const std::string& name) {
    const auto refuse = [&](const std::string& why) { throw std::runtime_error("kernel " + name + ": launch refused: " + why); };
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (!grid.x || !grid.y || !grid.z) refuse("a grid of " + text(grid) + " blocks has no block");
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        refuse("a grid of " + text(grid) + " blocks is beyond (2147483647, 65535, 65535)");
    if (!threads) refuse("a block of " + text(block) + " threads has no thread");
    if (threads > MAX_THREADS || block.z > 64)
        refuse("a block of " + text(block) + " = " + std::to_string(threads) + " threads is beyond 1024 in all and 64 in z");
    if (shared > MAX_SHARED)
        refuse(std::to_string(shared) + " bytes of dynamic shared memory are beyond " + std::to_string(MAX_SHARED) + " (227 KiB)");
    if (uint64_t(grid.x) * grid.y * grid.z > 0xffffffffu) refuse("the emulator runs at most 2^32 - 1 blocks");
}

std::string message(const Grid& g) {
    const Failure& f = g.failure;
    std::string where = f.at.line() ? std::string(f.at.file_name()) + ":" + std::to_string(f.at.line()) : source_line(f.pc);
    if (!where.empty()) where += ", ";
    std::string out = "kernel " + kernel_name(g.kernel) + ": " + f.what + " (" + where + "block " + text(f.block);
    return out + (f.in_thread ? ", thread " + text(f.thread) : "") + ")";
}

}  // namespace

void run_grid(dim3 grid, dim3 block, size_t shared, Body body, void* arguments, const void* kernel) {
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z, threads = uint64_t(block.x) * block.y * block.z;
    if (!blocks || !threads || threads > MAX_THREADS || block.z > 64 || grid.y > 65535 || grid.z > 65535 || blocks > 0xffffffffu ||
        shared > MAX_SHARED)
        check_configuration(grid, block, shared, kernel_name(kernel));
    install_fault_handler();
    Grid g{grid, block, shared, body, arguments, kernel, unsigned(blocks)};
    using Clock = std::chrono::steady_clock;
    record::launch_begins({kernel, grid, block, {}, shared});
    const auto begin = Clock::now();
    g.work(1);
    const double one = std::chrono::duration<double>(Clock::now() - begin).count();
    const int cores = record::recording() ? 1 : settings.threads > 0 ? settings.threads : int(std::thread::hardware_concurrency());
    constexpr double WORTH_WAKING = 200e-6;  // seconds
    if (cores > 1 && blocks > 1 && one * double(blocks) > WORTH_WAKING)
        workers().run(g, int(std::min<uint64_t>(uint64_t(cores), blocks)) - 1);
    else g.work(~0u);
    record::launch_ends(g.failed);
    if (g.failed) throw std::runtime_error(message(g));
}

}  // namespace emu
