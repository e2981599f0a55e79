#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "warpgroup/staging/submission_ring.hpp"

namespace warpgroup {

// Token ids of requests that are on their way, in pages of one memory: any thread takes pages, any
// thread gives them back, without locks. A request's pages are a chain; the memory is somebody
// else's, pinned or not.
class TokenPages {
 public:
  static constexpr std::int64_t kPageTokens = 256;
  static constexpr std::int32_t kNone = -1;

  // `memory` holds `tokens` token ids and outlives this. Throws std::invalid_argument for less than
  // one page, or more pages than can be numbered.
  TokenPages(std::int32_t* memory, std::int64_t tokens);

  // How many pages hold so many tokens.
  static std::int64_t pages_for(std::int64_t tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens;
  }

  // A chain of `count` pages, at least 1; kNone, and nothing changes, if there are not as many.
  std::int32_t take(std::int64_t count);
  // Gives back a chain; of the tokens that it holds nothing is left.
  void give_back(std::int32_t first);
  // The page after one; kNone at the end of the chain.
  std::int32_t after(std::int32_t page) const {
    return next_[static_cast<std::size_t>(page)].load(std::memory_order_relaxed);
  }
  // Ends the chain at `page`; what followed is a chain of its own.
  std::int32_t cut_after(std::int32_t page);

  std::int32_t* tokens_of(std::int32_t page) { return memory_ + page * kPageTokens; }
  const std::int32_t* tokens_of(std::int32_t page) const { return memory_ + page * kPageTokens; }

  std::int64_t pages() const { return pages_; }
  // Exact while nobody takes or gives back.
  std::int64_t free_pages() const { return free_.load(std::memory_order_relaxed); }

 private:
  // The first free page in the low half. The high half counts changes: a chain that was taken and
  // given back while another thread looked at it is not mistaken for the one that it saw.
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
