#include "warpgroup/staging/attention_cut.hpp"

#include <algorithm>
#include <utility>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

namespace {

// Sizes of parts that are tried, in hundredths of a hand's fair share.
constexpr std::int64_t kShares[] = {50, 70, 100, 115, 135};
// Of parts: their least size, and what they are multiples of.
constexpr std::int64_t kSmallest = 64;
constexpr std::int64_t kGrain = 16;
// What a part costs beside its tokens, in tokens: about 3 microseconds on an H200.
constexpr std::int64_t kOverhead = 90;

}  // namespace

void AttentionCut::cut(const std::vector<AttentionTile>& tiles, std::int64_t hands) {
  tiles_ = tiles;
  best_ = {};
  std::int64_t total = 0;
  for (const AttentionTile& tile : tiles_) total += tile.seen;
  for (const std::int64_t share : kShares) {
    divide(std::max(ceil_div(total * share, 100 * hands), kSmallest), tried_);
    deal(hands, tried_);
    if (best_.order.empty() || tried_.longest < best_.longest) std::swap(best_, tried_);
  }
}

// Parts of up to about `size` tokens, those of a tile about equal.
void AttentionCut::divide(std::int64_t size, Candidate& into) const {
  into.parts.clear();
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    const std::int64_t seen = tiles_[i].seen;
    const std::int64_t each = round_up(ceil_div(seen, ceil_div(seen, size)), kGrain);
    for (std::int64_t start = 0; start < seen; start += each)
      into.parts.push_back({static_cast<std::int32_t>(i), static_cast<std::int32_t>(start),
                            static_cast<std::int32_t>(std::min(start + each, seen))});
  }
}

// Sorts by length, to `kGrain` tokens, the longest first, and turns every other round.
void AttentionCut::deal(std::int64_t hands, Candidate& candidate) {
  const auto& parts = candidate.parts;
  const auto length = [&](std::size_t part) {
    return static_cast<std::int64_t>(parts[part].stop - parts[part].start);
  };
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) largest = std::max(largest, length(i));
  const std::int64_t top = ceil_div(largest, kGrain);
  const auto bucket = [&](std::size_t part) {
    return static_cast<std::size_t>(top - ceil_div(length(part), kGrain));
  };
  buckets_.assign(static_cast<std::size_t>(top) + 1, 0);
  for (std::size_t i = 0; i < parts.size(); ++i) ++buckets_[bucket(i)];
  std::int32_t before = 0;
  for (std::int32_t& count : buckets_) count = std::exchange(before, before + count);
  candidate.order.resize(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i)
    candidate.order[static_cast<std::size_t>(buckets_[bucket(i)]++)] = static_cast<std::int32_t>(i);

  const auto rounds = static_cast<std::int64_t>(parts.size()) / hands;
  for (std::int64_t round = rounds - 1; round >= 0; round -= 2) {
    const auto first = candidate.order.begin() + round * hands;
    std::reverse(first, first + hands);
  }
  loads_.assign(static_cast<std::size_t>(hands), 0);
  std::size_t hand = 0;
  for (const std::int32_t part : candidate.order) {
    loads_[hand] += length(static_cast<std::size_t>(part)) + kOverhead;
    if (++hand == loads_.size()) hand = 0;
  }
  candidate.longest = *std::max_element(loads_.begin(), loads_.end());
}

std::int64_t AttentionCut::write(std::int32_t* items, std::int32_t* edges,
                                 std::int64_t most_tiles) const {
  const auto count = static_cast<std::int64_t>(best_.order.size());
  std::int64_t tile = 0;
  for (std::int64_t part = 0; part < count; ++part)
    for (; tile <= best_.parts[static_cast<std::size_t>(part)].tile; ++tile)
      edges[tile] = static_cast<std::int32_t>(part);
  for (; tile <= most_tiles; ++tile) edges[tile] = static_cast<std::int32_t>(count);
  for (const std::int32_t place : best_.order) {
    const Part& part = best_.parts[static_cast<std::size_t>(place)];
    const AttentionTile& of = tiles_[static_cast<std::size_t>(part.tile)];
    *items++ = of.first;
    *items++ = of.queries;
    *items++ = of.position;
    *items++ = of.table;
    *items++ = part.start;
    *items++ = part.stop;
    *items++ = part.tile;
    *items++ = edges[part.tile + 1] - edges[part.tile];
    *items++ = place;
  }
  return count;
}

}  // namespace warpgroup
