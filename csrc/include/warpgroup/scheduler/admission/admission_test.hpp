#pragma once

#include <cstdint>
#include <limits>
#include <memory>

#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// Whether there is memory for one more request: the part of a policy that `Admission` names, one
// file each. A test keeps the state that only it needs; the batcher tells it what happens.
class AdmissionTest {
 public:
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  explicit AdmissionTest(SchedulerState& state) : state_(state) {}
  virtual ~AdmissionTest() = default;

  // Whether a waiting request may run now. Its tokens so far must fit into free blocks; if other
  // requests run, the test's own condition must hold too. Alone, a request may run until it has
  // really outgrown the pool.
  virtual bool fits(const Sequence& sequence) {
    const std::int64_t blocks = state_.blocks_for(sequence.tokens());
    if (blocks > state_.free_blocks()) return false;
    return state_.running.empty() || fits_beside_running(sequence, blocks);
  }

  // The running requests may have changed since the last call of fits().
  virtual void begin_attempt() {}
  // A request is about to join the running ones; it holds no blocks yet.
  virtual void admit(Sequence&) {}
  // A request holds more blocks than are reserved for it.
  virtual void outgrew(Sequence&) {}
  // The first `steps` steps of the plan ran.
  virtual void advance(std::int64_t) {}
  // A request was evicted.
  virtual void note_eviction() {}
  // Memory ran out while a plan was made, and all evictions for it are done.
  virtual void note_shortage() {}
  // A request made its last token.
  virtual void note_end() {}

  // Whether fits() may answer otherwise than in the last plan though no request came or went.
  virtual bool may_have_changed() const { return false; }
  // After how many steps that is so again.
  virtual std::int64_t steps_until_change() const { return kUnlimited; }
  // By how many blocks the running requests are expected to exceed the pool; 0 if unknown.
  virtual std::int64_t expected_excess() { return 0; }

 protected:
  // blocks: those of the tokens that the sequence has.
  virtual bool fits_beside_running(const Sequence& sequence, std::int64_t blocks) = 0;

  // The part of the pool that new requests may not take, in blocks.
  std::int64_t watermark_blocks() const {
    return state_.pool_blocks * state_.policy.watermark_ppm / 1'000'000;
  }

  SchedulerState& state_;
};

// The test that `state.policy` names. The state must outlive it.
std::unique_ptr<AdmissionTest> make_admission_test(SchedulerState& state);

}  // namespace warpgroup
