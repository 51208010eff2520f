// Stacks of their own for the threads of a block, and the way from one to another.
#pragma once
#include "block.h"

extern "C" void emu_switch(void** save, void* to);  // keeps the callee-saved registers on the stack left behind

namespace emu {

// A fiber on an empty stack, about to enter `entry`. Its record lies at the top of its own stack, and the tops are spread over
// the cache's sets: a barrier touches every stack's top.
Fiber* fresh(FiberPool& pool, void (*entry)());

inline void switch_to(Fiber* from, Fiber* to) {
    current.fiber = to;
    emu_switch(&from->sp, to->sp);
}

}  // namespace emu
