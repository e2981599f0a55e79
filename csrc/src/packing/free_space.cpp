#include "warpgroup/packing/free_space.hpp"

namespace warpgroup {

namespace {

// C++17 has no std::countr_zero; compilers turn each of these into one instruction.
int lowest_bit(std::uint64_t word) { return __builtin_ctzll(word); }
int highest_bit(std::uint64_t word) { return 63 - __builtin_clzll(word); }

}  // namespace

// The `previous` of a list's first bin is not maintained: removing the first bin, which packing
// does most of the time, then touches the memory of no other bin.
void FreeSpaceLists::link(std::int32_t& head, std::int32_t bin) {
  const auto index = static_cast<std::size_t>(bin);
  if (index >= next_.size()) {
    next_.resize(index + 1, kNone);
    previous_.resize(index + 1, kNone);
  }
  next_[index] = head;
  if (head != kNone) previous_[static_cast<std::size_t>(head)] = bin;
  head = bin;
}

void FreeSpaceLists::unlink(std::int32_t& head, std::int32_t bin) {
  const std::int32_t after = next_[static_cast<std::size_t>(bin)];
  if (head == bin) {
    head = after;
    return;
  }
  const std::int32_t before = previous_[static_cast<std::size_t>(bin)];
  next_[static_cast<std::size_t>(before)] = after;
  if (after != kNone) previous_[static_cast<std::size_t>(after)] = before;
}

DenseFreeSpace::DenseFreeSpace(std::int64_t capacity)
    : head_(static_cast<std::size_t>(capacity) + 1, kNone) {
  std::size_t bits = head_.size();
  do {
    bits = (bits + 63) / 64;
    levels_.emplace_back(bits, 0);
  } while (bits > 1);
}

void DenseFreeSpace::add(std::int64_t free, std::int32_t bin) {
  auto position = static_cast<std::size_t>(free);
  link(head_[position], bin);
  for (auto& level : levels_) {
    std::uint64_t& word = level[position / 64];
    const bool known_above = word != 0;
    word |= std::uint64_t{1} << (position % 64);
    if (known_above) return;
    position /= 64;
  }
}

void DenseFreeSpace::remove(std::int64_t free, std::int32_t bin) {
  auto position = static_cast<std::size_t>(free);
  unlink(head_[position], bin);
  if (head_[position] != kNone) return;
  for (auto& level : levels_) {
    std::uint64_t& word = level[position / 64];
    word &= ~(std::uint64_t{1} << (position % 64));
    if (word != 0) return;
    position /= 64;
  }
}

std::int64_t DenseFreeSpace::at_least(std::int64_t size) const {
  auto position = static_cast<std::size_t>(size);
  std::size_t level = 0;
  while (true) {  // up, until a bit is set at or to the right of the position
    if (position / 64 >= levels_[level].size()) return -1;
    const std::uint64_t right = levels_[level][position / 64] >> (position % 64);
    if (right != 0) {
      position += static_cast<std::size_t>(lowest_bit(right));
      break;
    }
    if (++level == levels_.size()) return -1;
    position = position / 64 + 1;
  }
  while (level > 0) {  // down to the leftmost amount below it
    --level;
    position = position * 64 + static_cast<std::size_t>(lowest_bit(levels_[level][position]));
  }
  return static_cast<std::int64_t>(position);
}

std::int64_t DenseFreeSpace::largest() const {
  if (levels_.back()[0] == 0) return -1;
  std::size_t position = 0;
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    position = position * 64 + static_cast<std::size_t>(highest_bit((*level)[position]));
  }
  return static_cast<std::int64_t>(position);
}

void SparseFreeSpace::add(std::int64_t free, std::int32_t bin) {
  link(head_.try_emplace(free, kNone).first->second, bin);
}

void SparseFreeSpace::remove(std::int64_t free, std::int32_t bin) {
  const auto place = head_.find(free);
  unlink(place->second, bin);
  if (place->second == kNone) head_.erase(place);
}

std::int64_t SparseFreeSpace::at_least(std::int64_t size) const {
  const auto place = head_.lower_bound(size);
  return place == head_.end() ? -1 : place->first;
}

std::int64_t SparseFreeSpace::largest() const { return head_.empty() ? -1 : head_.rbegin()->first; }

}  // namespace warpgroup
