#include "team.h"

#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace emu {

struct Helper {
    std::mutex mutex{};
    std::condition_variable changed{};
    const std::function<void(unsigned)>* work = nullptr;
    unsigned rank = 0;

    void serve() {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [&] { return work; });
            (*work)(rank);
            work = nullptr;
            changed.notify_all();
        }
    }
    void begin(const std::function<void(unsigned)>& f, unsigned as_rank) {
        const std::lock_guard lock(mutex);
        work = &f;
        rank = as_rank;
        changed.notify_all();
    }
    void finish() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return !work; });
    }
};

namespace {

std::mutex mutex;
std::vector<Helper*> spare;  // their threads live as long as the process
pid_t process = 0;

Helper* take() {
    const std::lock_guard lock(mutex);
    if (process != getpid()) spare.clear(), process = getpid();  // threads do not survive a fork
    if (spare.empty()) {
        auto* helper = new Helper;
        std::thread([helper] { helper->serve(); }).detach();
        return helper;
    }
    Helper* helper = spare.back();
    spare.pop_back();
    return helper;
}

}  // namespace

Team::Team(unsigned count) : size(count) {
    for (unsigned i = 0; i < size; ++i) helpers[i] = take();
}

Team::~Team() {
    const std::lock_guard lock(mutex);
    for (unsigned i = 0; i < size; ++i) spare.push_back(helpers[i]);
}

void Team::run(const std::function<void(unsigned)>& work) {
    for (unsigned i = 0; i < size; ++i) helpers[i]->begin(work, i + 1);
    work(0);
    for (unsigned i = 0; i < size; ++i) helpers[i]->finish();
}

}  // namespace emu
