#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace warpgroup {

struct Packing {
  std::vector<std::int32_t> bin_of;  // bin of each item, in the order of the input
  std::int64_t num_bins = 0;
  std::int64_t lower_bound = 0;  // no packing has fewer bins: L2 of Martello and Toth (1990)
};

// Names of the algorithms of pack(), the online ones first.
const std::vector<std::string>& packing_algorithms();

// Packs items into bins of `capacity` by a heuristic for few bins.
//
// Online, items taken in the given order: "next-fit" (looks at the last bin only), "first-fit"
// (leftmost bin with enough space), "best-fit" (least space that suffices), "worst-fit" (most
// space). Of bins with equal space, best and worst fit take the one that changed last. Offline, by
// decreasing size with ties in the given order: "nfd", "ffd", "bfd", "wfd".
// FFD and BFD use at most 11/9 OPT + 6/9 bins (Dosa, ESCAPE 2007, for FFD).
//
// O(n + capacity) if the capacity is below 4 n, O(n log n) otherwise. `Size` is any integer type.
// Throws std::invalid_argument naming the first item that is negative or larger than the capacity.
template <class Size>
Packing pack(const Size* sizes, std::size_t count, std::int64_t capacity,
             const std::string& algorithm);

}  // namespace warpgroup
