#pragma once

#include "warpgroup/scheduler/plan.hpp"

namespace warpgroup {

// Whether an attempt to admit requests can succeed, as far as is known without trying.
class AdmissionGate {
 public:
  // A request came or went, or the memory changed: the next attempt may end otherwise.
  void note_change() { refused_for_memory_ = false; }
  void note_freed_memory() {
    note_change();
    closed_until_freed_ = false;
  }
  void note_attempt(BlockedBy blocked_by) {
    refused_for_memory_ = blocked_by == BlockedBy::kMemory;
  }
  // Memory ran out: beside the running requests no other is admitted until memory is freed.
  void close_until_freed() { closed_until_freed_ = true; }

  // The last attempt failed for lack of memory, and nothing has changed since.
  bool refused_for_memory() const { return refused_for_memory_; }
  bool closed_until_freed() const { return closed_until_freed_; }

 private:
  bool refused_for_memory_ = false;
  bool closed_until_freed_ = false;
};

}  // namespace warpgroup
