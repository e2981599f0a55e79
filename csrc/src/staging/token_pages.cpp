#include "warpgroup/staging/token_pages.hpp"

#include <limits>
#include <stdexcept>
#include <string>

namespace warpgroup {

TokenPages::TokenPages(std::int32_t* memory, std::int64_t tokens)
    : memory_(memory), pages_(tokens / kPageTokens), head_(0), free_(pages_) {
  if (pages_ < 1 || pages_ > std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("memory for " + std::to_string(tokens) +
                                " tokens, expected at least " + std::to_string(kPageTokens));
  next_ = std::make_unique<std::atomic<std::int32_t>[]>(static_cast<std::size_t>(pages_));
  for (std::int64_t page = 0; page < pages_; ++page)
    next_[static_cast<std::size_t>(page)].store(
        page + 1 < pages_ ? static_cast<std::int32_t>(page + 1) : kNone, std::memory_order_relaxed);
}

std::int32_t TokenPages::take(std::int64_t count) {
  std::uint64_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    const auto first = static_cast<std::int32_t>(static_cast<std::uint32_t>(head));
    std::int32_t last = first;
    // The chain may change while it is read. Then the head has changed too, and the loop repeats.
    for (std::int64_t more = count - 1; more > 0 && last != kNone; --more) last = after(last);
    if (last == kNone) {
      const std::uint64_t now = head_.load(std::memory_order_acquire);
      if (now == head) return kNone;
      head = now;
      continue;
    }
    const std::uint64_t rest = head_of(after(last), head);
    if (head_.compare_exchange_weak(head, rest, std::memory_order_acquire,
                                    std::memory_order_acquire)) {
      free_.fetch_sub(count, std::memory_order_relaxed);
      next_[static_cast<std::size_t>(last)].store(kNone, std::memory_order_relaxed);
      return first;
    }
  }
}

void TokenPages::give_back(std::int32_t first) {
  std::int64_t count = 1;
  std::int32_t last = first;
  for (; after(last) != kNone; last = after(last)) ++count;
  std::uint64_t head = head_.load(std::memory_order_relaxed);
  do {
    const auto page = static_cast<std::int32_t>(static_cast<std::uint32_t>(head));
    next_[static_cast<std::size_t>(last)].store(page, std::memory_order_relaxed);
  } while (!head_.compare_exchange_weak(head, head_of(first, head), std::memory_order_release,
                                        std::memory_order_relaxed));
  free_.fetch_add(count, std::memory_order_relaxed);
}

std::int32_t TokenPages::cut_after(std::int32_t page) {
  const std::int32_t rest = after(page);
  next_[static_cast<std::size_t>(page)].store(kNone, std::memory_order_relaxed);
  return rest;
}

}  // namespace warpgroup
