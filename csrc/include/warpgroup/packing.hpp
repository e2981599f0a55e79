#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace warpgroup {

struct Packing {
  std::vector<std::int32_t> bin_of;  // bin of each item, in the order of the input
  std::int32_t num_bins = 0;
};

// Packs items into as few bins of `capacity` as the heuristic finds.
//
// algorithm: "next-fit" (looks at the last bin only), "first-fit" (leftmost bin with room, in the
// given order), "ffd" (first-fit by decreasing size, ties in the given order; at most
// 11/9 OPT + 6/9 bins, Dosa 2007). O(n log n).
// Throws std::invalid_argument naming the first item that is negative or larger than the capacity.
Packing pack(const std::int64_t* sizes, std::size_t count, std::int64_t capacity,
             const std::string& algorithm);

}  // namespace warpgroup
