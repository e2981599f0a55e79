#include "warpgroup/scheduler/batching/batcher.hpp"
#include "warpgroup/scheduler/batching/continuous_batcher.hpp"
#include "warpgroup/scheduler/batching/static_batcher.hpp"

namespace warpgroup {

std::unique_ptr<Batcher> make_batcher(SchedulerState& state) {
  if (state.policy.is_padded()) return std::make_unique<StaticBatcher>(state);
  return std::make_unique<ContinuousBatcher>(state);
}

}  // namespace warpgroup
