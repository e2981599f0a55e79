#include "warpgroup/staging/intake.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "warpgroup/scheduler/scheduler.hpp"

namespace warpgroup {

namespace {

constexpr std::int64_t kNoSpace = -1;

std::atomic<int> process_generation{0};

// A forked child has a copy of the queue's memory, but neither its threads nor its consumer.
int this_process() {
  static const bool counted = [] {
    pthread_atfork(nullptr, nullptr, [] { process_generation.fetch_add(1); });
    return true;
  }();
  (void)counted;
  return process_generation.load(std::memory_order_relaxed);
}

void signal(int fd) {
  const std::uint64_t one = 1;
  // The counter can be full only if it was not read for long; then its reader is already awake.
  while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

// Copies token ids. Returns whether all of them are from 0 to 2^31 - 1.
template <class Integer>
bool copy_ids(const Integer* from, std::int64_t count, std::int32_t* to) {
  using Wide = std::conditional_t<sizeof(Integer) == 8, std::uint64_t, std::uint32_t>;
  Wide all = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    all |= static_cast<Wide>(from[i]);  // negative numbers set the highest bit
    to[i] = static_cast<std::int32_t>(from[i]);
  }
  return all <= 0x7FFFFFFF;
}

bool copy_ids(const TokenSource& source, std::int64_t from, std::int64_t count, std::int32_t* to) {
  const auto at = [&](auto* typed) { return copy_ids(typed + from, count, to); };
  switch (source.width) {
    case 2:
      return source.is_signed ? at(static_cast<const std::int16_t*>(source.data))
                              : at(static_cast<const std::uint16_t*>(source.data));
    case 4:
      return source.is_signed ? at(static_cast<const std::int32_t*>(source.data))
                              : at(static_cast<const std::uint32_t*>(source.data));
    default:
      return source.is_signed ? at(static_cast<const std::int64_t*>(source.data))
                              : at(static_cast<const std::uint64_t*>(source.data));
  }
}

void require_lengths(const NewRequest& request) {
  if (request.max_new_tokens < 1)
    throw std::invalid_argument("max_new_tokens is " + std::to_string(request.max_new_tokens) +
                                ", expected at least 1");
  if (request.output_tokens < 0)
    throw std::invalid_argument("output_tokens is " + std::to_string(request.output_tokens) +
                                ", expected at least 1, or 0 for unknown");
}

}  // namespace

Intake::Intake(std::size_t capacity, std::int32_t* memory, std::int64_t tokens)
    : ring_(capacity),
      pages_(memory, tokens),
      generation_(this_process()),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_fd_ < 0)
    throw std::runtime_error(std::string("no eventfd for the submission queue: ") +
                             std::strerror(errno));
}

Intake::~Intake() { ::close(wake_fd_); }

void Intake::require_open_here() const {
  if (generation_ != this_process())
    throw std::runtime_error(
        "this submission queue belongs to the process that made it: after a fork make another");
  if (closed()) throw QueueFull("the submission queue is closed");
}

std::int64_t Intake::submit(const TokenSource& prompt, const NewRequest& request,
                            std::int64_t timeout_ns) {
  const std::int64_t ticket = submit_many(prompt, &prompt.count, &request, 1, timeout_ns);
  return request.id < 0 ? ticket : request.id;
}

std::int64_t Intake::submit_many(const TokenSource& prompts, const std::int64_t* lengths,
                                 const NewRequest* requests, std::int64_t count,
                                 std::int64_t timeout_ns) {
  require_open_here();
  std::int64_t pages = 0, tokens = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    require_lengths(requests[i]);
    if (lengths[i] < 1) throw std::invalid_argument("a prompt is empty");
    if (lengths[i] > prompts.count - tokens)
      throw std::invalid_argument("the prompts have more tokens than the " +
                                  std::to_string(prompts.count) + " that were given");
    pages += TokenPages::pages_for(lengths[i]);
    tokens += lengths[i];
  }
  if (tokens != prompts.count)
    throw std::invalid_argument("the prompts have " + std::to_string(tokens) + " tokens, " +
                                std::to_string(prompts.count) + " were given");
  if (pages > pages_.pages() || count > static_cast<std::int64_t>(ring_.capacity()))
    throw std::invalid_argument(std::to_string(count) + " requests of " + std::to_string(tokens) +
                                " tokens do not fit into a queue of " +
                                std::to_string(ring_.capacity()) + " requests and " +
                                std::to_string(pages_.pages() * TokenPages::kPageTokens) +
                                " tokens, however long they wait");
  if (count == 0) return 0;
  return until_space([&] { return try_many(prompts, lengths, requests, count, pages); },
                     timeout_ns);
}

std::int64_t Intake::try_many(const TokenSource& prompts, const std::int64_t* lengths,
                              const NewRequest* requests, std::int64_t count, std::int64_t pages) {
  // Without this check, pages would be taken and given back, which would wake other submitters in
  // turn.
  if (ring_.size() + static_cast<std::size_t>(count) > ring_.capacity()) return kNoSpace;
  const std::int32_t chain = pages_.take(pages);
  if (chain == TokenPages::kNone) return kNoSpace;
  std::int32_t page = chain;
  bool whole = true;
  std::int64_t token = 0;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t left = lengths[i]; left > 0; page = pages_.after(page)) {
      const std::int64_t here = std::min(left, TokenPages::kPageTokens);
      whole &= copy_ids(prompts, token, here, pages_.tokens_of(page));
      token += here;
      left -= here;
    }
  if (!whole) {
    give_back(chain);
    throw std::invalid_argument("a token id is below 0 or above 2147483647");
  }
  const std::uint64_t first = ring_.claim(static_cast<std::uint64_t>(count));
  if (first >= SubmissionRing<Arrival>::kClosed) {
    give_back(chain);
    require_open_here();
    return kNoSpace;
  }
  page = chain;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t ticket = first + static_cast<std::uint64_t>(i);
    std::int32_t last = page;
    for (std::int64_t more = TokenPages::pages_for(lengths[i]) - 1; more > 0; --more)
      last = pages_.after(last);
    const std::int32_t rest = pages_.cut_after(last);
    const std::int64_t id = requests[i].id < 0 ? static_cast<std::int64_t>(ticket) : requests[i].id;
    ring_.publish(ticket, {Arrival::Kind::kRequest, page, id, lengths[i], requests[i]});
    page = rest;
  }
  wake_consumer();
  return static_cast<std::int64_t>(first);
}

// Submitters may wait for these pages.
void Intake::give_back(std::int32_t chain) {
  pages_.give_back(chain);
  announce_space();
}

void Intake::abort(std::int64_t id, std::int64_t timeout_ns) {
  require_open_here();
  until_space(
      [&] {
        const std::uint64_t ticket =
            ring_.push({Arrival::Kind::kAbort, TokenPages::kNone, id, 0, {}});
        if (ticket >= SubmissionRing<Arrival>::kClosed) {
          require_open_here();
          return kNoSpace;
        }
        wake_consumer();
        return static_cast<std::int64_t>(ticket);
      },
      timeout_ns);
}

// Repeats the attempt until its result is not kNoSpace.
template <class Try>
std::int64_t Intake::until_space(Try attempt, std::int64_t timeout_ns) {
  std::int64_t found = attempt();
  if (found != kNoSpace) return found;
  const auto fail = [&] {
    throw QueueFull("the submission queue is full: " + std::to_string(queued()) + " of " +
                    std::to_string(ring_.capacity()) + " requests wait, with space for " +
                    std::to_string(free_tokens()) + " tokens");
  };
  if (timeout_ns == 0) fail();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns);
  // Either the consumer sees this count after it frees space, or the attempt below sees the space.
  waiters_.fetch_add(1, std::memory_order_acq_rel);
  struct Leave {
    std::atomic<std::int64_t>& waiters;
    ~Leave() { waiters.fetch_sub(1, std::memory_order_acq_rel); }
  } const leave{waiters_};
  std::unique_lock<std::mutex> lock(space_mutex_);
  for (;;) {
    const std::uint64_t before = space_freed_;
    lock.unlock();
    require_open_here();
    found = attempt();
    if (found != kNoSpace) return found;
    lock.lock();
    const auto changed = [&] { return space_freed_ != before; };
    if (timeout_ns < 0)
      space_.wait(lock, changed);
    else if (!space_.wait_until(lock, deadline, changed))
      fail();
  }
}

void Intake::wake_consumer() {
  // Either this thread sees that the consumer sleeps, or the consumer sees the item before it
  // sleeps.
  if (asleep_.exchange(false, std::memory_order_acq_rel)) signal(wake_fd_);
}

void Intake::announce_space() {
  if (waiters_.fetch_add(0, std::memory_order_acq_rel) == 0) return;
  const std::lock_guard<std::mutex> lock(space_mutex_);
  ++space_freed_;
  space_.notify_all();
  for (const int fd : watchers_) signal(fd);
}

bool Intake::wait(std::int64_t timeout_ns) {
  using Clock = std::chrono::steady_clock;
  const auto deadline =
      Clock::now() + std::chrono::nanoseconds(std::max(timeout_ns, std::int64_t{0}));
  // A closed queue is empty once all claimed items are drained.
  const auto over = [&] { return closed() && ring_.size() == 0; };
  for (;;) {
    if (ring_.ready()) return true;
    const std::int64_t left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - Clock::now()).count();
    if (over() || (timeout_ns >= 0 && left <= 0)) return false;
    asleep_.exchange(true, std::memory_order_acq_rel);
    if (!ring_.ready() && !over()) {
      pollfd waiting{wake_fd_, POLLIN, 0};
      constexpr std::int64_t kLongest = 1'000'000'000;  // milliseconds
      const std::int64_t milliseconds =
          timeout_ns < 0 ? kLongest : std::min((left + 999'999) / 1'000'000, kLongest);
      poll(&waiting, 1, static_cast<int>(milliseconds));
    }
    asleep_.exchange(false, std::memory_order_acq_rel);
    std::uint64_t count = 0;
    while (read(wake_fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }
}

void Intake::close() {
  ring_.close();
  wake_consumer();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  ++space_freed_;
  space_.notify_all();
  for (const int fd : watchers_) signal(fd);
}

void Intake::watch_space(int fd) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  watchers_.push_back(fd);
  waiters_.fetch_add(1, std::memory_order_acq_rel);
}

void Intake::unwatch_space(int fd) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const auto place = std::find(watchers_.begin(), watchers_.end(), fd);
  if (place == watchers_.end()) return;
  watchers_.erase(place);
  waiters_.fetch_sub(1, std::memory_order_acq_rel);
}

// The reason why a prompt has no place in the log; empty if it has one.
std::string Intake::why_not_logged(const Arrival& arrival, const Log& log) const {
  if (arrival.id >= log.requests)
    return "request " + std::to_string(arrival.id) + " has no place in the log";
  const std::int64_t start = log.starts[arrival.id];
  if (start < 0 || start > log.size || arrival.prompt_tokens > log.size - start)
    return "a prompt of " + std::to_string(arrival.prompt_tokens) +
           " tokens does not fit into the log";
  return "";
}

Drained Intake::drain(Scheduler& scheduler, const Log& log, std::int64_t most) {
  Drained drained;
  Arrival arrival{};
  for (std::int64_t taken = 0; taken < most && ring_.pop(arrival); ++taken) {
    if (arrival.kind == Arrival::Kind::kAbort) {
      drained.aborted += scheduler.abort(arrival.id);
      continue;
    }
    Submission submission{false, why_not_logged(arrival, log), 0, false};
    unload(arrival, submission.reason.empty() ? log.tokens + log.starts[arrival.id] : nullptr);
    try {
      if (submission.reason.empty()) {
        submission =
            scheduler.submit({arrival.id, arrival.request.arrival_ns, arrival.prompt_tokens,
                              arrival.request.max_new_tokens, arrival.request.output_tokens});
        drained.submitted.push_back(arrival.id);
      }
    } catch (const std::invalid_argument& wrong) {
      submission.reason = wrong.what();
    }
    if (!submission.accepted) {
      drained.refused.push_back({arrival.id, std::move(submission.reason)});
      continue;
    }
    if (submission.pressed) drained.pressed.push_back(arrival.id);
  }
  announce_space();
  return drained;
}

// Copies a prompt out of its pages if `to` is given, and gives the pages back.
void Intake::unload(const Arrival& arrival, std::int32_t* to) {
  std::int64_t left = arrival.prompt_tokens;
  for (std::int32_t page = arrival.first_page; to != nullptr && left > 0;
       page = pages_.after(page)) {
    const std::int64_t here = std::min(left, TokenPages::kPageTokens);
    std::memcpy(to, pages_.tokens_of(page), static_cast<std::size_t>(here) * sizeof *to);
    to += here;
    left -= here;
  }
  pages_.give_back(arrival.first_page);
}

}  // namespace warpgroup
