#include "warpgroup/staging/step_builder.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace warpgroup {

StepBuilder::StepBuilder(RequestLog log, BlockManager& block_manager, std::uint64_t seed,
                         bool padded)
    : log_(std::move(log)),
      block_manager_(block_manager),
      seed_(seed),
      padded_(padded),
      seat_of_(log_.starts.size(), -1),
      generated_(log_.starts.size(), 0) {
  const auto seats = static_cast<std::size_t>(block_manager.seats());
  for (auto* by_seat : {&seat_request_, &seat_tokens_, &seat_cached_}) by_seat->assign(seats, 0);
  for (std::int64_t seat = block_manager.seats(); seat-- > 0;) free_seats_.push_back(seat);
}

std::int64_t StepBuilder::take(std::int64_t request) {
  std::int64_t& seat = seat_of_.at(static_cast<std::size_t>(request));
  if (seat >= 0) return seat;
  if (free_seats_.empty()) throw std::logic_error("more requests run than there are seats");
  seat = free_seats_.back();
  free_seats_.pop_back();
  const auto at = static_cast<std::size_t>(seat);
  seat_request_[at] = request;
  seat_tokens_[at] = log_.prompt_tokens[static_cast<std::size_t>(request)] +
                     generated_[static_cast<std::size_t>(request)];
  seat_cached_[at] = 0;
  return seat;
}

// Frees the request's seat and blocks, if any. Keeps its generated tokens unless they are lost.
void StepBuilder::drop(std::int64_t request, bool lost_generated) {
  block_manager_.release(request);
  const auto index = static_cast<std::size_t>(request);
  const std::int64_t seat = seat_of_.at(index);
  if (seat < 0) return;
  generated_[index] = lost_generated ? 0 : generated(request);
  seat_of_[index] = -1;
  free_seats_.push_back(seat);
}

std::int64_t StepBuilder::seat_of(std::int64_t request) const {
  const std::int64_t seat = seat_of_.at(static_cast<std::size_t>(request));
  if (seat < 0) throw std::invalid_argument("request " + std::to_string(request) + " does not run");
  return seat;
}

std::int64_t StepBuilder::generated(std::int64_t request) const {
  return seat_tokens_[static_cast<std::size_t>(seat_of(request))] -
         log_.prompt_tokens[static_cast<std::size_t>(request)];
}

std::int64_t StepBuilder::cached(std::int64_t request) const {
  if (std::binary_search(owed_.begin(), owed_.end(), request))
    return block_manager_.host_tokens(request);
  return seat_cached_[static_cast<std::size_t>(seat_of(request))];
}

std::vector<BlockCopy> StepBuilder::apply(const StepPlan& plan) {
  std::vector<BlockCopy> copies;
  std::set<std::int64_t> owed(owed_.begin(), owed_.end());
  for (const Evicted& evicted : plan.evicted) {
    if (evicted.swapped_bytes == 0) {
      block_manager_.forget_host(evicted.id);
    } else if (block_manager_.host_tokens(evicted.id) == 0) {
      const auto seat = static_cast<std::size_t>(seat_of(evicted.id));
      const auto more = block_manager_.swap_out(evicted.id, seat_cached_[seat]);
      copies.insert(copies.end(), more.begin(), more.end());
    }
    owed.erase(evicted.id);
    drop(evicted.id, evicted.lost_generated > 0);
  }
  for (const Failed& failed : plan.failed) {
    drop(failed.id, false);
    owed.erase(failed.id);
    block_manager_.forget_host(failed.id);
  }
  if (padded_ && (!plan.prefill.empty() || plan.horizon == 0)) {
    for (const std::int64_t request : batch_) drop(request, false);  // ended, or out of memory
    batch_.clear();
  }
  for (const std::int64_t request : plan.admitted) take(request);
  for (const Restored& restored : plan.restored) owed.insert(restored.id);
  owed_.assign(owed.begin(), owed.end());
  return copies;
}

std::int64_t StepBuilder::prepare(const StepPlan& plan) {
  rows_.clear();
  pieces_.clear();
  wants_.clear();
  if (padded_) {
    prepare_padded(plan);
  } else {
    prepare_continuous(plan);
  }
  measure();
  return missing_blocks();
}

std::int64_t StepBuilder::missing_blocks() const {
  std::int64_t needed = 0;
  for (const Want& want : wants_) needed += block_manager_.missing(want.request, want.tokens);
  const std::int64_t held = block_manager_.blocks() - block_manager_.free_blocks();
  const std::int64_t free = std::min(block_manager_.free_blocks(), limit_blocks_ - held);
  return std::max(needed - free, std::int64_t{0});
}

// All rows of the batch take part, ended ones too.
void StepBuilder::prepare_padded(const StepPlan& plan) {
  if (plan.prefill.empty()) {
    batch_tokens_ += 1;
    for (const std::int64_t request : batch_) rows_.push_back(seat_of(request));
  } else {
    batch_tokens_ = 0;
    for (const Chunk& chunk : plan.prefill) batch_tokens_ = std::max(batch_tokens_, chunk.tokens);
    for (const Chunk& chunk : plan.prefill) {
      batch_.push_back(chunk.id);
      pieces_.push_back(
          {chunk.id, seat_of(chunk.id), 0, chunk.tokens, batch_tokens_ - chunk.tokens, true});
    }
  }
  for (const std::int64_t request : batch_) wants_.push_back({request, batch_tokens_});
}

void StepBuilder::prepare_continuous(const StepPlan& plan) {
  const std::int64_t block = block_manager_.block_tokens();
  std::vector<std::int64_t> still_owed = owed_;
  const auto is_owed = [&](std::int64_t request) {
    const auto place = std::lower_bound(still_owed.begin(), still_owed.end(), request);
    if (place == still_owed.end() || *place != request) return false;
    still_owed.erase(place);
    return true;
  };
  for (const std::int64_t request : plan.decode) {
    const std::int64_t tokens = cached(request);
    rows_.push_back(seat_of(request));
    // A row needs a block only if its token begins one, or if it has no blocks yet.
    if (is_owed(request) || tokens % block == 0) wants_.push_back({request, tokens + 1});
  }
  for (const Chunk& chunk : plan.prefill) {
    const bool last = std::any_of(plan.joined.begin(), plan.joined.end(),
                                  [&](const Joined& joined) { return joined.id == chunk.id; });
    pieces_.push_back({chunk.id, seat_of(chunk.id), chunk.start, chunk.tokens, 0, last});
    is_owed(chunk.id);
    wants_.push_back({chunk.id, chunk.start + chunk.tokens});
  }
  for (const std::int64_t request : still_owed)
    wants_.push_back({request, block_manager_.host_tokens(request)});
  std::stable_sort(pieces_.begin(), pieces_.end(), [](const SlabPiece& a, const SlabPiece& b) {
    const bool a_whole = a.start == 0, b_whole = b.start == 0;
    if (a_whole != b_whole) return b_whole;
    return a_whole && a.tokens < b.tokens;
  });
}

void StepBuilder::measure() {
  extent_ = {};
  extent_.rows = extent_.sampled = static_cast<std::int64_t>(rows_.size());
  for (const std::int64_t seat : rows_) {
    const std::int64_t request = seat_request_[static_cast<std::size_t>(seat)];
    extent_.longest = std::max(extent_.longest, cached(request) + 1);
  }
  for (const SlabPiece& piece : pieces_) {
    const std::int64_t seen = piece.start + piece.tokens;
    extent_.longest = std::max(extent_.longest, seen);
    extent_.sampled += piece.last;
    extent_.padded |= piece.padding > 0;
    if (piece.start == 0) {
      extent_.prompts.push_back(piece.tokens + piece.padding);
      extent_.prompt_tokens += piece.tokens + piece.padding;
      continue;
    }
    extent_.chunks += 1;
    extent_.chunk_tokens += piece.tokens;
    extent_.longest_chunk = std::max(extent_.longest_chunk, piece.tokens);
    extent_.cached_tokens += seen;
    extent_.longest_cached = std::max(extent_.longest_cached, seen);
  }
}

std::vector<BlockCopy> StepBuilder::hold() {
  for (const Want& want : wants_)
    if (!block_manager_.hold(want.request, seat_of(want.request), want.tokens))
      throw std::logic_error("there are too few blocks for the step");
  return restore();
}

std::vector<BlockCopy> StepBuilder::restore() {
  std::vector<BlockCopy> copies;
  std::vector<std::int64_t> still_owed;
  for (const std::int64_t request : owed_) {
    const std::int64_t tokens = block_manager_.host_tokens(request);
    if (!block_manager_.hold(request, seat_of(request), tokens)) {
      still_owed.push_back(request);
      continue;
    }
    seat_cached_[static_cast<std::size_t>(seat_of(request))] = tokens;
    const auto more = block_manager_.swap_in(request);
    copies.insert(copies.end(), more.begin(), more.end());
  }
  owed_ = std::move(still_owed);
  return copies;
}

std::vector<std::int64_t> StepBuilder::row_lengths() const {
  std::vector<std::int64_t> lengths;
  for (const std::int64_t seat : rows_)
    lengths.push_back(seat_cached_[static_cast<std::size_t>(seat)] + 1);
  return lengths;
}

std::vector<std::pair<int, int>> StepBuilder::chunks(bool all) const {
  std::vector<std::pair<int, int>> found;
  for (const SlabPiece& piece : pieces_)
    if (all || piece.start > 0)
      found.emplace_back(static_cast<int>(piece.start), static_cast<int>(piece.tokens));
  return found;
}

void StepBuilder::write(std::int32_t* slab, const SlabShape& shape, bool all_continue) const {
  const SlabWriter writer({log_.tokens, log_.starts.data(), seat_request_.data(),
                           seat_tokens_.data(), seat_cached_.data(), block_manager_.tables(),
                           block_manager_.width(), block_manager_.block_tokens(),
                           block_manager_.seats(), seed_});
  const std::int64_t continued =
      all_continue ? static_cast<std::int64_t>(pieces_.size()) : extent_.chunks;
  writer.write(slab, shape, rows_, pieces_, continued);
}

StepDraws StepBuilder::launched() {
  StepDraws draws;
  const auto draw = [&](std::int64_t seat) {
    const auto at = static_cast<std::size_t>(seat);
    const auto request = static_cast<std::size_t>(seat_request_[at]);
    const std::int64_t token = seat_tokens_[at]++;
    draws.requests.push_back(seat_request_[at]);
    draws.places.push_back(token < log_.ends[request] ? log_.starts[request] + token : log_.trash);
    if (token + 1 == log_.ends[request]) draws.finished.push_back(seat_request_[at]);
  };
  for (const std::int64_t seat : rows_) {
    ++seat_cached_[static_cast<std::size_t>(seat)];
    draw(seat);
  }
  for (const SlabPiece& piece : pieces_) {
    seat_cached_[static_cast<std::size_t>(piece.seat)] += piece.tokens;
    if (piece.last) draw(piece.seat);
  }
  std::sort(draws.finished.begin(), draws.finished.end());
  return draws;
}

void StepBuilder::retire(const std::vector<std::int64_t>& finished) {
  if (padded_) return;
  for (const std::int64_t request : finished) drop(request, false);
}

}  // namespace warpgroup
