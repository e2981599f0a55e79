#include "warpgroup/scheduler/admission/token_ratio.hpp"

#include <algorithm>

namespace warpgroup {

namespace {

constexpr std::int64_t kOne = 1'000'000;
// SGLang looks no further ahead: a generous max_new_tokens would keep all other requests out.
constexpr std::int64_t kLookahead = 4096;

std::int64_t may_generate(const Sequence& sequence) {
  return std::min(sequence.remaining_limit(), kLookahead);
}

}  // namespace

bool TokenRatioAdmission::fits_beside_running(const Sequence& sequence, std::int64_t) {
  return needed_tokens(sequence) < state_.free_blocks() * state_.memory.block_tokens();
}

std::int64_t TokenRatioAdmission::needed_tokens(const Sequence& sequence) const {
  const std::int64_t block = state_.memory.block_tokens();
  std::int64_t others = 0;  // in millionths
  for (const Sequence* running : state_.running) {
    // Requests that were admitted in this very step count in full.
    const bool is_new = running->cached == 0;
    others += may_generate(*running) * (is_new ? kOne : ratio_ppm_);
    others += (state_.blocks_for(running->tokens()) - running->blocks) * block * kOne;
  }
  return others / kOne + sequence.tokens() + may_generate(sequence) + block;
}

// From its start to a seventh of that in 600 decode steps.
void TokenRatioAdmission::advance(std::int64_t steps) {
  if (state_.plan.work.decode_rows == 0) return;
  const std::int64_t start = state_.policy.ratio_ppm;
  const std::int64_t least = start * 14 / 100;
  const std::int64_t decay = (start - least) / 600;
  ratio_ppm_ = std::max(ratio_ppm_ - decay * steps, least);
}

// SGLang's estimate after a retraction: the tokens that the remaining requests have generated, and
// those of 20 steps more, as a share of what they may generate.
void TokenRatioAdmission::note_shortage() {
  std::int64_t generated = 0;
  std::int64_t limit = 1;
  for (const Sequence* sequence : state_.running) {
    generated += sequence->generated + 20;
    limit += sequence->request.max_new_tokens;
  }
  ratio_ppm_ = std::min<std::int64_t>(generated * kOne / limit, kOne);
}

}  // namespace warpgroup
