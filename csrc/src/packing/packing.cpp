#include "warpgroup/packing/packing.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "warpgroup/memory/memory.hpp"
#include "warpgroup/packing/fits.hpp"

namespace warpgroup {

namespace {

// A run of items of equal size.
struct Run {
  std::int64_t size;
  std::int64_t count;
};

// The items by decreasing size, as runs, and the map from that order back to the input's order.
struct Decreasing {
  std::vector<Run> runs;
  std::vector<std::uint32_t> item_at;     // sorted place -> item; empty if the sizes were counted
  std::vector<std::uint32_t> next_place;  // size -> its first sorted place; empty otherwise
};

[[noreturn]] void refuse(std::size_t item, const std::string& size, std::int64_t capacity) {
  throw std::invalid_argument("item " + std::to_string(item) + " has size " + size +
                              ", expected 0 to the capacity, " + std::to_string(capacity));
}

// The size of an item, checked. The conversion to unsigned makes negative sizes huge, so that one
// comparison finds both errors.
template <class Size>
std::size_t size_of(const Size* sizes, std::size_t item, std::int64_t capacity) {
  const auto size = static_cast<std::uint64_t>(sizes[item]);
  if (size > static_cast<std::uint64_t>(capacity)) {
    refuse(item, std::to_string(sizes[item]), capacity);
  }
  return static_cast<std::size_t>(size);
}

// A counting sort: faster than comparisons while there are not many more sizes than items.
template <class Size>
Decreasing counted(const Size* sizes, std::size_t count, std::int64_t capacity) {
  Decreasing order;
  order.next_place.assign(static_cast<std::size_t>(capacity) + 1, 0);
  for (std::size_t i = 0; i < count; ++i) ++order.next_place[size_of(sizes, i, capacity)];
  std::uint32_t place = 0;
  for (std::size_t size = order.next_place.size(); size-- > 0;) {
    const std::uint32_t of_this_size = order.next_place[size];
    order.next_place[size] = place;
    place += of_this_size;
    if (of_this_size > 0) order.runs.push_back({static_cast<std::int64_t>(size), of_this_size});
  }
  return order;
}

template <class Size>
Decreasing sorted(const Size* sizes, std::size_t count, std::int64_t capacity) {
  struct Item {
    std::size_t size;
    std::uint32_t index;
  };
  std::vector<Item> items(count);
  for (std::size_t i = 0; i < count; ++i) {
    items[i] = {size_of(sizes, i, capacity), static_cast<std::uint32_t>(i)};
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.size != b.size ? a.size > b.size : a.index < b.index;
  });
  Decreasing order;
  order.item_at.reserve(count);
  for (const Item& item : items) {
    const auto size = static_cast<std::int64_t>(item.size);
    if (order.runs.empty() || order.runs.back().size != size) order.runs.push_back({size, 0});
    ++order.runs.back().count;
    order.item_at.push_back(item.index);
  }
  return order;
}

// L2 of Martello and Toth (1990): for a threshold k, items above C - k share a bin with none that
// is at least k, and no two items above C / 2 share one; what the smaller ones (at least k) need
// beyond the space left beside those is spread over whole bins. The best k is the size of an item.
std::int64_t lower_bound_l2(const std::vector<Run>& runs, std::int64_t capacity) {
  std::int64_t large_count = 0;  // above C / 2: a bin each
  std::size_t small = 0;         // the first run at or below C / 2
  for (; small < runs.size() && 2 * runs[small].size > capacity; ++small) {
    large_count += runs[small].count;
  }
  std::int64_t bound = large_count;
  std::int64_t free = 0;       // space beside the large items that can share with an item of size k
  std::int64_t small_sum = 0;  // of items from k to C / 2
  std::size_t sharing = small;  // the first of the runs that can share
  for (std::size_t i = small; i < runs.size(); ++i) {
    const std::int64_t k = runs[i].size;
    small_sum += runs[i].size * runs[i].count;
    // As k falls, more of the large items can share.
    while (sharing > 0 && runs[sharing - 1].size <= capacity - k) {
      --sharing;
      free += (capacity - runs[sharing].size) * runs[sharing].count;
    }
    if (small_sum > free) {
      bound = std::max(bound, large_count + ceil_div(small_sum - free, capacity));
    }
  }
  return bound;
}

template <class Rule, class Size>
void pack_in_order(Rule&& rule, const Size* sizes, std::size_t count, Packing& packing) {
  for (std::size_t i = 0; i < count; ++i) {
    rule.place(static_cast<std::int64_t>(sizes[i]), 1, &packing.bin_of[i]);
  }
  packing.num_bins = rule.num_bins();
}

template <class Rule, class Size>
void pack_decreasing(Rule&& rule, const Size* sizes, Decreasing& order, Packing& packing) {
  std::vector<std::int32_t> bin_at(packing.bin_of.size());  // in sorted order: sequential writes
  std::int32_t* bins = bin_at.data();
  for (const Run& run : order.runs) {
    rule.place(run.size, run.count, bins);
    bins += run.count;
  }
  packing.num_bins = rule.num_bins();
  if (order.next_place.empty()) {
    for (std::size_t at = 0; at < bin_at.size(); ++at) {
      packing.bin_of[order.item_at[at]] = bin_at[at];
    }
    return;
  }
  for (std::size_t i = 0; i < bin_at.size(); ++i) {
    packing.bin_of[i] = bin_at[order.next_place[static_cast<std::size_t>(sizes[i])]++];
  }
}

}  // namespace

const std::vector<std::string>& packing_algorithms() {
  static const std::vector<std::string> names{"next-fit", "first-fit", "best-fit", "worst-fit",
                                              "nfd",      "ffd",       "bfd",      "wfd"};
  return names;
}

template <class Size>
Packing pack(const Size* sizes, std::size_t count, std::int64_t capacity,
             const std::string& algorithm) {
  const auto& names = packing_algorithms();
  const auto name = std::find(names.begin(), names.end(), algorithm);
  if (name == names.end()) {
    std::string known;
    for (const std::string& other : names) known += (known.empty() ? "" : ", ") + other;
    throw std::invalid_argument("unknown packing algorithm '" + algorithm + "': known are " +
                                known);
  }
  if (capacity < 1) {
    throw std::invalid_argument("capacity is " + std::to_string(capacity) +
                                ", expected at least 1");
  }
  if (count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw std::invalid_argument("more than 2^31 - 1 items: bin numbers have 32 bits");
  }
  if (capacity >
      std::numeric_limits<std::int64_t>::max() / 2 / static_cast<std::int64_t>(count + 1)) {
    throw std::invalid_argument("the sum of " + std::to_string(count) + " items of up to " +
                                std::to_string(capacity) + " does not fit into 64 bits");
  }

  const bool few_sizes = static_cast<std::size_t>(capacity) / 4 < count;
  Decreasing order = few_sizes ? counted(sizes, count, capacity) : sorted(sizes, count, capacity);
  Packing packing;
  packing.lower_bound = lower_bound_l2(order.runs, capacity);
  packing.bin_of.resize(count);

  const auto index = name - names.begin();
  const auto pack_by = [&](auto&& rule) {
    if (index < 4) {
      pack_in_order(rule, sizes, count, packing);
    } else {
      pack_decreasing(rule, sizes, order, packing);
    }
  };
  const bool dense = capacity <= DenseFreeSpace::kMaxCapacity;
  switch (index % 4) {
    case 0:
      pack_by(NextFit(capacity));
      break;
    case 1:
      pack_by(FirstFit(capacity));
      break;
    case 2:
      if (dense) {
        pack_by(FreeSpaceFit<Prefer::kLeast, DenseFreeSpace>(capacity));
      } else {
        pack_by(FreeSpaceFit<Prefer::kLeast, SparseFreeSpace>(capacity));
      }
      break;
    default:
      if (dense) {
        pack_by(FreeSpaceFit<Prefer::kMost, DenseFreeSpace>(capacity));
      } else {
        pack_by(FreeSpaceFit<Prefer::kMost, SparseFreeSpace>(capacity));
      }
  }
  return packing;
}

#define WARPGROUP_PACK(Size) \
  template Packing pack<Size>(const Size*, std::size_t, std::int64_t, const std::string&)
WARPGROUP_PACK(std::int8_t);
WARPGROUP_PACK(std::uint8_t);
WARPGROUP_PACK(std::int16_t);
WARPGROUP_PACK(std::uint16_t);
WARPGROUP_PACK(std::int32_t);
WARPGROUP_PACK(std::uint32_t);
WARPGROUP_PACK(std::int64_t);
WARPGROUP_PACK(std::uint64_t);
#undef WARPGROUP_PACK

}  // namespace warpgroup
