#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "warpgroup/scheduler/scheduler.hpp"
#include "warpgroup/staging/intake.hpp"
#include "warpgroup/staging/step_builder.hpp"

namespace warpgroup {

// A plan on its way to the device, as far as it goes without the device.
struct StagedStep {
  StepPlan plan;
  Drained drained;                   // what came before it was made
  std::vector<BlockCopy> to_host;    // to be made first
  std::vector<BlockCopy> to_device;  // then these, if no blocks are missing
  std::int64_t missing_blocks = 0;   // by which the pool has to grow before the step holds its own
  SlabShape shape{};                 // in which it is laid out
  bool captured = false;             // the device has a graph of that shape
  // The plan evicts and admits the same request: it computes tokens of which the last may still be
  // on the device.
  bool awaits_tokens = false;
  bool written = false;  // the slab is complete
};

// Memory for a slab.
struct SlabMemory {
  std::int32_t* integers;
  std::int64_t size;
};

// Takes plans as far as they go without the device: accounts for memory, chooses the shape, writes
// the slab.
class StepStager {
 public:
  // `captured`: shapes of which the device has graphs.
  StepStager(StepBuilder& builder, std::int64_t width, std::vector<SlabShape> captured);

  // Stages a plan. What cannot be done yet is left, and said: blocks that are missing, tokens that
  // are awaited, a slab that is too small.
  void stage(StagedStep& step, const SlabMemory& slab) const;

 private:
  void choose_shape(StagedStep& step) const;

  StepBuilder& builder_;
  std::int64_t width_;
  std::vector<SlabShape> captured_;  // the smallest first
};

// A thread that receives requests, plans, and stages the plan, while another thread has the device
// run the step before. Between `take` and the next `begin` all that it works with is the caller's.
class StepWorker {
 public:
  // Everything outlives the worker. `zero_ns`: of the steady clock, from where plans count time.
  StepWorker(Intake& intake, Scheduler& scheduler, StepStager stager, Intake::Log log,
             std::int64_t zero_ns);
  ~StepWorker();
  StepWorker(const StepWorker&) = delete;
  StepWorker& operator=(const StepWorker&) = delete;

  // Starts to make the next plan, in that slab. Throws std::logic_error if one was begun and not
  // taken.
  void begin(const SlabMemory& slab);
  // Whether `take` would not wait.
  bool ready();
  // Waits for it. Throws what went wrong in the thread; std::logic_error if none was begun.
  StagedStep take();
  // Waits for what is under way, and ends the thread: nothing can be begun any more.
  void close();

 private:
  enum class State : std::uint8_t { kIdle, kBegun, kDone, kStopping };
  void run();
  StagedStep make() const;

  Intake& intake_;
  Scheduler& scheduler_;
  StepStager stager_;
  Intake::Log log_;
  std::int64_t zero_ns_;

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kIdle;
  SlabMemory slab_{nullptr, 0};
  StagedStep step_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace warpgroup
