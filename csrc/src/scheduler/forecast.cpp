#include "warpgroup/scheduler/forecast.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

namespace {

// Counts of residues with sums over a range of them in O(log n): a Fenwick tree.
class ResidueCounts {
 public:
  explicit ResidueCounts(std::int64_t residues)
      : tree_(static_cast<std::size_t>(residues) + 1, 0) {}
  void add(std::int64_t residue) {
    ++total_;
    for (auto i = static_cast<std::size_t>(residue) + 1; i < tree_.size(); i += i & (~i + 1)) {
      ++tree_[i];
    }
  }
  // How many residues are at least this one.
  std::int64_t at_least(std::int64_t residue) const {
    std::int64_t below = 0;
    for (auto i = static_cast<std::size_t>(residue); i > 0; i &= i - 1) below += tree_[i];
    return total_ - below;
  }

 private:
  std::int64_t total_ = 0;
  std::vector<std::int64_t> tree_;
};

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
const std::array<std::int64_t, 257> kBelievedSurvival = [] {
  std::array<std::int64_t, 257> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(i) / 256;
    values[i] = static_cast<std::int64_t>(std::ceil(256 * (1 - std::sqrt(x))));
  }
  return values;
}();

// Indices by decreasing `last`: a radix sort, since comparisons of a thousand ends cost more than
// all the rest of a plan.
std::vector<std::uint32_t> by_decreasing_last(const std::vector<Course>& courses) {
  constexpr std::size_t kBits = 8;
  constexpr std::size_t kDigits = std::size_t{1} << kBits;
  std::int64_t largest = 0;
  for (const Course& course : courses) largest = std::max(largest, course.last);
  std::vector<std::uint32_t> order(courses.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::uint32_t> next(courses.size());
  for (std::size_t shift = 0; (largest >> shift) > 0; shift += kBits) {
    const auto digit = [&](std::uint32_t i) {
      return kDigits - 1 - (static_cast<std::size_t>(courses[i].last) >> shift) % kDigits;
    };
    std::array<std::uint32_t, kDigits + 1> start{};
    for (const std::uint32_t i : order) ++start[digit(i) + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    for (const std::uint32_t i : order) next[start[digit(i)]++] = i;
    order.swap(next);
  }
  return order;
}

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
  // Lengths beyond this one, seen or believed, in 2^-8.
  std::int64_t at(std::int64_t length) const {
    const auto part = static_cast<std::size_t>((length * per_token_) >> 24);
    return (lengths_.longer_than(length) << 8) +
           kBelievedSurvival[std::min<std::size_t>(part, 256)];
  }

  const LengthWindow& lengths_;
  std::int64_t limit_;
  std::int64_t per_token_;
  std::int64_t inverse_;
};

// With u_i = tokens_i + block - 1, a ceiling is floor((u_i + T) / block). Splitting u_i and T by
// the block size leaves whole blocks and one carry for each residue that T lifts over the edge.
void FuturePeak::assign(const std::vector<Course>& courses) {
  courses_.clear();
  courses_.reserve(courses.size());
  for (const std::uint32_t i : by_decreasing_last(courses)) courses_.push_back(courses[i]);
  needed_.clear();
  ResidueCounts residues(block_);
  std::int64_t whole_blocks = 0;
  for (std::size_t j = 0; j < courses_.size(); ++j) {
    const std::int64_t u = courses_[j].tokens + block_ - 1;
    whole_blocks += u / block_;
    residues.add(u % block_);
    const std::int64_t offset = courses_[j].last;
    const std::int64_t carries =
        offset % block_ == 0 ? 0 : residues.at_least(block_ - offset % block_);
    needed_.push_back(whole_blocks + static_cast<std::int64_t>(j + 1) * (offset / block_) +
                      carries);
  }
}

std::size_t FuturePeak::outliving(std::int64_t last) const {
  return static_cast<std::size_t>(
      std::partition_point(courses_.begin(), courses_.end(),
                           [last](const Course& c) { return c.last >= last; }) -
      courses_.begin());
}

std::int64_t FuturePeak::sum_of_blocks(std::size_t count, std::int64_t offset) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += blocks_for_(courses_[i].tokens + offset);
  return sum;
}

bool FuturePeak::fits(const Course& course, std::int64_t blocks) const {
  const std::size_t before = outliving(course.last);
  for (std::size_t j = 0; j < before; ++j) {
    if (needed_[j] > blocks) return false;
  }
  for (std::size_t j = before; j < courses_.size(); ++j) {
    if (needed_[j] + blocks_for_(course.tokens + courses_[j].last) > blocks) return false;
  }
  return sum_of_blocks(before, course.last) + blocks_for_(course.tokens + course.last) <= blocks;
}

void FuturePeak::add(const Course& course) {
  const std::size_t before = outliving(course.last);
  const std::int64_t needed =
      sum_of_blocks(before, course.last) + blocks_for_(course.tokens + course.last);
  for (std::size_t j = before; j < courses_.size(); ++j) {
    needed_[j] += blocks_for_(course.tokens + courses_[j].last);
  }
  courses_.insert(courses_.begin() + static_cast<std::ptrdiff_t>(before), course);
  needed_.insert(needed_.begin() + static_cast<std::ptrdiff_t>(before), needed);
}

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
  const std::int64_t room = (blocks << 16) - sum.mean;  // in 2^-16 blocks
  if (room < 0) return false;
  // room >= z sd, squared, with z in 2^-20 and the variance in 2^-16; doubles round these
  // operations alike everywhere.
  const double z = static_cast<double>(z_) / static_cast<double>(kZOne);
  return static_cast<double>(room) * static_cast<double>(room) >=
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

}  // namespace warpgroup
