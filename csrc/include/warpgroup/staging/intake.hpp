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

// Why nothing was queued, in words for whoever called.
class QueueFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Token ids as a caller has them: `count` integers of `width` bytes.
struct TokenSource {
  const void* data;
  std::int64_t count;
  int width;  // 2, 4 or 8
  bool is_signed;
};

// What a caller says of a request.
struct NewRequest {
  std::int64_t arrival_ns;
  std::int64_t max_new_tokens;
  std::int64_t output_tokens;  // the true length, where it is known; else 0
  std::int64_t id = -1;        // its number, from 0 on; -1: the ticket that the queue gives
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

// What became of the items that were taken from the queue.
struct Drained {
  struct Refused {
    std::int64_t id;
    std::string reason;
  };
  std::vector<std::int64_t> submitted;  // ids that the scheduler counted, in order
  std::vector<Refused> refused;         // most of them by the scheduler, which counted them
  std::vector<std::int64_t> pressed;    // of those that were not refused: they would wait for long
  std::int64_t aborted = 0;             // aborts that met their request
};

// Where requests come in: any thread submits and goes on, the scheduler's thread takes them in the
// order of their tickets. Prompts travel in pages of one memory, which bounds what may be under
// way. Nobody takes a lock unless somebody waits for room, or the queue is closed.
class Intake {
 public:
  // `capacity` items at once, a power of two; `memory` holds `tokens` token ids, stays the caller's
  // and outlives this. Throws std::invalid_argument, or std::runtime_error without an eventfd.
  Intake(std::size_t capacity, std::int32_t* memory, std::int64_t tokens);
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Queues a request and returns its id. Waits for room for up to `timeout_ns`; 0: not at all,
  // below 0: for as long as it takes. Throws QueueFull: no room, or closed. std::invalid_argument:
  // an empty prompt, one that is larger than the memory, a token below 0 or above 2^31 - 1, or
  // lengths below 1.
  std::int64_t submit(const TokenSource& prompt, const NewRequest& request,
                      std::int64_t timeout_ns = 0);

  // Queues many, whose ids follow one another, and returns the first: all of them or none. Their
  // prompts lie end to end in `prompts`, `lengths` says where each ends.
  std::int64_t submit_many(const TokenSource& prompts, const std::int64_t* lengths,
                           const NewRequest* requests, std::int64_t count,
                           std::int64_t timeout_ns = 0);

  // Queues the wish that a request be forgotten, behind the request itself. Waits as `submit` does.
  void abort(std::int64_t id, std::int64_t timeout_ns = 0);

  // Where prompts are written: each request's from `starts`[id] on.
  struct Log {
    std::int32_t* tokens;
    std::int64_t size;
    const std::int64_t* starts;
    std::int64_t requests;
  };

  // Gives up to `most` items to the scheduler and writes their prompts to the log. A request that
  // has no place there, or that the scheduler does not take, is refused. The scheduler's thread
  // only.
  Drained drain(Scheduler& scheduler, const Log& log, std::int64_t most);

  // Until something can be drained, or nothing is left of a closed queue, or so long; whether
  // something can be. The scheduler's thread only.
  bool wait(std::int64_t timeout_ns);

  // Nothing more is queued: whoever waits for room is told so. What is queued can still be drained.
  void close();
  bool closed() const { return ring_.closed(); }
  std::int64_t capacity() const { return static_cast<std::int64_t>(ring_.capacity()); }

  // A file descriptor (an eventfd) that is written to whenever room was made, from now on until
  // `unwatch`: for event loops, which must not wait in `submit`.
  void watch_room(int fd);
  void unwatch_room(int fd);

  std::int64_t queued() const { return static_cast<std::int64_t>(ring_.size()); }
  std::int64_t free_tokens() const { return pages_.free_pages() * TokenPages::kPageTokens; }

 private:
  template <class Try>
  std::int64_t until_room(Try attempt, std::int64_t timeout_ns);
  std::int64_t try_many(const TokenSource& prompts, const std::int64_t* lengths,
                        const NewRequest* requests, std::int64_t count, std::int64_t pages);
  void give_back(std::int32_t chain);
  std::string why_not_logged(const Arrival& arrival, const Log& log) const;
  void unload(const Arrival& arrival, std::int32_t* to);
  void require_open_here() const;
  void wake_consumer();
  void tell_room();

  SubmissionRing<Arrival> ring_;
  TokenPages pages_;
  const int generation_;  // of the process: a fork gets another
  int wake_fd_;
  alignas(kCacheLine) std::atomic<bool> asleep_{false};       // the consumer
  alignas(kCacheLine) std::atomic<std::int64_t> waiters_{0};  // for room
  std::mutex room_mutex_;
  std::condition_variable room_;
  std::uint64_t room_made_ = 0;  // times; under the mutex
  std::vector<int> watchers_;    // under the mutex
};

}  // namespace warpgroup
