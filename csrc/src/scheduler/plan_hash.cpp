#include "warpgroup/scheduler/plan_hash.hpp"

namespace warpgroup {

enum class PlanHash::Change : std::uint64_t {
  kAdmitted = 1,
  kPrefilled,
  kEvicted,
  kFailed,
  kFinished,
  kMemoryHeld,
  kRestored,
  kDegraded
};

namespace {

// The finaliser of SplitMix64: every bit of the input reaches every bit of the result.
std::uint64_t scrambled(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

void PlanHash::add(const StepPlan& plan) {
  const auto note = [this, &plan](Change change, std::int64_t id, std::int64_t value) {
    mix(plan.step, change, id, value);
  };
  for (const Degradation degradation : plan.degraded) {
    note(Change::kDegraded, 0, static_cast<std::int64_t>(degradation));
  }
  for (const Evicted& evicted : plan.evicted) {
    note(Change::kEvicted, evicted.id, evicted.lost_tokens);
  }
  for (const Failed& failed : plan.failed) note(Change::kFailed, failed.id, failed.needed_bytes);
  for (const std::int64_t id : plan.admitted) note(Change::kAdmitted, id, 0);
  for (const Restored& restored : plan.restored) {
    note(Change::kRestored, restored.id, restored.bytes);
  }
  for (const Chunk& chunk : plan.prefill) note(Change::kPrefilled, chunk.id, chunk.tokens);
  // A plan without a step adds no memory: the next plan that has a step does.
  const bool changed = !plan.evicted.empty() || !plan.failed.empty() || !plan.prefill.empty();
  if (changed && plan.horizon > 0) note(Change::kMemoryHeld, 0, plan.predicted_bytes);
}

void PlanHash::add_finished(std::int64_t step, std::int64_t id, std::int64_t generated) {
  mix(step, Change::kFinished, id, generated);
}

void PlanHash::add_used_blocks(std::int64_t step, std::int64_t blocks) {
  mix(step, Change::kMemoryHeld, 0, blocks);
}

void PlanHash::mix(std::int64_t step, Change change, std::int64_t id, std::int64_t value) {
  for (const std::uint64_t word :
       {static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(change),
        static_cast<std::uint64_t>(id), static_cast<std::uint64_t>(value)}) {
    hash_ = scrambled(hash_ + 0x9e3779b97f4a7c15ULL + word);
  }
}

}  // namespace warpgroup
