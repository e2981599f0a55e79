#include "warpgroup/scheduler/batching/bin_admitter.hpp"

#include <cstddef>
#include <utility>

#include "warpgroup/packing/packing.hpp"
#include "warpgroup/scheduler/admission/peak_reserved.hpp"

namespace warpgroup {

void BinAdmitter::admit_waiting(StepBudget& budget) {
  if (state_.waiting.empty()) return;
  test_.begin_attempt();
  state_.plan.blocked_by = BlockedBy::kCompute;
  if (first_bin_runs_) admit_from_first_bin(budget);
  while (state_.running.empty() && !state_.waiting.empty() && !budget.is_spent()) {
    if (bins_.empty()) form_bins();
    if (bins_.empty()) return;
    first_bin_runs_ = true;
    admit_from_first_bin(budget);
    if (state_.running.empty() && first_bin_runs_) drop_first_bin();
  }
}

void BinAdmitter::form_bins() {
  fail_what_never_fits();
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> peaks;
  for (const Sequence* sequence : state_.waiting.candidates()) {
    ids.push_back(sequence->request.id);
    peaks.push_back(promised_blocks(state_, *sequence));
  }
  const Packing packing = pack(peaks.data(), peaks.size(), state_.pool_blocks, "ffd");
  bins_.resize(static_cast<std::size_t>(packing.num_bins));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    bins_[static_cast<std::size_t>(packing.bin_of[i])].push_back(ids[i]);
  }
}

void BinAdmitter::admit_from_first_bin(StepBudget& budget) {
  std::vector<std::int64_t> rest;
  for (const std::int64_t id : bins_.front()) {
    const auto place = state_.sequences.find(id);
    if (place == state_.sequences.end()) continue;  // aborted meanwhile
    if (obstacle(place->second, budget) == BlockedBy::kNone) {
      admit(place->second, budget);
    } else {
      rest.push_back(id);
    }
  }
  bins_.front() = std::move(rest);
  if (bins_.front().empty()) drop_first_bin();
}

void BinAdmitter::drop_first_bin() {
  bins_.pop_front();
  first_bin_runs_ = false;
}

}  // namespace warpgroup
