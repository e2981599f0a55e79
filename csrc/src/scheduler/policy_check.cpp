#include <stdexcept>

#include "warpgroup/scheduler/policy.hpp"

namespace warpgroup {

void check(const Policy& policy) {
  const auto refuse_if = [&policy](bool broken, const char* why) {
    if (broken) throw std::invalid_argument("policy '" + policy.id + "': " + why);
  };
  const bool bins = policy.batching == Batching::kBins;
  refuse_if(policy.mixing == Mixing::kDecodeFirst && policy.victim != Victim::kNewest,
            "mixing decode-first needs victim newest: another victim may already have its row in "
            "the step");
  refuse_if(policy.is_padded() && (policy.order != Order::kArrival || policy.overtake),
            "batching padded takes requests in arrival order: order must be arrival, and overtake "
            "off");
  refuse_if(policy.is_padded() && policy.victim != Victim::kNewest,
            "batching padded splits its batch when memory runs out: victim must be newest");
  refuse_if(policy.is_padded() && policy.sees_memory(),
            "batching padded ignores memory: admission must be blind");
  refuse_if((policy.is_padded() || bins) && policy.barrier,
            "batching padded and batching bins let no request join a batch: barrier must be off");
  refuse_if(bins && policy.overtake,
            "batching bins runs one bin after another: overtake must be off");
  refuse_if(policy.holds_promise && policy.admission != Admission::kPeakReserved,
            "holds_promise needs admission peak-reserved: no other admission reserves a peak");
}

}  // namespace warpgroup
