#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "warpgroup/scheduler/plan.hpp"

namespace warpgroup {

// The names of the record's codes. A code is a position in its list.
const std::vector<std::string>& status_names();
const std::vector<std::string>& event_names();
const std::vector<std::string>& step_event_names();
const std::vector<std::string>& step_field_names();

enum class Status : std::int8_t { kFinished, kRejected, kFailed, kAborted };
enum class Event : std::uint8_t {
  kOom,
  kPreempt,  // a cache is dropped and must be recomputed
  kResume,   // an evicted request generates tokens again
  kReject,
  kFail,
  kSwapOut,  // a cache is copied to the host
  kSwapIn,
  kAdmitLess,
  kSmallerChunks,
  kBackPressure,  // the submitter learns that its request will wait long
  kBudget,        // the scheduler learns of another budget; `request` is the last ticket before
};
enum class StepEvent : std::uint8_t { kNone, kOom, kPreempt, kDegrade, kReject };

// One column of integers, for millions of rows. It grows by realloc, which moves large blocks by
// remapping their pages, and its memory is handed over without a copy.
class Column {
 public:
  struct Free {
    void operator()(std::int64_t* values) const { std::free(values); }
  };
  using Values = std::unique_ptr<std::int64_t, Free>;

  void push(std::int64_t value) {
    if (size_ == capacity_) grow();
    values_.get()[size_++] = value;
  }
  std::size_t size() const { return size_; }
  // Hands over the memory. The column is empty afterwards.
  Values release();

 private:
  void grow();

  Values values_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// Collects the events of a run, simulated or real, as the columns of the record.
class Recorder {
 public:
  static constexpr std::size_t kStepFields = 29;

  // A request's id is its row in the trace.
  Recorder(std::size_t requests, std::int64_t budget_bytes);

  // A request was submitted. Calls are in the order of submissions.
  void came(std::int64_t request, std::int64_t arrival_ns);
  // A submission was rejected with a reason, or accepted with a warning of a long wait.
  void rejected(std::int64_t request, std::int64_t now_ns, const std::string& reason);
  void pressed(std::int64_t request, std::int64_t now_ns);
  // The scheduler got another budget after the submission of `ticket`.
  void budget_changed(std::int64_t now_ns, std::int64_t ticket, std::int64_t bytes);
  // Records the changes that a plan makes before its steps run.
  void planned(const StepPlan& plan);
  // Steps ran to their end. `facts` is the result of the core's commit.
  void ran(const StepPlan& plan, const StepRecord& facts, std::int64_t vram_used_bytes,
           std::int64_t start_ns, std::int64_t end_ns, const std::vector<std::int64_t>& finished);
  // A step ran out of memory and had no effect. The event names its newest request.
  void ran_out_of_memory(const StepPlan& plan, std::int64_t needed_bytes, std::int64_t start_ns,
                         std::int64_t end_ns);

  std::int64_t budget_bytes = 0;  // the budget of the steps recorded from now on
  std::int64_t ended() const { return ended_; }
  std::int64_t ooms() const { return ooms_; }

  struct RequestRow {
    Status status = Status::kAborted;
    std::int64_t arrival_ns = -1;
    std::int64_t ticket = -1;  // position in the order of submissions, from 0
    std::int64_t admitted_ns = -1;
    std::int64_t first_token_ns = -1;
    std::int64_t finish_ns = -1;
    std::int64_t preemptions = 0;
    std::int64_t recomputed_tokens = 0;
  };
  struct EventRow {
    std::int64_t t_ns;
    std::int64_t request;
    Event event;
    std::int64_t bytes;
  };
  const std::vector<RequestRow>& requests() const { return requests_; }
  const std::map<std::int64_t, std::string>& reasons() const { return reasons_; }
  // Millions of rows: the reader takes the columns over instead of copying them.
  std::array<Column, kStepFields>& steps() { return steps_; }
  const std::vector<EventRow>& events() const { return events_; }

 private:
  RequestRow& row(std::int64_t request);
  void end(std::int64_t request, Status status, const std::string& reason);
  void event(std::int64_t t_ns, std::int64_t request, Event event, std::int64_t bytes);
  void mark(StepEvent event);
  void step(const StepPlan& plan, const StepRecord& facts, std::int64_t vram_used_bytes,
            std::int64_t start_ns, std::int64_t end_ns);

  std::vector<RequestRow> requests_;
  std::map<std::int64_t, std::string> reasons_;
  std::array<Column, kStepFields> steps_;
  std::vector<EventRow> events_;
  StepEvent step_event_ = StepEvent::kNone;
  StepRecord last_{};
  std::int64_t vram_used_ = 0;
  std::int64_t came_ = 0;
  std::int64_t ended_ = 0;
  std::int64_t ooms_ = 0;
};

}  // namespace warpgroup
