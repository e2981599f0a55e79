#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace warpgroup {

// The sizes of a step's parts, padding included; a captured graph has one shape. The tokens of a
// step lie in one row: one per decoding request | chunks that continue a cache | whole prompts.
struct SlabShape {
  std::int64_t rows;           // number of decoding rows
  std::int64_t chunks;         // number of chunks
  std::int64_t chunk_tokens;   // tokens of all chunks
  std::int64_t prompts;        // number of whole prompts
  std::int64_t prompt_tokens;  // tokens of all whole prompts, padding included
  std::int64_t sampled;        // number of sampled tokens
  std::int64_t width;          // blocks in a row of a block table

  std::int64_t tokens() const { return rows + chunk_tokens + prompt_tokens; }
};

// One array of a slab.
struct SlabArray {
  const char* name;
  std::int64_t start;  // in integers; a multiple of 64 bytes
  std::int64_t count;
};

enum SlabField : std::size_t {
  kIds,            // token ids; -1 - seat: the token that was sampled last for that seat
  kPositions,      // position of each token in its request
  kSlots,          // block * block_tokens + offset of each token's keys and values; -1: not stored
  kLengths,        // cache length of each decoding row, the new token included; 0 for padding rows
  kBlocks,         // (rows, width): block tables; entries behind a cache's end are stale
  kChunkEdges,     // begin of each chunk among the chunks' tokens
  kCacheEdges,     // begin of each chunk among all tokens that chunks attend to
  kChunkBlocks,    // (chunks, width): block tables
  kPromptEdges,    // begin of each prompt among the prompts' tokens
  kSampledTokens,  // tokens of the step after which a token is sampled
  kSampledSeats,   // seats for which the tokens are sampled
  kSeeds,          // random seeds of the samples
  kSlabFields
};

constexpr std::int64_t kSlabAlignment = 16;  // integers: 64 bytes

std::array<SlabArray, kSlabFields> slab_arrays(const SlabShape& shape);

// Prompt tokens of one request that a step computes.
struct SlabPiece {
  std::int64_t request;
  std::int64_t seat;
  std::int64_t start;  // first position in the request; 0: a whole prompt
  std::int64_t tokens;
  std::int64_t padding;  // padding positions computed behind the tokens
  bool last;             // whether a token is sampled
};

// The arrays that the writer reads. The caller owns them and changes them between steps.
struct SlabSources {
  const std::int32_t* log;           // tokens of all requests
  const std::int64_t* starts;        // by request: begin of its tokens in the log
  const std::int64_t* seat_request;  // by seat: its request
  const std::int64_t* seat_tokens;   // by seat: number of known tokens
  const std::int64_t* seat_cached;   // by seat: tokens whose keys and values are held
  const std::int32_t* tables;        // (seats, width): block tables
  std::int64_t table_width;
  std::int64_t block_tokens;
  std::int64_t spare_seat;  // seat for the samples of padding rows
  std::uint64_t seed;       // seed of the run's samples
};

// Writes all numbers of a step into its slab.
class SlabWriter {
 public:
  explicit SlabWriter(const SlabSources& sources) : sources_(sources) {}

  // `rows`: decoding seats. `pieces`: first `continued` chunks that continue a cache, then whole
  // prompts. The shape is at least as large as the step.
  void write(std::int32_t* slab, const SlabShape& shape, const std::vector<std::int64_t>& rows,
             const std::vector<SlabPiece>& pieces, std::int64_t continued) const;

 private:
  std::int32_t slot_of(std::int64_t seat, std::int64_t position) const;
  void copy_table(std::int64_t seat, std::int64_t tokens, std::int64_t width,
                  std::int32_t* to) const;

  SlabSources sources_;
};

// The seed of one token of one request. It does not depend on the batch or on earlier samples.
std::int32_t draw_seed(std::uint64_t seed, std::int64_t request, std::int64_t token);

}  // namespace warpgroup
