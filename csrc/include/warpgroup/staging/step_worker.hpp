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

// A plan that is prepared for the device, as far as possible without the device.
struct StagedStep {
  StepPlan plan;
  Drained drained;                   // submissions taken before the plan was made
  std::vector<BlockCopy> to_host;    // copies to make first
  std::vector<BlockCopy> to_device;  // copies to make next, if no blocks are missing
  std::int64_t missing_blocks = 0;   // by how many blocks the pool must grow before the step
  SlabShape shape{};                 // shape of the slab
  bool captured = false;             // whether the device has a graph of that shape
  // The plan evicts and admits the same request. It computes tokens again, and the last of them may
  // still be only on the device.
  bool awaits_tokens = false;
  bool written = false;  // the slab is complete
};

// Memory for a slab.
struct SlabMemory {
  std::int32_t* integers;
  std::int64_t size;
};

// Prepares plans as far as possible without the device: takes blocks, chooses the shape, writes the
// slab.
class StepStager {
 public:
  // `captured`: the shapes of the device's graphs.
  StepStager(StepBuilder& builder, std::int64_t width, std::vector<SlabShape> captured);

  // Stages a plan. Stops early, and reports it in `step`, if blocks are missing, tokens are awaited
  // or the slab is too small.
  void stage(StagedStep& step, const SlabMemory& slab) const;

 private:
  void choose_shape(StagedStep& step) const;

  StepBuilder& builder_;
  std::int64_t width_;
  std::vector<SlabShape> captured_;  // the smallest first
};

// A thread that receives requests, plans, and stages the plan, while another thread runs the step
// before on the device. Between `take` and the next `begin` the caller may use all shared objects.
class StepWorker {
 public:
  // All references must outlive the worker. `zero_ns`: the steady clock's time at which the time of
  // plans is 0.
  StepWorker(Intake& intake, Scheduler& scheduler, StepStager stager, Intake::Log log,
             std::int64_t zero_ns);
  ~StepWorker();
  StepWorker(const StepWorker&) = delete;
  StepWorker& operator=(const StepWorker&) = delete;

  // Starts to make the next plan in that slab. Throws std::logic_error if the last plan was not
  // taken.
  void begin(const SlabMemory& slab);
  // Whether `take` would not wait.
  bool ready();
  // Waits for the plan. Throws the thread's exception; std::logic_error if no plan was begun.
  StagedStep take();
  // Waits for the plan in progress and ends the thread. No plan can be begun afterwards.
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
