#pragma once

#include <cstdint>
#include <string>

#include "warpgroup/scheduler/batching/batcher.hpp"

namespace warpgroup {

// Static batching: a batch is formed, padded to its longest prompt, and run until its last request
// ends. Every row keeps its memory, and is computed, until then.
class StaticBatcher : public Batcher {
 public:
  explicit StaticBatcher(SchedulerState& state) : state_(state) {}

  std::string why_never_fits(const Request& request) const override;
  void plan() override;
  bool makes_token(const Sequence& sequence) const override;
  void advance(std::int64_t steps) override;
  void recover_from_oom() override;
  void finish(Row row) override { end(**row); }
  void abort(Row row) override { end(**row); }
  void queue_changed() override;
  HeldMemory held() const override;

 private:
  bool batch_is_due() const;
  void form_batch();
  void plan_prefill();
  void plan_decode();
  void end(Sequence& sequence);
  std::int64_t rows() const { return state_.running_count(); }
  std::int64_t batch_bytes(std::int64_t decoded) const;
  std::int64_t horizon() const;

  SchedulerState& state_;
  std::int64_t padded_prompt_ = 0;    // the batch's longest prompt, in tokens
  std::int64_t decoded_ = 0;          // decode steps that the batch has run
  std::int64_t next_batch_rows_ = 0;  // after a split: size of the next batch, formed at once
};

}  // namespace warpgroup
