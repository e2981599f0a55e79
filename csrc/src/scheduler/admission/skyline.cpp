#include "warpgroup/scheduler/admission/skyline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace warpgroup {

namespace {

// Offsets at which the skyline is looked at: every step of growth by six tenths.
constexpr std::int64_t kOffsets[] = {0,     8,     16,    32,     56,     96,
                                     160,   256,   416,   672,    1'072,  1'712,
                                     2'736, 4'384, 7'008, 11'200, 17'920, 28'672};
constexpr std::int64_t kOne = 1 << 16;

constexpr std::int64_t kZOne = 1 << 20;
constexpr std::int64_t kFirstZ = 2 * kZOne;
constexpr std::int64_t kMostZ = 8 * kZOne;
constexpr std::int64_t kRaise = kZOne / 4;  // by an eviction

// The survival function of max_new_tokens u^2 in 2^-8, at 256ths of max_new_tokens: 1 - sqrt(x),
// rounded up so that it is positive below the limit.
const std::array<std::int64_t, 257> kAssumedSurvival = [] {
  std::array<std::int64_t, 257> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(i) / 256;
    values[i] = static_cast<std::int64_t>(std::ceil(256 * (1 - std::sqrt(x))));
  }
  return values;
}();

}  // namespace

// S(generated + T) / S(generated) for one request, in 2^-16.
class Skyline::Survival {
 public:
  explicit Survival(const Course& course)
      : lengths_(*course.lengths),
        limit_(course.max_new_tokens),
        per_token_((std::int64_t{1} << 32) / course.max_new_tokens),
        inverse_((std::int64_t{1} << 32) / std::max<std::int64_t>(at(course.generated), 1)) {}

  std::int64_t of(std::int64_t length) const {
    return length >= limit_ ? 0 : std::min((at(length) * inverse_) >> 16, kOne);
  }

 private:
  // Lengths beyond this one, seen or assumed, in 2^-8.
  std::int64_t at(std::int64_t length) const {
    const auto part = static_cast<std::size_t>((length * per_token_) >> 24);
    return (lengths_.longer_than(length) << 8) + kAssumedSurvival[std::min<std::size_t>(part, 256)];
  }

  const LengthWindow& lengths_;
  std::int64_t limit_;
  std::int64_t per_token_;
  std::int64_t inverse_;
};

// At the equilibrium a share `overflow` of requests raises z as much as the others lower it.
Skyline::Skyline(std::int64_t block_tokens, std::int64_t overflow_ppm)
    : blocks_for_(block_tokens),
      z_(kFirstZ),
      lowers_(kRaise * overflow_ppm / std::max<std::int64_t>(1'000'000 - overflow_ppm, 1)) {}

void Skyline::learn_from_eviction() { z_ = std::min(z_ + kRaise, kMostZ); }
void Skyline::learn_from_end() { z_ = std::max<std::int64_t>(z_ - lowers_, 0); }

void Skyline::reset() {
  checkpoints_.clear();
  for (const std::int64_t offset : kOffsets) checkpoints_.push_back({offset});
}

Skyline::Share Skyline::share(const Course& course, std::int64_t offset,
                              const Survival& survival) const {
  return {blocks_for_(course.tokens + offset),
          offset == 0 ? kOne : survival.of(course.generated + offset)};
}

void Skyline::include(Checkpoint& sum, const Share& share) {
  sum.all += share.blocks;
  sum.mean += share.alive * share.blocks;
  sum.variance += ((share.alive * (kOne - share.alive)) >> 16) * share.blocks * share.blocks;
}

bool Skyline::within(const Checkpoint& sum, std::int64_t blocks) const {
  if (sum.all <= blocks) return true;
  const std::int64_t headroom = (blocks << 16) - sum.mean;  // in 2^-16 blocks
  if (headroom < 0) return false;
  // headroom >= z sd, squared, with z in 2^-20 and the variance in 2^-16; doubles round these
  // operations alike everywhere.
  const double z = static_cast<double>(z_) / static_cast<double>(kZOne);
  return static_cast<double>(headroom) * static_cast<double>(headroom) >=
         z * z * 65536.0 * static_cast<double>(sum.variance);
}

void Skyline::add(const Course& course) {
  const Survival survival(course);
  for (Checkpoint& sum : checkpoints_) {
    const Share mine = share(course, sum.offset, survival);
    if (mine.alive == 0) return;  // nor is it alive later
    include(sum, mine);
  }
}

bool Skyline::fits(const Course& course, std::int64_t blocks) const {
  const Survival survival(course);
  for (const Checkpoint& checkpoint : checkpoints_) {
    Checkpoint sum = checkpoint;
    const Share mine = share(course, sum.offset, survival);
    if (mine.alive > 0) include(sum, mine);
    if (!within(sum, blocks)) return false;
  }
  return true;
}

std::int64_t Skyline::excess(std::int64_t blocks) const {
  std::int64_t most = blocks << 16;
  for (const Checkpoint& sum : checkpoints_) most = std::max(most, sum.mean);
  return (most >> 16) - blocks;
}

bool SkylineAdmission::fits_beside_running(const Sequence& sequence, std::int64_t) {
  if (!snapshot_is_current_) take_snapshot();
  return skyline_.fits(course_of(sequence), state_.pool_blocks);
}

void SkylineAdmission::admit(Sequence& sequence) {
  if (snapshot_is_current_) skyline_.add(course_of(sequence));
}

std::int64_t SkylineAdmission::expected_excess() {
  take_snapshot();
  return skyline_.excess(state_.pool_blocks);
}

void SkylineAdmission::take_snapshot() {
  snapshot_is_current_ = true;
  skyline_.reset();
  for (const Sequence* sequence : state_.running) skyline_.add(course_of(*sequence));
}

Course SkylineAdmission::course_of(const Sequence& sequence) const {
  const Request& request = sequence.request;
  return {sequence.tokens(), sequence.generated, request.max_new_tokens, 0,
          &state_.predictor.lengths_after(request.prompt_tokens)};
}

}  // namespace warpgroup
