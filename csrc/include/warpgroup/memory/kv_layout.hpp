#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace warpgroup {

// KV layouts: how keys and values are placed in memory. Each layout allocates its memory and
// reports how much is wasted. A request is named by its id. An id that holds nothing, or that holds
// memory already when it allocates, throws std::invalid_argument.

// Blocks of equal size anywhere in the pool. A request wastes the unfilled part of its last block.
class PagedKv {
 public:
  PagedKv(std::int64_t blocks, std::int64_t block_tokens);

  // Allocates blocks for the first `tokens` tokens. If there are too few, changes nothing and
  // returns false.
  bool allocate(std::int64_t id, std::int64_t tokens);
  // Grows a request to `tokens` tokens in total. Returns false, and changes nothing, if there are
  // too few blocks.
  bool grow(std::int64_t id, std::int64_t tokens);
  void free(std::int64_t id);
  // Changes the size of the pool. The caller must copy each move's block `from` to block `to`; no
  // block is in two moves. Throws std::invalid_argument if more blocks are held.
  struct Move {
    std::int32_t from;
    std::int32_t to;
  };
  std::vector<Move> resize(std::int64_t blocks);

  // The blocks of a request in the order of its tokens, as attention kernels take them.
  const std::vector<std::int32_t>& block_table(std::int64_t id) const;
  std::int64_t blocks() const { return blocks_; }
  std::int64_t free_blocks() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t held_tokens() const { return (blocks_ - free_blocks()) * block_tokens_; }
  std::int64_t filled_tokens() const { return filled_tokens_; }
  // Internal fragmentation: the share of held tokens that is not filled.
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
  std::vector<std::int32_t> free_;  // a stack: the block freed last may still be in a cache
  std::unordered_map<std::int64_t, Holding> holdings_;
  std::int64_t filled_tokens_ = 0;
};

// One contiguous range for each request, aligned to 16 bytes, in the first gap that is large
// enough.
class ExtentKv {
 public:
  ExtentKv(std::int64_t capacity_bytes, std::int64_t bytes_per_token);

  // Allocates a range for `tokens` tokens, the predicted peak. False if no gap is large enough.
  bool allocate(std::int64_t id, std::int64_t tokens);
  // Grows in place, into the gap behind the range. False if that gap is too small.
  bool grow(std::int64_t id, std::int64_t tokens);
  void free(std::int64_t id);

  std::int64_t offset(std::int64_t id) const;  // in bytes
  std::int64_t free_bytes() const { return free_bytes_; }
  std::int64_t largest_gap_bytes() const;
  // External fragmentation: the share of free bytes outside the largest gap.
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
  std::map<std::int64_t, std::int64_t> gaps_;  // offset -> bytes; gaps are never adjacent
  std::unordered_map<std::int64_t, Range> ranges_;
  std::int64_t free_bytes_;
};

// A padded static batch: each row holds as much as the longest, until the last request ends.
class PaddedKv {
 public:
  // `tokens`: the length of each row, at least 1.
  explicit PaddedKv(std::vector<std::int64_t> tokens);
  void grow(std::size_t row, std::int64_t tokens);
  void free(std::size_t row);  // the row is no longer filled, but still held

  std::int64_t held_tokens() const { return static_cast<std::int64_t>(tokens_.size()) * longest_; }
  std::int64_t filled_tokens() const { return filled_tokens_; }
  double fragmentation() const;

 private:
  std::vector<std::int64_t> tokens_;
  std::int64_t longest_ = 0;
  std::int64_t filled_tokens_ = 0;
};

}  // namespace warpgroup
