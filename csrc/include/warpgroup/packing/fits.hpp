#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "warpgroup/packing/free_space.hpp"

// The rules by which an item gets its bin. Each has
//   place(size, count, bins)  puts `count` equal items where they would go one by one, and writes
//                             their bins; a run of equal items costs one search for each bin
//   take_out(bin, size)       gives room back
//   room(bin), num_bins()
namespace warpgroup {

// How many of `count` items of this size fit into a room that holds at least one.
inline std::int64_t fitting(std::int64_t room, std::int64_t size, std::int64_t count) {
  return count == 1 || size == 0 ? count : std::min(count, room / size);
}

class NextFit {
 public:
  explicit NextFit(std::int64_t capacity) : capacity_(capacity) {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size) {
    room_[static_cast<std::size_t>(bin)] += size;
  }
  std::int64_t room(std::int32_t bin) const { return room_[static_cast<std::size_t>(bin)]; }
  std::int64_t num_bins() const { return static_cast<std::int64_t>(room_.size()); }

 private:
  std::int64_t capacity_;
  std::vector<std::int64_t> room_;
};

// A tournament tree over the bins' rooms: each node knows the most room below it.
class FirstFit {
 public:
  explicit FirstFit(std::int64_t capacity) : capacity_(capacity), most_{0, capacity} {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size);
  std::int64_t room(std::int32_t bin) const {
    return most_[leaves_ + static_cast<std::size_t>(bin)];
  }
  std::int64_t num_bins() const { return num_bins_; }

 private:
  std::size_t leftmost_below(std::size_t node, std::int64_t size) const;
  std::size_t next_with(std::size_t leaf, std::int64_t size);
  void set(std::size_t leaf, std::int64_t room);
  void double_the_leaves();

  std::int64_t capacity_;
  std::size_t leaves_ = 1;
  std::vector<std::int64_t> most_;  // a heap: children of i at 2i and 2i + 1, leaves at the end
  std::int64_t num_bins_ = 0;
};

// Best fit takes the least room that suffices, worst fit the most there is.
enum class ByRoom { kBest, kWorst };

template <ByRoom rule, class Rooms>
class RoomFit {
 public:
  explicit RoomFit(std::int64_t capacity) : capacity_(capacity), rooms_(capacity) {}
  void place(std::int64_t size, std::int64_t count, std::int32_t* bins);
  void take_out(std::int32_t bin, std::int64_t size) {
    change_room(bin, room(bin), room(bin) + size);
  }
  std::int64_t room(std::int32_t bin) const { return room_[static_cast<std::size_t>(bin)]; }
  std::int64_t num_bins() const { return static_cast<std::int64_t>(room_.size()); }

 private:
  void change_room(std::int32_t bin, std::int64_t from, std::int64_t to);

  std::int64_t capacity_;
  std::vector<std::int64_t> room_;
  Rooms rooms_;
};

inline void NextFit::place(std::int64_t size, std::int64_t count, std::int32_t* bins) {
  while (count > 0) {
    if (room_.empty() || room_.back() < size) room_.push_back(capacity_);
    const std::int64_t taken = fitting(room_.back(), size, count);
    room_.back() -= taken * size;
    bins = std::fill_n(bins, taken, static_cast<std::int32_t>(room_.size() - 1));
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

// The first leaf to the right with that much room: up from the leaf, not down from the root.
inline std::size_t FirstFit::next_with(std::size_t leaf, std::int64_t size) {
  for (std::size_t node = leaf; node > 1; node /= 2) {
    const bool is_left = node % 2 == 0;
    if (is_left && most_[node + 1] >= size) return leftmost_below(node + 1, size);
  }
  const std::size_t bin = leaves_;  // the first of the leaves that doubling adds
  double_the_leaves();
  return leaves_ + bin;
}

inline void FirstFit::set(std::size_t leaf, std::int64_t room) {
  most_[leaf] = room;
  for (std::size_t node = leaf / 2; node >= 1; node /= 2) {
    const std::int64_t most = std::max(most_[2 * node], most_[2 * node + 1]);
    if (most_[node] == most) return;
    most_[node] = most;
  }
}

inline void FirstFit::double_the_leaves() {
  std::vector<std::int64_t> most(4 * leaves_, capacity_);
  for (std::size_t row = 1; row <= leaves_; row *= 2) {  // the old tree is the new one's left half
    std::copy_n(most_.begin() + static_cast<std::ptrdiff_t>(row), row,
                most.begin() + static_cast<std::ptrdiff_t>(2 * row));
  }
  most_ = std::move(most);
  leaves_ *= 2;
}

template <ByRoom rule, class Rooms>
void RoomFit<rule, Rooms>::place(std::int64_t size, std::int64_t count, std::int32_t* bins) {
  while (count > 0) {
    std::int64_t room = rule == ByRoom::kBest ? rooms_.at_least(size) : rooms_.largest();
    if (room < size) {
      rooms_.add(capacity_, static_cast<std::int32_t>(room_.size()));
      room_.push_back(capacity_);
      room = capacity_;
    }
    const std::int32_t bin = rooms_.first(room);
    // The best bin stays the best while it has room; the roomiest may cease to be that at once.
    const std::int64_t taken = rule == ByRoom::kBest ? fitting(room, size, count) : 1;
    change_room(bin, room, room - taken * size);
    bins = std::fill_n(bins, taken, bin);
    count -= taken;
  }
}

template <ByRoom rule, class Rooms>
void RoomFit<rule, Rooms>::change_room(std::int32_t bin, std::int64_t from, std::int64_t to) {
  rooms_.remove(from, bin);
  room_[static_cast<std::size_t>(bin)] = to;
  rooms_.add(to, bin);
}

}  // namespace warpgroup
