#include "warpgroup/packing.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace warpgroup {

namespace {

// A tournament tree over the room left in each bin: the leftmost bin with enough room in O(log n).
class RoomTree {
 public:
  RoomTree(std::size_t bins, std::int64_t capacity) {
    while (leaves_ < bins) leaves_ *= 2;
    room_.assign(2 * leaves_, capacity);
  }

  std::size_t leftmost_with(std::int64_t size) const {
    std::size_t node = 1;
    while (node < leaves_) node = room_[2 * node] >= size ? 2 * node : 2 * node + 1;
    return node - leaves_;
  }

  void take(std::size_t bin, std::int64_t size) {
    std::size_t node = bin + leaves_;
    room_[node] -= size;
    for (node /= 2; node >= 1; node /= 2) {
      const std::int64_t most = std::max(room_[2 * node], room_[2 * node + 1]);
      if (room_[node] == most) break;
      room_[node] = most;
    }
  }

 private:
  std::size_t leaves_ = 1;
  std::vector<std::int64_t> room_;
};

void check(const std::int64_t* sizes, std::size_t count, std::int64_t capacity) {
  if (capacity < 1) {
    throw std::invalid_argument("capacity is " + std::to_string(capacity) +
                                ", expected at least 1");
  }
  if (count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw std::invalid_argument("too many items: bins are numbered in 32 bits");
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (sizes[i] < 0 || sizes[i] > capacity) {
      throw std::invalid_argument("item " + std::to_string(i) + " has size " +
                                  std::to_string(sizes[i]) + ", expected 0 to the capacity, " +
                                  std::to_string(capacity));
    }
  }
}

std::vector<std::size_t> in_given_order(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Packing first_fit(const std::int64_t* sizes, const std::vector<std::size_t>& order,
                  std::int64_t capacity) {
  Packing packing;
  packing.bin_of.resize(order.size());
  RoomTree rooms(std::max<std::size_t>(order.size(), 1), capacity);
  for (const std::size_t item : order) {
    const std::size_t bin = rooms.leftmost_with(sizes[item]);
    rooms.take(bin, sizes[item]);
    packing.bin_of[item] = static_cast<std::int32_t>(bin);
    packing.num_bins = std::max(packing.num_bins, packing.bin_of[item] + 1);
  }
  return packing;
}

Packing next_fit(const std::int64_t* sizes, std::size_t count, std::int64_t capacity) {
  Packing packing;
  packing.bin_of.reserve(count);
  std::int64_t room = -1;
  for (std::size_t item = 0; item < count; ++item) {
    if (sizes[item] > room) {
      room = capacity;
      ++packing.num_bins;
    }
    room -= sizes[item];
    packing.bin_of.push_back(packing.num_bins - 1);
  }
  return packing;
}

}  // namespace

Packing pack(const std::int64_t* sizes, std::size_t count, std::int64_t capacity,
             const std::string& algorithm) {
  check(sizes, count, capacity);
  if (algorithm == "next-fit") return next_fit(sizes, count, capacity);
  std::vector<std::size_t> order = in_given_order(count);
  if (algorithm == "first-fit") return first_fit(sizes, order, capacity);
  if (algorithm == "ffd") {
    std::stable_sort(order.begin(), order.end(),
                     [sizes](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
    return first_fit(sizes, order, capacity);
  }
  throw std::invalid_argument("unknown packing algorithm '" + algorithm +
                              "': known are next-fit, first-fit, ffd");
}

}  // namespace warpgroup
