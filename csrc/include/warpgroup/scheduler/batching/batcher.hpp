#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// VRAM that the running requests need, in bytes.
struct HeldMemory {
  std::int64_t kv;         // KV caches
  std::int64_t reserved;   // KV caches, held or promised
  std::int64_t predicted;  // all that the last step needed
};

// Decides which requests run: StaticBatcher or ContinuousBatcher. It reads and changes the state
// that it shares with the scheduler.
class Batcher {
 public:
  using Row = std::vector<Sequence*>::iterator;  // of a running request

  virtual ~Batcher() = default;

  // Why the request can never run, for the user; empty if it can.
  virtual std::string why_never_fits(const Request& request) const = 0;
  // Makes `state.plan`, whose step and time are set.
  virtual void plan() = 0;
  // Whether each step of the plan makes an output token of this request.
  virtual bool makes_token(const Sequence& sequence) const = 0;
  // The first `steps` steps of the plan ran.
  virtual void advance(std::int64_t steps) = 0;
  // The first step of the plan ran out of memory and had no effect.
  virtual void recover_from_oom() = 0;
  // A running request made its last token, or is aborted.
  virtual void finish(Row row) = 0;
  virtual void abort(Row row) = 0;
  // A request joined the waiting queue, or left it without being admitted.
  virtual void queue_changed() {}
  virtual void budget_changed() {}
  // After the step that was committed last.
  virtual HeldMemory held() const = 0;
};

// The batcher of `state.policy`. The state must outlive it.
std::unique_ptr<Batcher> make_batcher(SchedulerState& state);

}  // namespace warpgroup
