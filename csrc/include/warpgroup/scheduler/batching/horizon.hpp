#pragma once

#include <cstdint>

#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// For how many steps `state.plan` holds, at most `limit`: until a request reaches its own limit, a
// block is missing, or a reservation is outgrown. Meanwhile only a request that ends or arrives can
// change anything, since free memory only shrinks.
std::int64_t horizon_of_plan(const SchedulerState& state, std::int64_t limit);

}  // namespace warpgroup
