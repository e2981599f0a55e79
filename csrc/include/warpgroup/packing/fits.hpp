#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "warpgroup/packing/free_space.hpp"

// The rules that choose a bin for an item. Each rule has
//   place(size, count, bins)  places `count` equal items as if one by one, and writes their bins;
//                             a run of equal items costs one search for each bin
//   take_out(bin, size)       frees the space of an item
//   free_space(bin)           capacity that is left in a bin
//   num_bins()                bins opened so far, empty ones included
namespace warpgroup {

// How many of `count` items of this size fit into `free`, which holds at least one.
inline std::int64_t fitting(std::int64_t free, std::int64_t size, std::int64_t count) {
  return count == 1 || size == 0 ? count : std::min(count, free / size);
}

class NextFit {
 public:
  explicit NextFit(std::int64_t capacity) : capacity_(capacity) {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size) {
    free_[static_cast<std::size_t>(bin)] += size;
  }
  std::int64_t free_space(std::int32_t bin) const { return free_[static_cast<std::size_t>(bin)]; }
  std::int64_t num_bins() const { return static_cast<std::int64_t>(free_.size()); }

 private:
  std::int64_t capacity_;
  std::vector<std::int64_t> free_;
};

// A tournament tree over the bins: each node holds the most free space of the bins below it.
class FirstFit {
 public:
  explicit FirstFit(std::int64_t capacity) : capacity_(capacity), most_{0, capacity} {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size);
  std::int64_t free_space(std::int32_t bin) const {
    return most_[leaves_ + static_cast<std::size_t>(bin)];
  }
  std::int64_t num_bins() const { return num_bins_; }

 private:
  std::size_t leftmost_below(std::size_t node, std::int64_t size) const;
  std::size_t next_with(std::size_t leaf, std::int64_t size);
  void set(std::size_t leaf, std::int64_t free);
  void double_the_leaves();

  std::int64_t capacity_;
  std::size_t leaves_ = 1;
  std::vector<std::int64_t> most_;  // a heap: children of i at 2i and 2i + 1, leaves at the end
  std::int64_t num_bins_ = 0;
};

// Best fit prefers the least free space that suffices, worst fit the most free space.
enum class Prefer { kLeast, kMost };

template <Prefer preference, class Index>
class FreeSpaceFit {
 public:
  explicit FreeSpaceFit(std::int64_t capacity) : capacity_(capacity), index_(capacity) {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size) {
    set_free(bin, free_space(bin), free_space(bin) + size);
  }
  std::int64_t free_space(std::int32_t bin) const { return free_[static_cast<std::size_t>(bin)]; }
  std::int64_t num_bins() const { return static_cast<std::int64_t>(free_.size()); }

 private:
  void set_free(std::int32_t bin, std::int64_t from, std::int64_t to);

  std::int64_t capacity_;
  std::vector<std::int64_t> free_;
  Index index_;
};

inline void NextFit::place(std::int64_t size, std::int64_t count, std::int32_t* bins) {
  while (count > 0) {
    if (free_.empty() || free_.back() < size) free_.push_back(capacity_);
    const std::int64_t taken = fitting(free_.back(), size, count);
    free_.back() -= taken * size;
    bins = std::fill_n(bins, taken, static_cast<std::int32_t>(free_.size() - 1));
    count -= taken;
  }
}

inline void FirstFit::place(std::int64_t size, std::int64_t count, std::int32_t* bins) {
  while (most_[1] < size) double_the_leaves();
  std::size_t leaf = leftmost_below(1, size);
  while (true) {
    const std::int64_t taken = fitting(most_[leaf], size, count);
    set(leaf, most_[leaf] - taken * size);
    const auto bin = static_cast<std::int32_t>(leaf - leaves_);
    num_bins_ = std::max<std::int64_t>(num_bins_, bin + 1);
    bins = std::fill_n(bins, taken, bin);
    count -= taken;
    if (count == 0) return;
    leaf = next_with(leaf, size);
  }
}

inline void FirstFit::take_out(std::int32_t bin, std::int64_t size) {
  const std::size_t leaf = leaves_ + static_cast<std::size_t>(bin);
  set(leaf, most_[leaf] + size);
}

inline std::size_t FirstFit::leftmost_below(std::size_t node, std::int64_t size) const {
  while (node < leaves_) node = most_[2 * node] >= size ? 2 * node : 2 * node + 1;
  return node;
}

// The first leaf to the right with enough free space. The search goes up from the leaf, since the
// next bin is usually near; a search from the root would visit all levels.
inline std::size_t FirstFit::next_with(std::size_t leaf, std::int64_t size) {
  for (std::size_t node = leaf; node > 1; node /= 2) {
    const bool is_left = node % 2 == 0;
    if (is_left && most_[node + 1] >= size) return leftmost_below(node + 1, size);
  }
  const std::size_t bin = leaves_;  // the first leaf that doubling adds
  double_the_leaves();
  return leaves_ + bin;
}

inline void FirstFit::set(std::size_t leaf, std::int64_t free) {
  most_[leaf] = free;
  for (std::size_t node = leaf / 2; node >= 1; node /= 2) {
    const std::int64_t most = std::max(most_[2 * node], most_[2 * node + 1]);
    if (most_[node] == most) return;
    most_[node] = most;
  }
}

inline void FirstFit::double_the_leaves() {
  std::vector<std::int64_t> most(4 * leaves_, capacity_);
  // The old tree becomes the left half of the new one.
  for (std::size_t row = 1; row <= leaves_; row *= 2) {
    std::copy_n(most_.begin() + static_cast<std::ptrdiff_t>(row), row,
                most.begin() + static_cast<std::ptrdiff_t>(2 * row));
  }
  most_ = std::move(most);
  leaves_ *= 2;
}

template <Prefer preference, class Index>
void FreeSpaceFit<preference, Index>::place(std::int64_t size, std::int64_t count,
                                            std::int32_t* bins) {
  while (count > 0) {
    std::int64_t free = preference == Prefer::kLeast ? index_.at_least(size) : index_.largest();
    if (free < size) {
      index_.add(capacity_, static_cast<std::int32_t>(free_.size()));
      free_.push_back(capacity_);
      free = capacity_;
    }
    const std::int32_t bin = index_.first(free);
    // The best-fit bin stays the best while the item fits. The emptiest bin may change at each
    // item.
    const std::int64_t taken = preference == Prefer::kLeast ? fitting(free, size, count) : 1;
    set_free(bin, free, free - taken * size);
    bins = std::fill_n(bins, taken, bin);
    count -= taken;
  }
}

template <Prefer preference, class Index>
void FreeSpaceFit<preference, Index>::set_free(std::int32_t bin, std::int64_t from,
                                               std::int64_t to) {
  index_.remove(from, bin);
  free_[static_cast<std::size_t>(bin)] = to;
  index_.add(to, bin);
}

}  // namespace warpgroup
