#include "warpgroup/memory/kv_layout.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

namespace {

[[noreturn]] void unknown(std::int64_t id) {
  throw std::invalid_argument("request " + std::to_string(id) + " holds nothing here");
}

[[noreturn]] void known(std::int64_t id) {
  throw std::invalid_argument("request " + std::to_string(id) + " holds memory here already");
}

void require_more(std::int64_t tokens, std::int64_t than) {
  if (tokens >= than) return;
  throw std::invalid_argument("cannot shrink from " + std::to_string(than) + " to " +
                              std::to_string(tokens) + " tokens");
}

void require_at_least_one(std::int64_t value, const char* name) {
  if (value >= 1) return;
  throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                              ", expected at least 1");
}

}  // namespace

PagedKv::PagedKv(std::int64_t blocks, std::int64_t block_tokens)
    : blocks_(blocks), block_tokens_(block_tokens) {
  require_at_least_one(blocks, "blocks");
  require_at_least_one(block_tokens, "block_tokens");
  for (std::int64_t block = blocks; block-- > 0;) free_.push_back(static_cast<std::int32_t>(block));
}

bool PagedKv::extend(Holding& holding, std::int64_t tokens) {
  const std::int64_t more =
      ceil_div(tokens, block_tokens_) - static_cast<std::int64_t>(holding.blocks.size());
  if (more > free_blocks()) return false;
  for (std::int64_t i = 0; i < more; ++i) {
    holding.blocks.push_back(free_.back());
    free_.pop_back();
  }
  filled_tokens_ += tokens - holding.tokens;
  holding.tokens = tokens;
  return true;
}

bool PagedKv::allocate(std::int64_t id, std::int64_t tokens) {
  require_at_least_one(tokens, "tokens");
  if (holdings_.count(id) > 0) known(id);
  Holding holding;
  if (!extend(holding, tokens)) return false;
  holdings_.emplace(id, std::move(holding));
  return true;
}

bool PagedKv::grow(std::int64_t id, std::int64_t tokens) {
  require_more(tokens, find(id).tokens);
  return extend(holdings_.at(id), tokens);
}

void PagedKv::free(std::int64_t id) {
  const Holding& holding = find(id);
  free_.insert(free_.end(), holding.blocks.rbegin(), holding.blocks.rend());
  filled_tokens_ -= holding.tokens;
  holdings_.erase(id);
}

std::vector<PagedKv::Move> PagedKv::resize(std::int64_t blocks) {
  const std::int64_t held = blocks_ - free_blocks();
  if (blocks < held || blocks < 1) {
    throw std::invalid_argument("cannot shrink to " + std::to_string(blocks) + " blocks, " +
                                std::to_string(held) + " are held");
  }
  const auto goes = [blocks](std::int32_t block) { return block >= blocks; };
  free_.erase(std::remove_if(free_.begin(), free_.end(), goes), free_.end());
  for (std::int64_t block = blocks; block-- > blocks_;) {
    free_.push_back(static_cast<std::int32_t>(block));
  }
  blocks_ = blocks;
  std::vector<Move> moves;
  for (auto& [id, holding] : holdings_) {
    for (std::int32_t& block : holding.blocks) {
      if (!goes(block)) continue;
      moves.push_back({block, free_.back()});
      block = free_.back();
      free_.pop_back();
    }
  }
  return moves;
}

const PagedKv::Holding& PagedKv::find(std::int64_t id) const {
  const auto place = holdings_.find(id);
  if (place == holdings_.end()) unknown(id);
  return place->second;
}

const std::vector<std::int32_t>& PagedKv::block_table(std::int64_t id) const {
  return find(id).blocks;
}

double PagedKv::fragmentation() const {
  if (held_tokens() == 0) return 0;
  return 1 - static_cast<double>(filled_tokens_) / static_cast<double>(held_tokens());
}

ExtentKv::ExtentKv(std::int64_t capacity_bytes, std::int64_t bytes_per_token)
    : bytes_per_token_(bytes_per_token), free_bytes_(capacity_bytes / kKvAlignment * kKvAlignment) {
  require_at_least_one(free_bytes_, "capacity_bytes");
  require_at_least_one(bytes_per_token, "bytes_per_token");
  gaps_[0] = free_bytes_;
}

std::int64_t ExtentKv::bytes_for(std::int64_t tokens) const {
  return round_up(tokens * bytes_per_token_, kKvAlignment);
}

void ExtentKv::take(std::map<std::int64_t, std::int64_t>::iterator gap, std::int64_t bytes) {
  const auto [offset, size] = *gap;
  gaps_.erase(gap);
  if (size > bytes) gaps_[offset + bytes] = size - bytes;
  free_bytes_ -= bytes;
}

bool ExtentKv::allocate(std::int64_t id, std::int64_t tokens) {
  require_at_least_one(tokens, "tokens");
  if (ranges_.count(id) > 0) known(id);
  const std::int64_t bytes = bytes_for(tokens);
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                                [bytes](const auto& g) { return g.second >= bytes; });
  if (gap == gaps_.end()) return false;
  ranges_[id] = {gap->first, bytes};
  take(gap, bytes);
  return true;
}

bool ExtentKv::grow(std::int64_t id, std::int64_t tokens) {
  const Range& range = find(id);
  const std::int64_t more = bytes_for(tokens) - range.bytes;
  require_more(more, 0);
  if (more == 0) return true;
  const auto gap = gaps_.find(range.offset + range.bytes);
  if (gap == gaps_.end() || gap->second < more) return false;
  take(gap, more);
  ranges_.at(id).bytes += more;
  return true;
}

void ExtentKv::free(std::int64_t id) {
  Range range = find(id);
  ranges_.erase(id);
  free_bytes_ += range.bytes;
  auto after = gaps_.lower_bound(range.offset);
  if (after != gaps_.end() && after->first == range.offset + range.bytes) {
    range.bytes += after->second;
    after = gaps_.erase(after);
  }
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == range.offset) {
      before->second += range.bytes;
      return;
    }
  }
  gaps_[range.offset] = range.bytes;
}

const ExtentKv::Range& ExtentKv::find(std::int64_t id) const {
  const auto place = ranges_.find(id);
  if (place == ranges_.end()) unknown(id);
  return place->second;
}

std::int64_t ExtentKv::offset(std::int64_t id) const { return find(id).offset; }

std::int64_t ExtentKv::largest_gap_bytes() const {
  std::int64_t largest = 0;
  for (const auto& [offset, bytes] : gaps_) largest = std::max(largest, bytes);
  return largest;
}

double ExtentKv::fragmentation() const {
  if (free_bytes_ == 0) return 0;
  return 1 - static_cast<double>(largest_gap_bytes()) / static_cast<double>(free_bytes_);
}

PaddedKv::PaddedKv(std::vector<std::int64_t> tokens) : tokens_(std::move(tokens)) {
  for (const std::int64_t row : tokens_) {
    require_at_least_one(row, "tokens");
    longest_ = std::max(longest_, row);
    filled_tokens_ += row;
  }
}

void PaddedKv::grow(std::size_t row, std::int64_t tokens) {
  std::int64_t& held = tokens_.at(row);
  if (held == 0) unknown(static_cast<std::int64_t>(row));
  require_more(tokens, held);
  filled_tokens_ += tokens - held;
  held = tokens;
  longest_ = std::max(longest_, tokens);
}

void PaddedKv::free(std::size_t row) {
  std::int64_t& held = tokens_.at(row);
  if (held == 0) unknown(static_cast<std::int64_t>(row));
  filled_tokens_ -= held;
  held = 0;
}

double PaddedKv::fragmentation() const {
  if (held_tokens() == 0) return 0;
  return 1 - static_cast<double>(filled_tokens_) / static_cast<double>(held_tokens());
}

}  // namespace warpgroup
