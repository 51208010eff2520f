// The operating-system threads that run a cluster's blocks: the caller and `helpers` others, which sleep between clusters.
#pragma once
#include <functional>

namespace emu {

struct Helper;

class Team {
public:
    explicit Team(unsigned helpers);
    ~Team();
    Team(const Team&) = delete;
    void run(const std::function<void(unsigned rank)>& work);  // on all of them; rank 0 is the caller

private:
    unsigned size;
    Helper* helpers[7];
};

}  // namespace emu
