#include "block.h"
namespace emu {
void reset_async() {}
bool finish_async() { return false; }
}
