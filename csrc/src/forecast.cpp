#include "warpgroup/forecast.hpp"

#include <algorithm>
#include <cmath>

#include "warpgroup/memory.hpp"

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

// The point that a standard normal variable exceeds with this probability, by bisection.
double normal_quantile(double overflow) {
  double low = -10;
  double high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > overflow ? low : high) = middle;
  }
  return low;
}

// Offsets at which the skyline is looked at: every step of growth by six tenths.
constexpr std::int64_t kOffsets[] = {0,     8,     16,    32,     56,     96,
                                     160,   256,   416,   672,    1'072,  1'712,
                                     2'736, 4'384, 7'008, 11'200, 17'920, 28'672};
constexpr std::int64_t kOne = 1 << 16;

}  // namespace

// With u_i = tokens_i + block - 1, a ceiling is floor((u_i + T) / block). Splitting u_i and T by
// the block size leaves whole blocks and one carry for each residue that T lifts over the edge.
void FuturePeak::assign(std::vector<Course> courses) {
  courses_ = std::move(courses);
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
  for (std::size_t i = 0; i < count; ++i) sum += ceil_div(courses_[i].tokens + offset, block_);
  return sum;
}

bool FuturePeak::fits(const Course& course, std::int64_t blocks) const {
  const std::size_t before = outliving(course.last);
  for (std::size_t j = 0; j < before; ++j) {
    if (needed_[j] > blocks) return false;
  }
  for (std::size_t j = before; j < courses_.size(); ++j) {
    if (needed_[j] + ceil_div(course.tokens + courses_[j].last, block_) > blocks) return false;
  }
  return sum_of_blocks(before, course.last) + ceil_div(course.tokens + course.last, block_) <=
         blocks;
}

void FuturePeak::add(const Course& course) {
  const std::size_t before = outliving(course.last);
  const std::int64_t needed =
      sum_of_blocks(before, course.last) + ceil_div(course.tokens + course.last, block_);
  for (std::size_t j = before; j < courses_.size(); ++j) {
    needed_[j] += ceil_div(course.tokens + courses_[j].last, block_);
  }
  courses_.insert(courses_.begin() + static_cast<std::ptrdiff_t>(before), course);
  needed_.insert(needed_.begin() + static_cast<std::ptrdiff_t>(before), needed);
}

Skyline::Skyline(std::int64_t block_tokens, std::int64_t overflow_ppm) : block_(block_tokens) {
  const double z = overflow_ppm > 0 ? normal_quantile(static_cast<double>(overflow_ppm) / 1e6) : 0;
  z2_ = std::llround(z * z * 256);
}

void Skyline::reset(const LengthPredictor& predictor) {
  predictor_ = &predictor;
  checkpoints_.clear();
  for (const std::int64_t offset : kOffsets) checkpoints_.push_back({offset});
}

std::int64_t Skyline::inverse_of(const Course& course) const {
  return (std::int64_t{1} << 32) / predictor_->longer_than(course.generated);
}

Skyline::Share Skyline::share(const Course& course, std::int64_t offset,
                              std::int64_t inverse) const {
  const std::int64_t blocks = ceil_div(course.tokens + offset, block_);
  const std::int64_t length = course.generated + offset;
  if (offset > 0 && length >= course.max_new_tokens) return {blocks, 0};
  if (offset == 0 || predictor_->is_cold()) return {blocks, kOne};
  return {blocks, (predictor_->longer_than(length) * inverse) >> 16};
}

void Skyline::include(Checkpoint& sum, const Share& share) {
  if (share.alive == 0) return;
  sum.all += share.blocks;
  sum.mean += share.alive * share.blocks;
  sum.variance += ((share.alive * (kOne - share.alive)) >> 16) * share.blocks * share.blocks;
}

bool Skyline::within(const Checkpoint& sum, std::int64_t blocks) const {
  if (sum.all <= blocks) return true;
  const std::int64_t room = (blocks << 16) - sum.mean;  // in 2^-16 blocks
  if (room < 0) return false;
  // room >= z sd, squared; in double, whose rounding is the same everywhere for these operations.
  const double squared = static_cast<double>(room) * static_cast<double>(room);
  return squared >= static_cast<double>(z2_) * 256.0 * static_cast<double>(sum.variance);
}

void Skyline::add(const Course& course) {
  const std::int64_t inverse = inverse_of(course);
  for (Checkpoint& sum : checkpoints_) include(sum, share(course, sum.offset, inverse));
}

bool Skyline::fits(const Course& course, std::int64_t blocks) const {
  const std::int64_t inverse = inverse_of(course);
  for (const Checkpoint& checkpoint : checkpoints_) {
    Checkpoint sum = checkpoint;
    include(sum, share(course, sum.offset, inverse));
    if (!within(sum, blocks)) return false;
  }
  return true;
}

}  // namespace warpgroup
