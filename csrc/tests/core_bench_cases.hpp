// The cases of core_bench: each makes its inputs once, and then works on a part of them that
// depends on nothing but the number of the round.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "warpgroup/packing/bin_packer.hpp"
#include "warpgroup/packing/packing.hpp"
#include "warpgroup/scheduler/admission/skyline.hpp"
#include "warpgroup/scheduler/scheduler.hpp"
#include "warpgroup/simulation/simulated_engine.hpp"
#include "warpgroup/simulation/step_time.hpp"
#include "warpgroup/staging/intake.hpp"
#include "warpgroup/staging/step_slab.hpp"

namespace core_bench {

using namespace warpgroup;

using Numbers = std::vector<std::int64_t>;
// What is done over and over, once its inputs are made; the result depends on all of its work.
using Round = std::function<std::uint64_t(std::int64_t round)>;

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr ModelGeometry kTiny{2, 64, 4, 2, 16, 128, 256, false, false, false, 2};

inline std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// Between `low` and `high`, small numbers more often, as lengths of requests are.
inline Numbers skewed(std::int64_t count, std::int64_t low, std::int64_t high, std::uint64_t seed) {
  Numbers numbers(index(count));
  const auto draw = [&seed] {  // Knuth's MMIX generator; its high bits are the good ones
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::int64_t>(seed >> 44);
  };
  constexpr std::int64_t kDraws = std::int64_t{1} << 20;
  for (std::int64_t& number : numbers) {
    const std::int64_t first = draw();
    number = low + (high - low + 1) * first / kDraws * draw() / kDraws;
  }
  return numbers;
}

// Another input in each round, of the same kind: the numbers from another place on.
inline std::int64_t turned(const Numbers& numbers, std::int64_t i, std::int64_t round) {
  return numbers[index(i + 37 * round) % numbers.size()];
}

inline Round pack_round(const std::string& algorithm) {
  constexpr std::int64_t kItems = 16'384;
  constexpr std::int64_t kShift = 64;
  const Numbers sizes = skewed(2 * kItems, 1, 2048, 1);
  return [sizes, algorithm](std::int64_t round) {
    const std::int64_t* const from = sizes.data() + round * kShift % kItems;
    const auto pack_once = [&] { return pack(from, kItems, 4096, algorithm).num_bins; };
#ifdef WARPGROUP_SLOWER
    if (algorithm == "ffd" && round * WARPGROUP_SLOWER % 100 < WARPGROUP_SLOWER) pack_once();
#endif
    return static_cast<std::uint64_t>(pack_once());
  };
}

// Items come one by one; the oldest leaves once a thousand are there.
inline Round bin_packer_round() {
  constexpr std::int64_t kItems = 16'384;
  constexpr std::int64_t kStay = 1'000;
  return [sizes = skewed(kItems, 1, 2048, 2)](std::int64_t round) {
    BinPacker packer(4096, "first-fit");
    std::vector<std::int32_t> bins;
    std::uint64_t sum = 0;
    for (std::int64_t i = 0; i < kItems; ++i) {
      bins.push_back(packer.insert(turned(sizes, i, round)));
      sum += static_cast<std::uint64_t>(bins.back());
      if (i < kStay) continue;
      packer.remove(bins[index(i - kStay)], turned(sizes, i - kStay, round));
    }
    return sum;
  };
}

// Forecasts with 256 running requests, and whether each of 256 others fits.
inline Round skyline_round() {
  constexpr std::int64_t kRunning = 256;
  const Numbers prompts = skewed(2 * kRunning, 100, 2100, 3);
  const Numbers generated = skewed(2 * kRunning, 0, 900, 4);
  const auto predictor = std::make_shared<LengthPredictor>();
  for (const std::int64_t output : skewed(2000, 1, 1000, 5)) predictor->observe(500, output);
  const LengthWindow* const lengths = &predictor->lengths_after(500);
  const auto course = [=](std::int64_t i, std::int64_t round) {
    const std::int64_t so_far = turned(generated, i, round);
    return Course{turned(prompts, i, round) + so_far, so_far, 1000, 0, lengths};
  };
  return [predictor, course, skyline = Skyline(16, 4000)](std::int64_t round) mutable {
    skyline.reset();
    for (std::int64_t i = 0; i < kRunning; ++i) skyline.add(course(i, round));
    std::uint64_t fitting = 0;
    for (std::int64_t i = kRunning; i < 2 * kRunning; ++i)
      fitting += skyline.fits(course(i, round), 8'000 + 16 * i);
    return fitting;
  };
}

// An executor without a clock: each step takes a millisecond, two requests come before each plan.
inline std::uint64_t serve_all(Scheduler& scheduler, const Numbers& prompts, const Numbers& outputs,
                               std::int64_t round) {
  const auto count = static_cast<std::int64_t>(prompts.size());
  Numbers left(prompts.size());
  std::int64_t submitted = 0, ended = 0, now_ns = 0;
  Numbers moving, finished;
  while (ended < count) {
    for (int i = 0; i < 2 && submitted < count; ++i, ++submitted) {
      const std::int64_t output = turned(outputs, submitted, round);
      left[index(submitted)] = output;
      scheduler.submit({submitted, now_ns, turned(prompts, submitted, round), 256, output});
    }
    const StepPlan& plan = scheduler.plan(now_ns);
    ended += static_cast<std::int64_t>(plan.failed.size());
    now_ns += kMillisecond;
    if (plan.horizon == 0) continue;
    moving = plan.decode;
    for (const Joined& joined : plan.joined) moving.push_back(joined.id);
    finished.clear();
    for (const std::int64_t id : moving)
      if (--left[index(id)] == 0) finished.push_back(id);
    ended += static_cast<std::int64_t>(finished.size());
    scheduler.commit(1, finished);
  }
  return scheduler.plan_hash();
}

inline MemoryModel pool(std::int64_t blocks) {
  MemoryPlan plan;
  plan.step_tokens = 512;
  plan.max_seqs = 64;
  return MemoryModel::for_blocks(kTiny, blocks, plan);
}

inline EngineLimits limits() {
  EngineLimits limits{};
  limits.max_seqs = 64;
  limits.step_tokens = 512;
  return limits;
}

// 300 requests in a pool that is too small for all that could run.
inline Round scheduler_round(const std::string& policy) {
  constexpr std::int64_t kRequests = 300;
  return [policy = make_policy(policy, {}), memory = pool(400),
          prompts = skewed(kRequests, 16, 400, 6),
          outputs = skewed(kRequests, 1, 256, 7)](std::int64_t round) {
    Scheduler scheduler(policy, memory, limits());
    return serve_all(scheduler, prompts, outputs, round);
  };
}

inline StepRates rates() {  // of about an 8-billion-parameter model on a GPU
  StepRates rates{};
  rates.weights_fs = 5'000'000'000'000;
  rates.token_fs = 25'000'000'000;
  rates.sample_fs = 2'000'000'000;
  rates.fresh_pair_fs = rates.continued_pair_fs = 900'000;
  rates.chunk_context_fs = rates.context_fs = 60'000'000;
  rates.swap_fs = 20'000;
  rates.overhead_fs = 300'000'000'000;
  return rates;
}

inline Round simulate_round() {
  constexpr std::int64_t kRequests = 400;
  const auto step_time = std::make_shared<RooflineStepTime>(rates());
  return [step_time, memory = pool(400), policy = make_policy("paged", {}),
          prompts = skewed(kRequests, 16, 400, 8),
          outputs = skewed(kRequests, 1, 256, 9)](std::int64_t round) {
    Numbers arrival_ns;
    for (std::int64_t i = 0; i < kRequests; ++i)
      arrival_ns.push_back(i * (20 + round % 20) * kMillisecond);
    SimulatedTrace trace{ArrivalQueue(std::move(arrival_ns), {}, {}), prompts, outputs, 256};
    Scheduler scheduler(policy, memory, limits());
    Recorder recorder(index(kRequests), memory.budget_bytes());
    SimulatedEngine engine(std::move(trace), scheduler, *step_time, recorder, true, false, false);
    while (!engine.done()) engine.advance(-1, 1'000);
    return scheduler.plan_hash() + static_cast<std::uint64_t>(engine.now_ns());
  };
}

// 1,024 requests through a queue that holds 256.
inline Round intake_round() {
  constexpr std::int64_t kRequests = 1'024;
  constexpr std::int64_t kAtOnce = 128;
  constexpr std::int64_t kLongest = 1'500;
  const auto pages = std::make_shared<std::vector<std::int32_t>>(index(kAtOnce * 2'048));
  const auto log = std::make_shared<std::vector<std::int32_t>>(index(kRequests * kLongest));
  Numbers starts;
  for (std::int64_t i = 0; i < kRequests; ++i) starts.push_back(i * kLongest);
  return [pages, log, starts, memory = pool(400), policy = make_policy("paged", {}),
          prompts = skewed(kRequests, 1, kLongest, 10),
          tokens = skewed(kLongest, 0, 127'999, 11)](std::int64_t round) {
    Intake intake(256, pages->data(), static_cast<std::int64_t>(pages->size()));
    Scheduler scheduler(policy, memory, limits());
    const Intake::Log where{log->data(), static_cast<std::int64_t>(log->size()), starts.data(),
                            kRequests};
    std::uint64_t sum = 0;
    for (std::int64_t i = 0; i < kRequests; ++i) {
      const std::int64_t length = turned(prompts, i, round);
      intake.submit({tokens.data(), length, 8, true}, {i, 256, 0});
      if ((i + 1) % kAtOnce > 0) continue;
      sum += intake.drain(scheduler, where, kAtOnce).submitted.size();
    }
    return sum + static_cast<std::uint64_t>(log->back());
  };
}

// 64 steps in each of which 256 requests decode.
inline Round slab_round() {
  constexpr std::int64_t kRows = 256;
  constexpr std::int64_t kWidth = 128;
  const SlabShape shape{kRows, 0, 0, 0, 0, kRows, kWidth};
  struct State {
    std::vector<std::int32_t> log, tables, slab;
    Numbers starts, requests, tokens, rows;
  };
  const auto state = std::make_shared<State>();
  state->log.resize(1);
  state->tables.resize(index(kRows * kWidth));
  for (std::int64_t i = 0; i < kRows * kWidth; ++i)
    state->tables[index(i)] = static_cast<std::int32_t>(i);
  const auto arrays = slab_arrays(shape);
  state->slab.resize(index(round_up(arrays.back().start + arrays.back().count, kSlabAlignment)));
  state->starts.resize(kRows);
  state->tokens = skewed(kRows, 2, 1'900, 12);
  for (std::int64_t i = 0; i < kRows; ++i) {
    state->requests.push_back(i);
    state->rows.push_back(kRows - 1 - i);
  }
  return [state, shape](std::int64_t round) {
    std::uint64_t sum = 0;
    Numbers tokens = state->tokens, cached = state->tokens;
    for (std::int64_t step = 0; step < 64; ++step) {
      for (std::int64_t& held : cached) held += (round + step) % 2;
      for (std::int64_t& decided : tokens) ++decided;
      const SlabWriter writer({state->log.data(), state->starts.data(), state->requests.data(),
                               tokens.data(), cached.data(), state->tables.data(), kWidth, 16, 0,
                               7});
      writer.write(state->slab.data(), shape, state->rows, {}, 0);
      for (const std::int32_t value : state->slab) sum += static_cast<std::uint64_t>(value);
    }
    return sum;
  };
}

inline Round step_time_round() {
  StepCorrections corrections;
  corrections.tokens = Knots({1, 256, 2'048, 8'192}, {1'000, 4'000, 90'000, 400'000});
  corrections.context = Knots({1, 64, 256}, {9'000'000, 2'000'000, 500'000});
  corrections.longest = SummedKnots(Knots({0, 4'096}, {0, 800'000'000}));
  corrections.row_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  const auto time = std::make_shared<RooflineStepTime>(rates(), corrections);
  return [time, rows = skewed(4'096, 1, 256, 13),
          prompts = skewed(4'096, 1, 2'048, 14)](std::int64_t round) {
    std::uint64_t sum = 0;
    for (std::int64_t i = 0; i < 8'192; ++i) {
      StepWork work;
      work.decode_rows = work.sampled_rows = turned(rows, i, round);
      work.longest_context = turned(prompts, i, round);
      work.context_tokens = work.decode_rows * work.longest_context;
      if (i % 4 == 0) work.prefill_tokens = work.fresh_tokens = work.longest_context;
      work.prefill_pairs = work.fresh_pairs = work.prefill_tokens * (work.prefill_tokens + 1) / 2;
      sum += static_cast<std::uint64_t>(time->cumulative(work, 1 + i % 32));
    }
    return sum;
  };
}

struct Case {
  const char* name;
  std::function<Round()> prepare;
};

inline const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"pack.ffd", [] { return pack_round("ffd"); }},
      {"pack.bfd", [] { return pack_round("bfd"); }},
      {"bin_packer", bin_packer_round},
      {"forecast.skyline", skyline_round},
      {"scheduler.paged", [] { return scheduler_round("paged"); }},
      {"scheduler.skyline", [] { return scheduler_round("skyline"); }},
      {"scheduler.ffd", [] { return scheduler_round("ffd"); }},
      {"simulate.paged", simulate_round},
      {"intake", intake_round},
      {"step_slab", slab_round},
      {"step_time", step_time_round}};
  return all;
}

}  // namespace core_bench
