#include "warpgroup/staging/attention_schedule.hpp"

#include <algorithm>
#include <utility>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

namespace {

// Part sizes that are tried, in hundredths of a CTA's fair share.
constexpr std::int64_t kShares[] = {50, 70, 100, 115, 135};
// The smallest size of a part, and the number that each size is a multiple of; in tokens.
constexpr std::int64_t kSmallest = 64;
constexpr std::int64_t kGrain = 16;
// The fixed cost of a part, in tokens: about 3 microseconds on an H200.
constexpr std::int64_t kOverhead = 90;

}  // namespace

void AttentionSchedule::schedule(const std::vector<AttentionTile>& tiles, std::int64_t ctas) {
  tiles_ = tiles;
  best_ = {};
  std::int64_t total = 0;
  for (const AttentionTile& tile : tiles_) total += tile.seen;
  for (const std::int64_t share : kShares) {
    split(std::max(ceil_div(total * share, 100 * ctas), kSmallest), tried_);
    order_longest_first(tried_);
    assign(ctas, tried_);
    if (best_.order.empty() || tried_.longest < best_.longest) std::swap(best_, tried_);
  }
}

// Splits each tile's cache into about equal parts of about `size` tokens at most.
void AttentionSchedule::split(std::int64_t size, Candidate& candidate) const {
  candidate.parts.clear();
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    const std::int64_t seen = tiles_[i].seen;
    const std::int64_t each = round_up(ceil_div(seen, ceil_div(seen, size)), kGrain);
    for (std::int64_t start = 0; start < seen; start += each)
      candidate.parts.push_back({static_cast<std::int32_t>(i), static_cast<std::int32_t>(start),
                                 static_cast<std::int32_t>(std::min(start + each, seen))});
  }
}

// A counting sort by decreasing length. Lengths are compared in units of `kGrain` tokens.
void AttentionSchedule::order_longest_first(Candidate& candidate) {
  const auto& parts = candidate.parts;
  std::int64_t largest = 0;
  for (const Part& part : parts) largest = std::max(largest, part.length());
  const std::int64_t top = ceil_div(largest, kGrain);
  const auto bucket = [&](const Part& part) {
    return static_cast<std::size_t>(top - ceil_div(part.length(), kGrain));
  };
  buckets_.assign(static_cast<std::size_t>(top) + 1, 0);
  for (const Part& part : parts) ++buckets_[bucket(part)];
  std::int32_t before = 0;
  for (std::int32_t& count : buckets_) count = std::exchange(before, before + count);
  candidate.order.resize(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i)
    candidate.order[static_cast<std::size_t>(buckets_[bucket(parts[i])]++)] =
        static_cast<std::int32_t>(i);
}

// Reverses every other round of the order, and adds up each CTA's load.
void AttentionSchedule::assign(std::int64_t ctas, Candidate& candidate) {
  const auto rounds = static_cast<std::int64_t>(candidate.parts.size()) / ctas;
  for (std::int64_t round = rounds - 1; round >= 0; round -= 2) {
    const auto first = candidate.order.begin() + round * ctas;
    std::reverse(first, first + ctas);
  }
  loads_.assign(static_cast<std::size_t>(ctas), 0);
  std::size_t cta = 0;
  for (const std::int32_t part : candidate.order) {
    loads_[cta] += candidate.parts[static_cast<std::size_t>(part)].length() + kOverhead;
    if (++cta == loads_.size()) cta = 0;
  }
  candidate.longest = *std::max_element(loads_.begin(), loads_.end());
}

std::int64_t AttentionSchedule::write(std::int32_t* items, std::int32_t* edges,
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
