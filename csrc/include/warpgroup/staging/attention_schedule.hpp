#pragma once

#include <cstdint>
#include <vector>

namespace warpgroup {

// Query tokens of one request that one CTA (thread block) of an attention kernel computes together.
struct AttentionTile {
  std::int32_t first;     // first query, as an index into the step's tokens
  std::int32_t queries;   // number of queries
  std::int32_t position;  // position of the first query in its request
  std::int32_t table;     // row of the block table
  std::int32_t seen;      // cached tokens that the last query attends to
};

// The split-KV schedule of a step's attention: how each tile's cache is split into parts, and which
// CTA computes which part. With `ctas` CTAs, CTA c takes the parts at places c, c + ctas, c + 2 *
// ctas, ... of the order. A step's attention takes as long as its most loaded CTA.
//
// Several part sizes are tried, from 0.5 fair shares of a CTA (good for many tiles: small parts
// even out) to 1.35 shares (good for few tiles: one part each, so that no CTA is left with a
// remainder). The size whose most loaded CTA has the least load is taken. The longest parts are
// scheduled first. Every other round runs in reverse order: a CTA that gets a part of the short
// last round had a short part in the round before.
class AttentionSchedule {
 public:
  // Integers of an item: the tile's first four fields; where the part of its cache begins and ends;
  // the tile; the tile's number of parts; and the part's index among all parts, where the parts of
  // one tile are neighbours.
  static constexpr std::int64_t kItem = 9;

  // An upper bound of the number of items that `write` makes.
  static std::int64_t most_items(std::int64_t tiles, std::int64_t ctas) {
    return tiles + 2 * ctas + 1;
  }

  // Splits and schedules. Each tile sees at least one token.
  void schedule(const std::vector<AttentionTile>& tiles, std::int64_t ctas);
  // Writes `items` in the scheduled order, and `edges`: the index of each tile's first part, then
  // the number of parts, repeated up to `most_tiles`. Returns the number of items.
  std::int64_t write(std::int32_t* items, std::int32_t* edges, std::int64_t most_tiles) const;

  // Load of the most loaded CTA, in tokens; each part counts its own tokens and a fixed overhead.
  std::int64_t longest() const { return best_.longest; }

 private:
  struct Part {
    std::int32_t tile, start, stop;
    std::int64_t length() const { return stop - start; }
  };
  struct Candidate {
    std::vector<Part> parts;
    std::vector<std::int32_t> order;
    std::int64_t longest = 0;
  };
  void split(std::int64_t size, Candidate& candidate) const;
  void order_longest_first(Candidate& candidate);
  void assign(std::int64_t ctas, Candidate& candidate);

  std::vector<AttentionTile> tiles_;
  Candidate best_, tried_;
  std::vector<std::int32_t> buckets_;
  std::vector<std::int64_t> loads_;
};

}  // namespace warpgroup
