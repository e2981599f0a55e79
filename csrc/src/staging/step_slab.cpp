#include "warpgroup/staging/step_slab.hpp"

#include <algorithm>
#include <cstring>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

std::array<SlabArray, kSlabFields> slab_arrays(const SlabShape& shape) {
  const std::int64_t tokens = shape.tokens();
  std::array<SlabArray, kSlabFields> arrays{{{"ids", 0, tokens},
                                             {"positions", 0, tokens},
                                             {"slots", 0, tokens},
                                             {"lengths", 0, shape.rows},
                                             {"blocks", 0, shape.rows * shape.width},
                                             {"chunk_edges", 0, shape.chunks + 1},
                                             {"cache_edges", 0, shape.chunks + 1},
                                             {"chunk_blocks", 0, shape.chunks * shape.width},
                                             {"prompt_edges", 0, shape.prompts + 1},
                                             {"sampled_tokens", 0, shape.sampled},
                                             {"sampled_seats", 0, shape.sampled},
                                             {"seeds", 0, shape.sampled}}};
  std::int64_t end = 0;
  for (SlabArray& array : arrays) {
    array.start = end;
    end = round_up(end + array.count, kSlabAlignment);
  }
  return arrays;
}

std::int32_t draw_seed(std::uint64_t seed, std::int64_t request, std::int64_t token) {
  const std::uint64_t salt = seed * 0xC2B2AE3D & 0xFFFFFFFF;
  const std::uint64_t mixed = (static_cast<std::uint64_t>(request) + 1) * 0x9E3779B1 +
                              static_cast<std::uint64_t>(token) * 0x85EBCA77 + salt;
  return static_cast<std::int32_t>((mixed ^ mixed >> 15) & 0x7FFFFFFF);
}

std::int32_t SlabWriter::slot_of(std::int64_t seat, std::int64_t position) const {
  const std::int64_t block =
      sources_.tables[seat * sources_.table_width + position / sources_.block_tokens];
  return static_cast<std::int32_t>(block * sources_.block_tokens +
                                   position % sources_.block_tokens);
}

// Copies the blocks of a request's first `tokens` tokens.
void SlabWriter::copy_table(std::int64_t seat, std::int64_t tokens, std::int64_t width,
                            std::int32_t* to) const {
  const std::int64_t blocks = std::min(ceil_div(tokens, sources_.block_tokens), width);
  std::memcpy(to, sources_.tables + seat * sources_.table_width,
              static_cast<std::size_t>(blocks) * sizeof *to);
}

void SlabWriter::write(std::int32_t* slab, const SlabShape& shape,
                       const std::vector<std::int64_t>& rows, const std::vector<SlabPiece>& pieces,
                       std::int64_t continued) const {
  const auto arrays = slab_arrays(shape);
  const auto at = [&](SlabField field) { return slab + arrays[field].start; };
  std::int32_t* const ids = at(kIds);
  std::int32_t* const positions = at(kPositions);
  std::int32_t* const slots = at(kSlots);
  std::int32_t* const lengths = at(kLengths);
  std::int32_t* const blocks = at(kBlocks);
  std::int32_t* sampled_tokens = at(kSampledTokens);
  std::int32_t* sampled_seats = at(kSampledSeats);
  std::int32_t* seeds = at(kSeeds);

  const auto draw = [&](std::int64_t token, std::int64_t seat) {
    *sampled_tokens++ = static_cast<std::int32_t>(token);
    *sampled_seats++ = static_cast<std::int32_t>(seat);
    *seeds++ = draw_seed(sources_.seed, sources_.seat_request[seat], sources_.seat_tokens[seat]);
  };
  // Padding tokens of the shape: any id, not stored.
  const auto spare = [&](std::int64_t from, std::int64_t to) {
    std::fill(ids + from, ids + to, 0);
    std::fill(positions + from, positions + to, 0);
    std::fill(slots + from, slots + to, -1);
  };

  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t seat = rows[static_cast<std::size_t>(row)];
    const std::int64_t cached = sources_.seat_cached[seat];
    ids[row] = static_cast<std::int32_t>(-1 - seat);
    positions[row] = static_cast<std::int32_t>(cached);
    slots[row] = slot_of(seat, cached);
    lengths[row] = static_cast<std::int32_t>(cached + 1);
    copy_table(seat, cached + 1, shape.width, blocks + row * shape.width);
    draw(row, seat);
  }
  spare(count, shape.rows);
  std::fill(lengths + count, lengths + shape.rows, 0);

  std::int64_t token = shape.rows, place = 0, chunk_end = 0, cache_end = 0, prompt_end = 0;
  at(kChunkEdges)[0] = at(kCacheEdges)[0] = at(kPromptEdges)[0] = 0;
  for (const SlabPiece& piece : pieces) {
    const std::int64_t all = piece.tokens + piece.padding;
    std::memcpy(ids + token, sources_.log + sources_.starts[piece.request] + piece.start,
                static_cast<std::size_t>(piece.tokens) * sizeof *ids);
    std::fill(ids + token + piece.tokens, ids + token + all, 0);
    for (std::int64_t i = 0; i < all; ++i) {
      positions[token + i] = static_cast<std::int32_t>(piece.start + i);
      slots[token + i] = slot_of(piece.seat, piece.start + i);
    }
    if (piece.last) draw(token + piece.tokens - 1, piece.seat);
    token += all;
    if (place < continued) {
      const std::int64_t seen = piece.start + piece.tokens;
      copy_table(piece.seat, seen, shape.width, at(kChunkBlocks) + place * shape.width);
      at(kChunkEdges)[place + 1] = static_cast<std::int32_t>(chunk_end += piece.tokens);
      at(kCacheEdges)[place + 1] = static_cast<std::int32_t>(cache_end += seen);
    } else {
      at(kPromptEdges)[place - continued + 1] = static_cast<std::int32_t>(prompt_end += all);
    }
    ++place;
  }
  for (std::int64_t chunk = continued; chunk < shape.chunks; ++chunk) {
    at(kChunkEdges)[chunk + 1] = static_cast<std::int32_t>(chunk_end);
    at(kCacheEdges)[chunk + 1] = static_cast<std::int32_t>(cache_end);
  }
  spare(token, shape.tokens());

  std::int32_t* const sampled_end = at(kSampledTokens) + shape.sampled;
  for (; sampled_tokens < sampled_end; ++sampled_tokens) {
    *sampled_tokens = 0;
    *sampled_seats++ = static_cast<std::int32_t>(sources_.spare_seat);
    *seeds++ = 0;
  }
}

}  // namespace warpgroup
