#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "warpgroup/staging/submission_ring.hpp"
#include "warpgroup/staging/token_pages.hpp"

namespace warpgroup {

class Scheduler;

// Nothing was queued: the queue is full or closed. The message says which.
class QueueFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The caller's token ids: `count` integers of `width` bytes.
struct TokenSource {
  const void* data;
  std::int64_t count;
  int width;  // 2, 4 or 8
  bool is_signed;
};

// A request as its submitter describes it.
struct NewRequest {
  std::int64_t arrival_ns;
  std::int64_t max_new_tokens;
  std::int64_t output_tokens;  // the true output length if it is known; else 0
  std::int64_t id = -1;        // the request's id, from 0 on; -1: the ticket that the queue gives
};

// One item of the queue.
struct Arrival {
  enum class Kind : std::uint8_t { kRequest, kAbort };
  Kind kind;
  std::int32_t first_page;  // of the prompt; kNone for an abort
  std::int64_t id;          // of the request
  std::int64_t prompt_tokens;
  NewRequest request;
};

// The outcomes of the items that were taken from the queue.
struct Drained {
  struct Refused {
    std::int64_t id;
    std::string reason;
  };
  std::vector<std::int64_t> submitted;  // ids that the scheduler saw, in order, refused ones too
  std::vector<Refused> refused;         // by the scheduler, or because the log has no place
  std::vector<std::int64_t> pressed;    // accepted requests that are expected to wait long
  std::int64_t aborted = 0;             // number of aborts that found their request
};

// The submission queue: any thread submits without waiting, and the scheduler's thread takes the
// requests in the order of their tickets. Prompts are stored in pages of one memory, which bounds
// the queued tokens. Locks are taken only while a submitter waits for space, or to close the queue.
class Intake {
 public:
  // `capacity`: the most items at a time, a power of two. `memory` holds `tokens` token ids; the
  // caller owns it, and it must outlive this. Throws std::invalid_argument, or std::runtime_error
  // if no eventfd can be made.
  Intake(std::size_t capacity, std::int32_t* memory, std::int64_t tokens);
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Queues a request and returns its id. Waits up to `timeout_ns` for space; 0: does not wait,
  // below 0: waits without limit. Throws QueueFull if there is no space or the queue is closed, and
  // std::invalid_argument for an empty prompt, a prompt larger than the memory, a token below 0 or
  // above 2^31 - 1, or a length below 1.
  std::int64_t submit(const TokenSource& prompt, const NewRequest& request,
                      std::int64_t timeout_ns = 0);

  // Queues all of the requests or none, and returns the first id; the other ids follow it.
  // `prompts` holds the prompts end to end, `lengths` their lengths.
  std::int64_t submit_many(const TokenSource& prompts, const std::int64_t* lengths,
                           const NewRequest* requests, std::int64_t count,
                           std::int64_t timeout_ns = 0);

  // Queues an abort of a request, behind the request itself. Waits as `submit` does.
  void abort(std::int64_t id, std::int64_t timeout_ns = 0);

  // The array for prompts: each request's prompt is written from `starts`[id] on.
  struct Log {
    std::int32_t* tokens;
    std::int64_t size;
    const std::int64_t* starts;
    std::int64_t requests;
  };

  // Gives up to `most` items to the scheduler and writes their prompts to the log. A request
  // without a place in the log, or that the scheduler rejects, is refused. Only for the scheduler's
  // thread.
  Drained drain(Scheduler& scheduler, const Log& log, std::int64_t most);

  // Waits until an item can be drained, a closed queue is empty, or the timeout. Returns whether an
  // item can be drained. Only for the scheduler's thread.
  bool wait(std::int64_t timeout_ns);

  // Ends submission: submitters that wait for space get QueueFull. Queued items can still be
  // drained.
  void close();
  bool closed() const { return ring_.closed(); }
  std::int64_t capacity() const { return static_cast<std::int64_t>(ring_.capacity()); }

  // Writes to the eventfd `fd` each time that space becomes free, until `unwatch_space`. For event
  // loops, which must not wait in `submit`.
  void watch_space(int fd);
  void unwatch_space(int fd);

  std::int64_t queued() const { return static_cast<std::int64_t>(ring_.size()); }
  std::int64_t free_tokens() const { return pages_.free_pages() * TokenPages::kPageTokens; }

 private:
  template <class Try>
  std::int64_t until_space(Try attempt, std::int64_t timeout_ns);
  std::int64_t try_many(const TokenSource& prompts, const std::int64_t* lengths,
                        const NewRequest* requests, std::int64_t count, std::int64_t pages);
  void give_back(std::int32_t chain);
  std::string why_not_logged(const Arrival& arrival, const Log& log) const;
  void unload(const Arrival& arrival, std::int32_t* to);
  void require_open_here() const;
  void wake_consumer();
  void announce_space();

  SubmissionRing<Arrival> ring_;
  TokenPages pages_;
  const int generation_;  // of the process: a forked child has another
  int wake_fd_;
  alignas(kCacheLine) std::atomic<bool> asleep_{false};       // whether the consumer sleeps
  alignas(kCacheLine) std::atomic<std::int64_t> waiters_{0};  // submitters that wait for space
  std::mutex space_mutex_;
  std::condition_variable space_;
  std::uint64_t space_freed_ = 0;  // number of times; under the mutex
  std::vector<int> watchers_;      // under the mutex
};

}  // namespace warpgroup
