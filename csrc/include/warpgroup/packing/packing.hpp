#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace warpgroup {

struct Packing {
  std::vector<std::int32_t> bin_of;  // bin of each item, in the order of the input
  std::int64_t num_bins = 0;
  std::int64_t lower_bound =
      0;  // no packing of these items has fewer bins (Martello and Toth's L2)
};

// Names of the algorithms of pack(), the online ones first.
const std::vector<std::string>& packing_algorithms();

// Packs items into as few bins of `capacity` as the heuristic finds.
//
// Online, items taken in the given order: "next-fit" (looks at the last bin only), "first-fit"
// (leftmost bin with room), "best-fit" (least room that suffices), "worst-fit" (most room); best
// and worst fit take, of bins with equal room, the one that came to that room last. Offline, by
// decreasing size with ties in the given order: "nfd", "ffd", "bfd", "wfd".
// FFD and BFD use at most 11/9 OPT + 6/9 bins (Dosa, ESCAPE 2007, for FFD).
//
// O(n + capacity) if the capacity is below 4 n, O(n log n) otherwise. `Size` is any integer type.
// Throws std::invalid_argument naming the first item that is negative or larger than the capacity.
template <class Size>
Packing pack(const Size* sizes, std::size_t count, std::int64_t capacity,
             const std::string& algorithm);

}  // namespace warpgroup
