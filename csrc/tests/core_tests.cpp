// Drives random policies, pools, requests, aborts and out-of-memory steps through the core, without
// Python, so that sanitizers see all of it. Usage: core_tests [cases] [seed]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "warpgroup/packing.hpp"
#include "warpgroup/scheduler.hpp"

namespace {

using namespace warpgroup;

constexpr std::int64_t kSecond = 1'000'000'000;

void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // std::uniform_int_distribution differs between libraries; a remainder is the same everywhere.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::mt19937_64 engine_;
};

Policy random_policy(Random& random) {
  switch (random.between(0, 3)) {
    case 0:
      return make_policy("count-static",
                         {{"n", static_cast<double>(random.between(1, 40))},
                          {"timeout_s", static_cast<double>(random.between(0, 3))}});
    case 1:
      return make_policy("count-continuous", {{"n", static_cast<double>(random.between(1, 64))}});
    case 2:
      return make_policy("paged",
                         {{"watermark", static_cast<double>(random.between(0, 20)) / 100}});
    default:
      return make_policy("ffd", {{"margin", static_cast<double>(random.between(0, 100)) / 100},
                                 {"age_s", static_cast<double>(random.between(0, 30))}});
  }
}

struct Live {
  std::int64_t output;
  std::int64_t generated;
};

// One run from the first request to the last; the trace is longer than a predictor's cold start.
void drive(Random& random) {
  const ModelGeometry tiny{2, 64, 4, 2, 16, 128, 256, false, false, false, 2};
  const std::int64_t block = 16 * random.between(1, 2);
  const MemoryModel memory =
      MemoryModel::for_blocks(tiny, random.between(4, 120), {0, 0, block, 128, 64, 4, 512});
  const Policy policy = random_policy(random);
  Scheduler scheduler(policy, memory, {64, 128});
  const std::int64_t requests = random.between(1, 160);
  const std::int64_t max_new = random.between(1, 80);
  const bool oom_now_and_then = random.between(0, 3) == 0;

  std::map<std::int64_t, std::int64_t> outputs;
  std::map<std::int64_t, Live> decoding;
  std::int64_t submitted = 0;
  std::int64_t ended = 0;
  std::int64_t now = 0;
  for (std::int64_t turn = 0; ended < requests; ++turn) {
    require(turn < 200'000, "no end in sight");
    while (submitted < requests && random.between(0, 3) > 0) {
      const std::int64_t id = submitted++;
      outputs[id] = random.between(1, max_new);
      if (!scheduler.submit({id, now, random.between(1, 300), max_new}).accepted) ++ended;
    }
    if (submitted > 0 && random.between(0, 20) == 0) {
      const std::int64_t id = random.between(0, submitted - 1);
      if (scheduler.abort(id)) {
        ++ended;
        decoding.erase(id);
      }
    }
    const StepPlan& plan = scheduler.plan(now);
    for (const Evicted& evicted : plan.evicted) decoding.erase(evicted.id);
    for (const Failed& failed : plan.failed) {
      decoding.erase(failed.id);
      ++ended;
    }
    if (plan.horizon == 0) {
      now = plan.wake_ns >= 0 ? std::max(plan.wake_ns, now) : now + kSecond;
      continue;
    }
    const bool over = plan.predicted_bytes > memory.budget_bytes();
    require(!over || !policy.sees_memory(), "a policy that sees memory exceeded it");
    if (over || (oom_now_and_then && random.between(0, 9) == 0)) {
      scheduler.commit_oom();
      now += kSecond;
      continue;
    }
    for (const Joined& joined : plan.joined) {
      decoding[joined.id] = {outputs.at(joined.id), joined.generated - 1};
    }
    std::int64_t steps = random.between(1, plan.horizon);
    for (const auto& [id, live] : decoding) steps = std::min(steps, live.output - live.generated);
    std::vector<std::int64_t> finished;
    for (auto& [id, live] : decoding) {
      live.generated += steps;
      if (live.generated == live.output) finished.push_back(id);
    }
    for (const std::int64_t id : finished) decoding.erase(id);
    ended += static_cast<std::int64_t>(finished.size());
    const StepRecord facts = scheduler.commit(steps, finished);
    require(facts.fragmented_bytes >= 0, "more tokens are held than there are bytes for");
    require(facts.reserved_bytes >= facts.kv_bytes, "less is reserved than is held");
    now += steps * kSecond;
  }
  require(scheduler.running() == 0 || policy.batching == Batching::kStatic, "somebody still runs");
  require(scheduler.waiting() == 0, "somebody still waits");
  require(scheduler.used_blocks() == 0, "blocks are held by nobody");
  require(scheduler.reserved_blocks() == 0, "blocks are promised to nobody");
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

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t cases = argc > 1 ? std::atoll(argv[1]) : 300;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  std::int64_t failed = 0;
  for (std::int64_t i = 0; i < cases; ++i) {
    Random random(seed + static_cast<std::uint64_t>(i));
    try {
      drive(random);
      pack_at_random(random);
    } catch (const std::exception& error) {
      ++failed;
      std::printf("case %lld: %s\n", static_cast<long long>(seed) + static_cast<long long>(i),
                  error.what());
    }
  }
  std::printf("core_tests: %lld passed, %lld failed\n", static_cast<long long>(cases - failed),
              static_cast<long long>(failed));
  return failed == 0 ? 0 : 1;
}
