#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace warpgroup {

// How large each part of a step is, filling included: what a captured graph is good for. A step's
// tokens lie in one row: decoding requests, one each | chunks that continue a cache | whole
// prompts.
struct SlabShape {
  std::int64_t rows;           // that decode
  std::int64_t chunks;         // how many
  std::int64_t chunk_tokens;   // of all of them
  std::int64_t prompts;        // how many
  std::int64_t prompt_tokens;  // of all of them, padding included
  std::int64_t sampled;        // tokens that are drawn
  std::int64_t width;          // of a block table

  std::int64_t tokens() const { return rows + chunk_tokens + prompt_tokens; }
};

// One array of a slab.
struct SlabArray {
  const char* name;
  std::int64_t start;  // in integers; a multiple of 64 bytes
  std::int64_t count;
};

enum SlabField : std::size_t {
  kIds,            // token ids; -1 - seat: the token that was drawn last for that seat
  kPositions,      // in the request
  kSlots,          // block * block_tokens + offset, where keys and values go; -1: nowhere
  kLengths,        // of decoding rows' caches, the new token included; 0 for rows that are filling
  kBlocks,         // (rows, width): their block tables; what is behind a cache's end is left over
  kChunkEdges,     // where each chunk begins among the chunks' tokens
  kCacheEdges,     // the same, counted in tokens attended to
  kChunkBlocks,    // (chunks, width)
  kPromptEdges,    // where each prompt begins among the prompts' tokens
  kSampledTokens,  // of the step, whose next token is drawn
  kSampledSeats,   // where the drawn token is kept
  kSeeds,          // of the draw
  kSlabFields
};

constexpr std::int64_t kSlabAlignment = 16;  // integers: 64 bytes

std::array<SlabArray, kSlabFields> slab_arrays(const SlabShape& shape);

// Prompt tokens of one request that a step computes.
struct SlabPiece {
  std::int64_t request;
  std::int64_t seat;
  std::int64_t start;  // in the request; 0: a whole prompt
  std::int64_t tokens;
  std::int64_t padding;  // positions computed behind them that belong to nobody
  bool last;             // a token is drawn
};

// What the writer reads: where requests sit, what they hold, what they have said. All of it is
// somebody else's, and changes between steps.
struct SlabSources {
  const std::int32_t* log;           // tokens of all requests
  const std::int64_t* starts;        // by request: where its tokens begin there
  const std::int64_t* seat_request;  // by seat
  const std::int64_t* seat_tokens;   // by seat: tokens that are decided
  const std::int64_t* seat_cached;   // by seat: tokens whose keys and values are held
  const std::int32_t* tables;        // (seats, width): block tables
  std::int64_t table_width;
  std::int64_t block_tokens;
  std::int64_t spare_seat;  // where rows draw to that only fill a shape
  std::uint64_t seed;       // of drawn tokens
};

// Writes every number of a step into its slab.
class SlabWriter {
 public:
  explicit SlabWriter(const SlabSources& sources) : sources_(sources) {}

  // `rows`: seats that decode; then the pieces: `continued` chunks, then whole prompts. The shape
  // is at least as large.
  void write(std::int32_t* slab, const SlabShape& shape, const std::vector<std::int64_t>& rows,
             const std::vector<SlabPiece>& pieces, std::int64_t continued) const;

 private:
  std::int32_t slot_of(std::int64_t seat, std::int64_t position) const;
  void copy_table(std::int64_t seat, std::int64_t tokens, std::int64_t width,
                  std::int32_t* to) const;

  SlabSources sources_;
};

// One seed for each token of each request, however often and in whatever batch it is drawn.
std::int32_t draw_seed(std::uint64_t seed, std::int64_t request, std::int64_t token);

}  // namespace warpgroup
