#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "warpgroup/scheduler/batching/admitter.hpp"

namespace warpgroup {

// Packs all waiting requests into bins of the pool's size, first-fit decreasing, and runs one bin
// after another. Requests that come meanwhile wait for the next packing. The prefill of a bin takes
// as many steps as its tokens need. A bin that cannot start though no request runs (the pool has
// shrunk) is dropped, and its requests are packed again.
class BinAdmitter : public Admitter {
 public:
  using Admitter::Admitter;
  void admit_waiting(StepBudget& budget) override;

 private:
  void form_bins();
  void admit_from_first_bin(StepBudget& budget);
  void drop_first_bin();

  std::deque<std::vector<std::int64_t>> bins_;  // ids of the requests that are not admitted yet
  bool first_bin_runs_ = false;                 // requests of the first bin were admitted
};

}  // namespace warpgroup
