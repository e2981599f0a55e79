#include "warpgroup/scheduler/admission/future_peak.hpp"

#include <algorithm>
#include <array>
#include <numeric>

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

bool FuturePeakAdmission::fits_beside_running(const Sequence& sequence, std::int64_t) {
  if (!snapshot_is_current_) take_snapshot();
  return peak_.fits(predict(sequence), state_.pool_blocks - watermark_blocks());
}

void FuturePeakAdmission::admit(Sequence& sequence) {
  const Course course = predict(sequence);
  sequence.end_step = state_.step + course.last;
  if (snapshot_is_current_) peak_.add(course);
}

void FuturePeakAdmission::take_snapshot() {
  snapshot_is_current_ = true;
  std::vector<Course> courses;
  courses.reserve(state_.running.size());
  for (Sequence* sequence : state_.running) courses.push_back(course_of_running(*sequence));
  peak_.assign(courses);
}

// A predicted end stays where it is, in absolute steps, until it has passed.
Course FuturePeakAdmission::course_of_running(Sequence& sequence) {
  Course course{sequence.tokens(), sequence.generated, sequence.request.max_new_tokens,
                sequence.end_step - state_.step};
  if (!state_.policy.sees_lengths && course.last >= 0) return course;
  course = predict(sequence);
  sequence.end_step = state_.step + course.last;
  return course;
}

Course FuturePeakAdmission::predict(const Sequence& sequence) const {
  // A request that outlives a length that was given as true is taken to end at once.
  const std::int64_t last = state_.predicted_output(sequence) - sequence.generated - 1;
  return {sequence.tokens(), sequence.generated, sequence.request.max_new_tokens,
          std::max<std::int64_t>(last, 0)};
}

}  // namespace warpgroup
