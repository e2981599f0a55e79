// Drives random policies, pools, requests, aborts and out-of-memory steps through the core, without
// Python, so that sanitizers see all of it. Usage: core_tests [cases] [seed]

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "warpgroup/packing/packing.hpp"
#include "warpgroup/scheduler/admission/future_peak.hpp"
#include "warpgroup/scheduler/admission/skyline.hpp"
#include "warpgroup/scheduler/scheduler.hpp"

namespace {

using namespace warpgroup;

constexpr std::int64_t kSecond = 1'000'000'000;

void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // std::uniform_int_distribution differs between libraries; a remainder does not.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::mt19937_64 engine_;
};

// Any policy of the catalogue, with parameters drawn from small ranges around what matters.
Policy random_policy(Random& random) {
  const auto& catalogue = policy_catalogue();
  const PolicyInfo& info = catalogue[static_cast<std::size_t>(
      random.between(0, static_cast<std::int64_t>(catalogue.size()) - 1))];
  std::map<std::string, double> values;
  for (const PolicyParameter& parameter : info.parameters) {
    if (random.between(0, 1) == 0) continue;
    const double highest = std::min(parameter.highest, parameter.whole ? 64.0 : 30.0);
    // Whole numbers reach their highest value, which turns a switch on.
    const std::int64_t steps = parameter.whole ? std::llround(highest - parameter.lowest) : 1000;
    const double share = static_cast<double>(random.between(0, steps)) / static_cast<double>(steps);
    const double value = parameter.lowest + share * (highest - parameter.lowest);
    values[parameter.name] = parameter.whole ? std::round(value) : value;
  }
  return make_policy(info.id, values);
}

struct Live {
  std::int64_t output;
  std::int64_t generated;
};

// A run from the first request to the last on an unreliable machine: requests are aborted,
// steps run out of memory, the budget shrinks and grows, with notice or without.
class Run {
 public:
  explicit Run(std::uint64_t seed) : random_(seed), policy_(random_policy(random_)) {
    requests_ = random_.between(1, 160);
    max_new_ = random_.between(1, 80);
    if (random_.between(0, 3) == 0) trouble_ = Trouble::kOoms;
    if (random_.between(0, 3) == 0) trouble_ = Trouble::kAnnounced;
    if (random_.between(0, 3) == 0) trouble_ = Trouble::kUnannounced;
  }

  // Returns the plan hash.
  std::uint64_t to_the_end() {
    for (std::int64_t turn = 0; ended_ < requests_; ++turn) {
      require(turn < 200'000, "no end in sight");
      submit_some();
      abort_one();
      change_the_budget();
      take_a_turn();
    }
    const StepPlan& last = scheduler_.plan(now_);
    require(last.horizon == 0, "there is something to run when all have ended");
    require(scheduler_.running() == 0, "a request still runs");
    require(scheduler_.waiting() == 0, "a request still waits");
    require(scheduler_.used_blocks() == 0, "blocks are held by no request");
    require(scheduler_.reserved_blocks() == 0, "blocks are promised to no request");
    require(scheduler_.host_bytes() == 0, "host memory is held by no request");
    return scheduler_.plan_hash();
  }

  std::int64_t requests() const { return requests_; }
  const Policy& policy() const { return policy_; }

 private:
  enum class Trouble { kNone, kOoms, kAnnounced, kUnannounced };

  static constexpr ModelGeometry kTiny{2, 64, 4, 2, 16, 128, 256, false, false, false, 2};

  void submit_some() {
    while (submitted_ < requests_ && random_.between(0, 3) > 0) {
      const std::int64_t id = submitted_++;
      outputs_[id] = random_.between(1, max_new_);
      const Submission submission =
          scheduler_.submit({id, now_, random_.between(1, 300), max_new_, outputs_[id]});
      if (!submission.accepted) ++ended_;
    }
  }

  void abort_one() {
    if (submitted_ == 0 || random_.between(0, 20) > 0) return;
    const std::int64_t id = random_.between(0, submitted_ - 1);
    if (!scheduler_.abort(id)) return;
    ++ended_;
    decoding_.erase(id);
  }

  void change_the_budget() {
    if (random_.between(0, 40) > 0) return;
    const std::int64_t blocks = random_.between(1, memory_.pool_blocks());
    const std::int64_t budget =
        memory_.budget_bytes() - (memory_.pool_blocks() - blocks) * memory_.block_bytes();
    if (trouble_ == Trouble::kAnnounced) scheduler_.set_budget(budget);
    if (trouble_ == Trouble::kAnnounced || trouble_ == Trouble::kUnannounced) budget_ = budget;
  }

  void take_a_turn() {
    if (scheduler_.running() == 0) forming_ = true;
    const StepPlan& plan = scheduler_.plan(now_);
    require(!policy_.barrier || forming_ || plan.admitted.empty(),
            "a request joined a complete batch");
    forming_ = forming_ && plan.blocked_by == BlockedBy::kTokens;
    for (const Evicted& evicted : plan.evicted) decoding_.erase(evicted.id);
    for (const Failed& failed : plan.failed) {
      decoding_.erase(failed.id);
      ++ended_;
    }
    if (plan.horizon == 0) {
      now_ = plan.wake_ns >= 0 ? std::max(plan.wake_ns, now_) : now_ + kSecond;
      return;
    }
    const bool over = plan.predicted_bytes > budget_;
    require(!over || !policy_.sees_memory() || trouble_ == Trouble::kUnannounced,
            "a policy that sees memory exceeded it");
    if (over || (trouble_ == Trouble::kOoms && random_.between(0, 9) == 0)) {
      scheduler_.commit_oom();
      now_ += kSecond;
      return;
    }
    run_some_steps(plan);
  }

  void run_some_steps(const StepPlan& plan) {
    std::vector<std::int64_t> moving = plan.decode;
    for (const Joined& joined : plan.joined) {
      decoding_[joined.id] = {outputs_.at(joined.id), joined.generated - 1};
      moving.push_back(joined.id);
    }
    std::int64_t steps = random_.between(1, plan.horizon);
    for (const std::int64_t id : moving) {
      steps = std::min(steps, decoding_.at(id).output - decoding_.at(id).generated);
    }
    std::vector<std::int64_t> finished;
    for (const std::int64_t id : moving) {
      Live& live = decoding_.at(id);
      live.generated += steps;
      if (live.generated == live.output) finished.push_back(id);
    }
    for (const std::int64_t id : finished) decoding_.erase(id);
    ended_ += static_cast<std::int64_t>(finished.size());
    const StepRecord facts = scheduler_.commit(steps, finished);
    require(facts.fragmented_bytes >= 0, "more tokens are held than there are bytes for");
    require(facts.reserved_bytes >= facts.kv_bytes, "less is reserved than is held");
    now_ += steps * kSecond;
  }

  Random random_;
  Policy policy_;
  MemoryModel memory_ = MemoryModel::for_blocks(
      kTiny, random_.between(4, 120), {0, 0, 16 * random_.between(1, 3), 128, 64, 4, 512});
  std::int64_t budget_ = memory_.budget_bytes();
  // With these rates, sometimes swapping is faster and sometimes computing again.
  Scheduler scheduler_{policy_,
                       memory_,
                       {64, 128, 400, random_.between(0, 1) * 20 * kSecond,
                        random_.between(0, 2) * 4'000'000, 10'000}};
  Trouble trouble_ = Trouble::kNone;
  std::int64_t requests_;
  std::int64_t max_new_;
  std::map<std::int64_t, std::int64_t> outputs_;
  std::map<std::int64_t, Live> decoding_;
  std::int64_t submitted_ = 0;
  std::int64_t ended_ = 0;
  std::int64_t now_ = 0;
  bool forming_ = false;  // whether the batch that runs may still take requests
};

// The peak of the sum of all courses, step by step.
std::int64_t plain_peak(const std::vector<Course>& courses, std::int64_t block) {
  std::int64_t peak = 0;
  for (std::int64_t t = 0; t <= 200; ++t) {
    std::int64_t sum = 0;
    for (const Course& course : courses) {
      if (t <= course.last) sum += ceil_div(course.tokens + t, block);
    }
    peak = std::max(peak, sum);
  }
  return peak;
}

void forecast_at_random(Random& random) {
  const std::int64_t block = random.between(1, 40);
  FuturePeak future(block);
  std::vector<Course> courses;
  const auto draw = [&] {
    return Course{random.between(1, 300), 0, 300, random.between(0, random.between(0, 200))};
  };
  for (std::int64_t i = random.between(0, 12); i > 0; --i) courses.push_back(draw());
  future.assign(courses);
  for (std::int64_t i = 0; i < 4; ++i) {
    courses.push_back(draw());
    const std::int64_t peak = plain_peak(courses, block);
    require(future.fits(courses.back(), peak), "a peak that fits is refused");
    require(!future.fits(courses.back(), peak - 1), "a peak beyond the pool is accepted");
    future.add(courses.back());
  }
}

void pack_at_random(Random& random) {
  const std::int64_t capacity = random.between(1, 100);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(random.between(0, 200)));
  for (auto& size : sizes) size = random.between(0, capacity);
  for (const std::string& algorithm : packing_algorithms()) {
    const Packing packing = pack(sizes.data(), sizes.size(), capacity, algorithm);
    std::vector<std::int64_t> filled(static_cast<std::size_t>(packing.num_bins), 0);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      filled.at(static_cast<std::size_t>(packing.bin_of[i])) += sizes[i];
    }
    for (const std::int64_t fill : filled) require(fill <= capacity, "a bin is overfull");
  }
}

// Quantiles and counts of a window against the list of its lengths.
void learn_lengths_at_random(Random& random) {
  const std::size_t size = static_cast<std::size_t>(random.between(1, 40));
  LengthWindow window(size);
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = random.between(0, 80); i > 0; --i) {
    lengths.push_back(random.between(1, 200));
    window.observe(lengths.back());
    if (lengths.size() > size) lengths.erase(lengths.begin());
  }
  window.refresh();
  const std::int64_t tokens = random.between(0, 250);
  const std::int64_t rounded = tokens / LengthWindow::kBucket * LengthWindow::kBucket;
  const auto longer = [&](std::int64_t than) {
    return std::count_if(lengths.begin(), lengths.end(), [&](std::int64_t l) { return l > than; });
  };
  require(window.count() == lengths.size(), "a length is lost");
  require(window.longer_than(tokens) == longer(rounded), "lengths beyond a bucket are miscounted");
  const std::int64_t overflow_ppm = random.between(0, 1'000'000);
  const std::int64_t quantile = window.quantile(tokens, overflow_ppm);
  if (longer(tokens) == 0) {
    require(quantile == 0, "a quantile of nothing");
  } else {
    require(quantile > tokens, "a request that lives is predicted to have ended");
    require(longer(quantile) * 1'000'000 <= longer(tokens) * overflow_ppm,
            "more lengths exceed the quantile than were accepted");
  }
}

// What must hold of a probabilistic forecast whatever the lengths: a larger pool never hurts, one
// more request never helps, and blocks that all requests hold at once are always enough.
void forecast_the_skyline_at_random(Random& random) {
  LengthPredictor predictor;
  for (std::int64_t i = random.between(0, 200); i > 0; --i) {
    predictor.observe(random.between(1, 300), random.between(1, 200));
  }
  const std::int64_t block = random.between(1, 40);
  Skyline skyline(block, 4000);
  skyline.reset();
  const auto draw = [&] {
    const std::int64_t generated = random.between(0, 199);
    const std::int64_t prompt = random.between(1, 300);
    return Course{prompt + generated, generated, 200, 0, &predictor.lengths_after(prompt)};
  };
  const Course candidate = draw();
  std::int64_t worst = ceil_div(candidate.tokens + 200, block);
  std::int64_t enough = -1;  // the smallest pool so far that takes the candidate
  for (std::int64_t others = 0; others < 6; ++others) {
    std::int64_t pool = 0;
    while (!skyline.fits(candidate, pool)) ++pool;
    require(pool >= enough, "one more request made the forecast smaller");
    require(pool <= worst, "more is asked for than all could ever hold");
    require(skyline.fits(candidate, pool + 1), "a larger pool is too small");
    enough = pool;
    const Course other = draw();
    worst += ceil_div(other.tokens + 200, block);
    skyline.add(other);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t cases = argc > 1 ? std::atoll(argv[1]) : 300;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  std::int64_t failed = 0;
  std::int64_t requests = 0;
  for (std::int64_t i = 0; i < cases; ++i) {
    const std::uint64_t case_seed = seed + static_cast<std::uint64_t>(i);
    Random random(case_seed);
    Run run(case_seed);
    try {
      const std::uint64_t hash = run.to_the_end();
      requests += run.requests();
      if (i % 16 == 0) require(hash == Run(case_seed).to_the_end(), "the same inputs, other plans");
      pack_at_random(random);
      forecast_at_random(random);
      learn_lengths_at_random(random);
      forecast_the_skyline_at_random(random);
    } catch (const std::exception& error) {
      ++failed;
      std::printf("case %llu, %s: %s\n", static_cast<unsigned long long>(case_seed),
                  run.policy().id.c_str(), error.what());
    }
  }
  std::printf("core_tests: %lld passed, %lld failed, %lld requests\n",
              static_cast<long long>(cases - failed), static_cast<long long>(failed),
              static_cast<long long>(requests));
  return failed == 0 ? 0 : 1;
}
