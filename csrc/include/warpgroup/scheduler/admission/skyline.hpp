#pragma once

#include <cstdint>
#include <vector>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/admission/course.hpp"

namespace warpgroup {

// The distribution over time of the blocks held, at checkpoints ahead.
//
// A request with g tokens generated is alive T steps ahead with probability S(g + T) / S(g); it
// then holds ceil((tokens + T) / block) blocks. S is the survival function of the lengths seen and
// of one more length, max_new_tokens u^2 with u uniform: so every length stays possible, and there
// is an estimate before a request has ended. Requests are taken as independent, so mean and
// variance of the sum add up. mean + z sd must stay within the pool (or the sum of all blocks,
// which is the tighter bound when few requests run).
//
// Lengths drift and depend on each other, so no z is right for all traffic. It is learned: an
// eviction raises it, and every request that ends lowers it so that, in the long run, the accepted
// share of requests is evicted (adaptive conformal inference, Gibbs and Candes 2021). Everything is
// fixed-point integers: no sampling, and the same bits everywhere.
class Skyline {
 public:
  // overflow_ppm: the share of requests that may be evicted, in millionths.
  Skyline(std::int64_t block_tokens, std::int64_t overflow_ppm);

  // Starts again without running requests.
  void reset();
  // O(checkpoints) each.
  void add(const Course& course);
  bool fits(const Course& course, std::int64_t blocks) const;
  // By how many blocks the expected sum exceeds this many, at its worst; 0 if it does not.
  std::int64_t excess(std::int64_t blocks) const;

  void learn_from_eviction();
  void learn_from_end();

 private:
  struct Checkpoint {
    std::int64_t offset;
    std::int64_t all = 0;       // blocks if every request is alive
    std::int64_t mean = 0;      // of the sum, in 2^-16 blocks
    std::int64_t variance = 0;  // of the sum, in 2^-16 blocks^2
  };
  struct Share {
    std::int64_t blocks;
    std::int64_t alive;  // probability in 2^-16
  };
  class Survival;
  Share share(const Course& course, std::int64_t offset, const Survival& survival) const;
  bool within(const Checkpoint& sum, std::int64_t blocks) const;
  static void include(Checkpoint& sum, const Share& share);

  BlocksFor blocks_for_;
  std::int64_t z_;       // in 2^-20
  std::int64_t lowers_;  // how much the end of a request lowers it
  std::vector<Checkpoint> checkpoints_;
};

// Admits a request if the blocks of all requests, its own included, stay within the pool at every
// checkpoint ahead, with the margin that evictions have taught.
class SkylineAdmission : public AdmissionTest {
 public:
  explicit SkylineAdmission(SchedulerState& state)
      : AdmissionTest(state), skyline_(state.memory.block_tokens(), state.policy.overflow_ppm) {}

  void begin_attempt() override { snapshot_is_current_ = false; }
  void admit(Sequence& sequence) override;
  void note_eviction() override { skyline_.learn_from_eviction(); }
  void note_end() override { skyline_.learn_from_end(); }
  bool may_have_changed() const override { return state_.step % kForecastSteps == 0; }
  std::int64_t steps_until_change() const override {
    return kForecastSteps - state_.step % kForecastSteps;
  }
  std::int64_t expected_excess() override;

 protected:
  bool fits_beside_running(const Sequence& sequence, std::int64_t blocks) override;

 private:
  // Steps after which a forecast is made again, since its requests lived on.
  static constexpr std::int64_t kForecastSteps = 16;

  Course course_of(const Sequence& sequence) const;
  void take_snapshot();

  Skyline skyline_;
  bool snapshot_is_current_ = false;  // `skyline_` is that of the running requests
};

}  // namespace warpgroup
