// Policies that are not in the catalogue: which switches go together, and what a new combination
// does.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "warpgroup/scheduler/scheduler.hpp"

namespace {

using namespace warpgroup;

static_assert(!std::is_copy_constructible_v<SchedulerState>);
static_assert(!std::is_move_constructible_v<SchedulerState>);
static_assert(!std::is_copy_constructible_v<WaitingQueue>);
static_assert(!std::is_move_constructible_v<WaitingQueue>);

constexpr ModelGeometry kTiny{2, 64, 4, 2, 16, 128, 256, false, false, false, 2};

void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

Scheduler make_scheduler(const Policy& policy, std::int64_t blocks) {
  return Scheduler(policy, MemoryModel::for_blocks(kTiny, blocks, {0, 0, 16, 256, 64, 4, 512}),
                   {64, 256});
}

std::string refusal(const Policy& policy) {
  try {
    check(policy);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

template <class Change>
void expect_refusal(Change change, const std::string& part) {
  Policy policy;
  policy.id = "mine";
  require(refusal(policy).empty(), "the default policy is refused");
  change(policy);
  const std::string found = refusal(policy);
  require(found.find("policy 'mine': " + part) == 0,
          "expected '" + part + "', found '" + found + "'");
  try {
    make_scheduler(policy, 10);
  } catch (const std::invalid_argument&) {
    return;
  }
  require(false, "a scheduler took a policy that is refused");
}

void refuses_what_no_batcher_honours() {
  for (const Victim victim : {Victim::kCheapest, Victim::kLeastOutput}) {
    expect_refusal(
        [&](Policy& policy) {
          policy.mixing = Mixing::kDecodeFirst;
          policy.victim = victim;
        },
        "mixing decode-first needs victim newest");
  }
  const auto refuse_with = [](Batching batching, auto change, const std::string& part) {
    expect_refusal(
        [&](Policy& policy) {
          policy.batching = batching;
          change(policy);
        },
        part);
  };
  refuse_with(
      Batching::kPadded, [](Policy& p) { p.order = Order::kLongestFirst; },
      "batching padded takes requests in arrival order");
  refuse_with(
      Batching::kPadded, [](Policy& p) { p.overtake = true; },
      "batching padded takes requests in arrival order");
  refuse_with(
      Batching::kPadded, [](Policy& p) { p.victim = Victim::kCheapest; },
      "batching padded splits its batch");
  refuse_with(
      Batching::kPadded, [](Policy& p) { p.admission = Admission::kPromptFits; },
      "batching padded ignores memory");
  refuse_with(
      Batching::kBins, [](Policy& p) { p.barrier = true; },
      "batching padded and batching bins let no request join");
  refuse_with(Batching::kBins, [](Policy& p) { p.overtake = true; }, "batching bins runs one bin");
  refuse_with(
      Batching::kContinuous, [](Policy& p) { p.holds_promise = true; },
      "holds_promise needs admission peak-reserved");
}

void accepts_every_policy_of_the_catalogue() {
  for (const PolicyInfo& info : policy_catalogue()) {
    require(refusal(make_policy(info.id, {})).empty(), info.id + " is refused");
  }
}

// Two bins of two requests. The forecast for the second bin must not count the first bin's.
void bins_forecast_the_requests_that_run() {
  Policy policy;
  policy.batching = Batching::kBins;
  policy.admission = Admission::kFuturePeak;
  Scheduler scheduler = make_scheduler(policy, 4);
  for (std::int64_t id = 0; id < 4; ++id) scheduler.submit({id, 0, 16, 17});  // peaks of 2 blocks
  const std::vector<std::int64_t> first = scheduler.plan(0).admitted;
  require(first.size() == 2, "the first bin is not of two requests");
  scheduler.commit(1, first);
  require(scheduler.plan(1).admitted.size() == 2, "the second bin is not of two requests");
}

}  // namespace

int main() {
  try {
    refuses_what_no_batcher_honours();
    accepts_every_policy_of_the_catalogue();
    bins_forecast_the_requests_that_run();
  } catch (const std::exception& error) {
    std::printf("policy_tests: %s\n", error.what());
    return 1;
  }
  std::printf("policy_tests: all held\n");
}
