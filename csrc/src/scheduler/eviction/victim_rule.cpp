#include "warpgroup/scheduler/eviction/victim_rule.hpp"

#include <algorithm>
#include <vector>

#include "warpgroup/scheduler/eviction/eviction.hpp"

namespace warpgroup {

namespace {

class Newest : public VictimRule {
 public:
  explicit Newest(const SchedulerState& state) : state_(state) {}
  Sequence& choose(std::int64_t) override { return *state_.running.back(); }

 private:
  const SchedulerState& state_;
};

// The request that generated least; of equals, the one with the longest prompt.
class LeastOutput : public VictimRule {
 public:
  explicit LeastOutput(const SchedulerState& state) : state_(state) {}
  Sequence& choose(std::int64_t) override {
    return **std::min_element(state_.running.begin(), state_.running.end(),
                              [](const Sequence* a, const Sequence* b) {
                                if (a->generated != b->generated)
                                  return a->generated < b->generated;
                                return a->request.prompt_tokens > b->request.prompt_tokens;
                              });
  }

 private:
  const SchedulerState& state_;
};

// Among the requests that hold enough blocks, so that one eviction ends the shortage, the one that
// is restored fastest; of equals, the newest. If none holds enough, the one that holds most. The
// request that runs longest is never evicted: it reaches its end, so that no two requests can evict
// each other for ever.
class Cheapest : public VictimRule {
 public:
  Cheapest(const SchedulerState& state, AdmissionTest& test) : state_(state), test_(test) {}

  Sequence& choose(std::int64_t missing_blocks) override {
    const std::int64_t blocks = std::max(missing_blocks, test_.expected_excess());
    return **std::min_element(state_.running.rbegin(), state_.running.rend() - 1,
                              [this, blocks](const Sequence* a, const Sequence* b) {
                                const bool a_frees = a->blocks >= blocks;
                                const bool b_frees = b->blocks >= blocks;
                                if (a_frees != b_frees) return a_frees;
                                if (!a_frees) return a->blocks > b->blocks;
                                return restore_ns(state_, *a) < restore_ns(state_, *b);
                              });
  }
  bool stops_admission() const override { return true; }

 private:
  const SchedulerState& state_;
  AdmissionTest& test_;
};

}  // namespace

std::unique_ptr<VictimRule> make_victim_rule(SchedulerState& state, AdmissionTest& test) {
  switch (state.policy.victim) {
    case Victim::kNewest:
      return std::make_unique<Newest>(state);
    case Victim::kLeastOutput:
      return std::make_unique<LeastOutput>(state);
    case Victim::kCheapest:
      return std::make_unique<Cheapest>(state, test);
  }
  return nullptr;
}

}  // namespace warpgroup
