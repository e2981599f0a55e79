#pragma once

#include <cstdint>

#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// Takes a request that is no longer in `state.running` back to the front of the queue. Its cache
// goes to host memory where that is faster than computing it again, and is dropped otherwise.
Evicted evict(SchedulerState& state, Sequence& sequence);

// Time until an evicted cache would be back, in nanoseconds.
std::int64_t restore_ns(const SchedulerState& state, const Sequence& sequence);

}  // namespace warpgroup
