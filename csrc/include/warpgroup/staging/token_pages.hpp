#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "warpgroup/staging/submission_ring.hpp"

namespace warpgroup {

// Token ids of queued requests, in pages of one memory. Any thread takes pages or gives them back,
// without locks. The pages of a request form a chain. The caller owns the memory, pinned or not.
class TokenPages {
 public:
  static constexpr std::int64_t kPageTokens = 256;
  static constexpr std::int32_t kNone = -1;

  // `memory` holds `tokens` token ids and outlives this. Throws std::invalid_argument for less than
  // one page, or more pages than can be numbered.
  TokenPages(std::int32_t* memory, std::int64_t tokens);

  // The number of pages that hold `tokens` tokens.
  static std::int64_t pages_for(std::int64_t tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens;
  }

  // Takes a chain of `count` pages, at least 1. If there are too few, changes nothing and returns
  // kNone.
  std::int32_t take(std::int64_t count);
  // Gives back a chain. Its tokens are lost.
  void give_back(std::int32_t first);
  // The page after one; kNone at the end of the chain.
  std::int32_t after(std::int32_t page) const {
    return next_[static_cast<std::size_t>(page)].load(std::memory_order_relaxed);
  }
  // Ends the chain at `page`. Returns the rest as a chain of its own.
  std::int32_t cut_after(std::int32_t page);

  std::int32_t* tokens_of(std::int32_t page) { return memory_ + page * kPageTokens; }
  const std::int32_t* tokens_of(std::int32_t page) const { return memory_ + page * kPageTokens; }

  std::int64_t pages() const { return pages_; }
  // Exact while no thread takes or gives back pages.
  std::int64_t free_pages() const { return free_.load(std::memory_order_relaxed); }

 private:
  // The low half is the first free page. The high half counts changes, so that a thread notices if
  // a chain was taken and given back meanwhile (the ABA problem).
  static std::uint64_t head_of(std::int32_t page, std::uint64_t before) {
    return ((before >> 32) + 1) << 32 | static_cast<std::uint32_t>(page);
  }

  std::int32_t* memory_;
  std::int64_t pages_;
  std::unique_ptr<std::atomic<std::int32_t>[]> next_;
  alignas(kCacheLine) std::atomic<std::uint64_t> head_;
  alignas(kCacheLine) std::atomic<std::int64_t> free_;
};

}  // namespace warpgroup
