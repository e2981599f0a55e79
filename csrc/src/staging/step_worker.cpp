#include "warpgroup/staging/step_worker.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace warpgroup {

StepStager::StepStager(StepBuilder& builder, std::int64_t width, std::vector<SlabShape> captured)
    : builder_(builder), width_(width), captured_(std::move(captured)) {
  std::sort(captured_.begin(), captured_.end(), [](const SlabShape& a, const SlabShape& b) {
    return std::tie(a.rows, a.chunk_tokens, a.width) < std::tie(b.rows, b.chunk_tokens, b.width);
  });
}

void StepStager::stage(StagedStep& step, const SlabMemory& slab) const {
  step.to_host = builder_.apply(step.plan);
  if (step.plan.horizon == 0) return;
  for (const Evicted& evicted : step.plan.evicted)
    step.awaits_tokens |= std::find(step.plan.admitted.begin(), step.plan.admitted.end(),
                                    evicted.id) != step.plan.admitted.end();
  step.missing_blocks = builder_.prepare(step.plan);
  choose_shape(step);
  if (step.missing_blocks > 0) return;
  step.to_device = builder_.hold();
  const SlabArray last = slab_arrays(step.shape).back();
  if (step.awaits_tokens || slab.size < last.start + last.count) return;
  builder_.write(slab.integers, step.shape, step.captured);
  step.written = true;
}

// Chooses the smallest captured shape that the step fits into; in such shapes prompts count as
// chunks that continue an empty cache. Without one, chooses a shape of the step's own size.
void StepStager::choose_shape(StagedStep& step) const {
  const StepExtent& extent = builder_.extent();
  const auto prompts = static_cast<std::int64_t>(extent.prompts.size());
  const std::int64_t pieces = extent.chunks + prompts;
  const std::int64_t tokens = extent.chunk_tokens + extent.prompt_tokens;
  const std::int64_t width = ceil_div(extent.longest, builder_.block_tokens());
  const auto fits = [&](const SlabShape& shape) {
    return shape.rows >= extent.rows && shape.chunks >= pieces && shape.chunk_tokens >= tokens &&
           shape.width >= width;
  };
  const auto found = std::find_if(captured_.begin(), captured_.end(), fits);
  step.captured = found != captured_.end() && !extent.padded;
  step.shape =
      step.captured ? *found : SlabShape{extent.rows, extent.chunks,        extent.chunk_tokens,
                                         prompts,     extent.prompt_tokens, extent.sampled,
                                         width_};
}

StepWorker::StepWorker(Intake& intake, Scheduler& scheduler, StepStager stager, Intake::Log log,
                       std::int64_t zero_ns)
    : intake_(intake),
      scheduler_(scheduler),
      stager_(std::move(stager)),
      log_(log),
      zero_ns_(zero_ns),
      thread_([this] { run(); }) {}

StepWorker::~StepWorker() { close(); }

void StepWorker::close() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return state_ != State::kBegun; });
    state_ = State::kStopping;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StepWorker::begin(const SlabMemory& slab) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (state_ == State::kStopping) throw std::logic_error("the worker was closed");
    if (state_ != State::kIdle) throw std::logic_error("a plan was begun and not taken");
    slab_ = slab;
    state_ = State::kBegun;
  }
  changed_.notify_all();
}

bool StepWorker::ready() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_ != State::kBegun;
}

StagedStep StepWorker::take() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (state_ == State::kIdle || state_ == State::kStopping)
    throw std::logic_error("no plan was begun");
  changed_.wait(lock, [this] { return state_ == State::kDone; });
  state_ = State::kIdle;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return std::move(step_);
}

void StepWorker::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return state_ == State::kBegun || state_ == State::kStopping; });
    if (state_ == State::kStopping) return;
    // No other thread uses the step or its inputs until it is done.
    lock.unlock();
    StagedStep step;
    std::exception_ptr failure;
    try {
      step = make();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    step_ = std::move(step);
    failure_ = failure;
    state_ = State::kDone;
    changed_.notify_all();
  }
}

StagedStep StepWorker::make() const {
  StagedStep step;
  step.drained = intake_.drain(scheduler_, log_, intake_.capacity());
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  step.plan = scheduler_.plan(std::chrono::nanoseconds(now).count() - zero_ns_);
  stager_.stage(step, slab_);
  return step;
}

}  // namespace warpgroup
