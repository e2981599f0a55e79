#pragma once

#include <cstdint>
#include <vector>

namespace warpgroup {

// Queries of one request that one program of an attention kernel takes together.
struct AttentionTile {
  std::int32_t first;     // query, in the step's tokens
  std::int32_t queries;   // that there are
  std::int32_t position;  // of the first one in its request
  std::int32_t table;     // row of the block table
  std::int32_t seen;      // cached tokens that the last query attends to
};

// How tiles' caches are cut into parts, and in which order programs take them: a step's attention
// takes as long as its longest hand. Program h of `hands` takes the parts at h, h + hands, h + 2 *
// hands ... of the order.
//
// Several sizes of parts are tried, from half a hand's fair share (many tiles: parts even out) to
// 1.35 shares (few tiles: one part each, none alone with the rest), and the one whose longest hand
// is the shortest is taken. Parts are dealt longest first, every other round the other way, so that
// who gets one of the last, short round's parts got a short one before.
class AttentionCut {
 public:
  // Integers of an item: the tile's first four, where the part of its cache begins and ends, the
  // tile, its number of parts, and the part's place among all, where those of a tile lie side by
  // side.
  static constexpr std::int64_t kItem = 9;

  // As many items as `write` ever makes.
  static std::int64_t most_items(std::int64_t tiles, std::int64_t hands) {
    return tiles + 2 * hands + 1;
  }

  // Cuts and deals. Tiles see at least one token each.
  void cut(const std::vector<AttentionTile>& tiles, std::int64_t hands);
  // `items` in the order of dealing, and `edges`: at which part each tile begins, and the end;
  // repeated up to `most_tiles`. Returns how many items.
  std::int64_t write(std::int32_t* items, std::int32_t* edges, std::int64_t most_tiles) const;

  // Tokens of the longest hand, with what every part costs beside its own.
  std::int64_t longest() const { return best_.longest; }

 private:
  struct Part {
    std::int32_t tile, start, stop;
  };
  struct Candidate {
    std::vector<Part> parts;
    std::vector<std::int32_t> order;
    std::int64_t longest = 0;
  };
  void divide(std::int64_t size, Candidate& into) const;
  void deal(std::int64_t hands, Candidate& candidate);

  std::vector<AttentionTile> tiles_;
  Candidate best_, tried_;
  std::vector<std::int32_t> buckets_;
  std::vector<std::int64_t> loads_;
};

}  // namespace warpgroup
