#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace warpgroup {

// Where keys and values lie. Each layout owns its memory, hands out places in it and says what it
// wastes. A request is named by its id; ids that are unknown, or known already, throw
// std::invalid_argument.

// Blocks of equal size, anywhere in the pool: a request wastes what its last block does not fill.
class PagedKv {
 public:
  PagedKv(std::int64_t blocks, std::int64_t block_tokens);

  // Blocks for the first `tokens` tokens; false, and nothing changes, if there are not enough.
  bool allocate(std::int64_t id, std::int64_t tokens);
  // More tokens in all, never fewer.
  bool grow(std::int64_t id, std::int64_t tokens);
  void free(std::int64_t id);
  // The pool gets larger or smaller. What lies in blocks that go is to be copied: each move's
  // `from` to its `to`; no block is both. Throws std::invalid_argument if more blocks than that are
  // held.
  struct Move {
    std::int32_t from;
    std::int32_t to;
  };
  std::vector<Move> resize(std::int64_t blocks);

  // The blocks of a request in order of its tokens, as attention kernels take them.
  const std::vector<std::int32_t>& block_table(std::int64_t id) const;
  std::int64_t blocks() const { return blocks_; }
  std::int64_t free_blocks() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t held_tokens() const { return (blocks_ - free_blocks()) * block_tokens_; }
  std::int64_t filled_tokens() const { return filled_tokens_; }
  // Share of what is held that is not filled (internal fragmentation).
  double fragmentation() const;

 private:
  struct Holding {
    std::vector<std::int32_t> blocks;
    std::int64_t tokens = 0;
  };
  bool extend(Holding& holding, std::int64_t tokens);
  const Holding& find(std::int64_t id) const;

  std::int64_t blocks_;
  std::int64_t block_tokens_;
  std::vector<std::int32_t> free_;  // the one that was freed last is used next: it may be in cache
  std::unordered_map<std::int64_t, Holding> holdings_;
  std::int64_t filled_tokens_ = 0;
};

// One contiguous range for each request, aligned to 16 bytes, in the first gap that is large
// enough.
class ExtentKv {
 public:
  ExtentKv(std::int64_t capacity_bytes, std::int64_t bytes_per_token);

  // A range for `tokens` tokens, its predicted peak; false if no gap is large enough.
  bool allocate(std::int64_t id, std::int64_t tokens);
  // In place, into the gap behind it; false if that is too small, and the range would have to move.
  bool grow(std::int64_t id, std::int64_t tokens);
  void free(std::int64_t id);

  std::int64_t offset(std::int64_t id) const;  // in bytes
  std::int64_t free_bytes() const { return free_bytes_; }
  std::int64_t largest_gap_bytes() const;
  // Share of the free bytes that are not in the largest gap (external fragmentation).
  double fragmentation() const;

 private:
  struct Range {
    std::int64_t offset;
    std::int64_t bytes;
  };
  const Range& find(std::int64_t id) const;
  std::int64_t bytes_for(std::int64_t tokens) const;
  void take(std::map<std::int64_t, std::int64_t>::iterator gap, std::int64_t bytes);

  std::int64_t bytes_per_token_;
  std::map<std::int64_t, std::int64_t> gaps_;  // offset -> bytes; no two touch
  std::unordered_map<std::int64_t, Range> ranges_;
  std::int64_t free_bytes_;
};

// A static batch: every row is as long as the longest, and is held until the last one ends.
class PaddedKv {
 public:
  // The rows' lengths, each at least 1.
  explicit PaddedKv(std::vector<std::int64_t> tokens);
  void grow(std::size_t row, std::int64_t tokens);
  void free(std::size_t row);  // it is not filled any more; its place is lost

  std::int64_t held_tokens() const { return static_cast<std::int64_t>(tokens_.size()) * longest_; }
  std::int64_t filled_tokens() const { return filled_tokens_; }
  double fragmentation() const;

 private:
  std::vector<std::int64_t> tokens_;
  std::int64_t longest_ = 0;
  std::int64_t filled_tokens_ = 0;
};

}  // namespace warpgroup
