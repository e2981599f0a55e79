// Producers and a consumer at full speed, for ThreadSanitizer and for counting: order, nothing
// lost, nothing twice, every page given back. Usage: submission_stress [submits] [seed]
//
// Built with WARPGROUP_MUTANT the ring publishes without release: a data race, which
// ThreadSanitizer must find, or the test could not see one.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "warpgroup/scheduler/scheduler.hpp"
#include "warpgroup/staging/intake.hpp"
#include "warpgroup/staging/step_worker.hpp"

namespace {

using namespace warpgroup;

#ifdef WARPGROUP_MUTANT
constexpr bool kMutant = true;
#else
constexpr bool kMutant = false;
#endif
constexpr std::memory_order kPublish =
    kMutant ? std::memory_order_relaxed : std::memory_order_release;

constexpr int kProducers = 4;

void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The end of a call: what it stored is visible by then, and no longer on its way out of this core.
std::int64_t end_ns() {
  static thread_local std::atomic<int> order{0};
  order.exchange(1);
  return now_ns();
}

struct Item {
  int producer;
  std::int64_t number;
};

using Ring = SubmissionRing<Item, kPublish>;

// One call and what it gave. `ticket` is Ring::kFull for a push without space or a pop that finds
// nothing.
struct Call {
  std::int64_t start_ns, end_ns;
  std::uint64_t ticket;
};

struct History {
  std::vector<Call> pushes, pops;
};

// Several producers, some of which claim places side by side, and a consumer that counts.
History run_ring(std::size_t capacity, std::int64_t each) {
  Ring ring(capacity);
  std::vector<std::vector<Call>> pushes(kProducers);
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer)
    producers.emplace_back([&, producer] {
      const std::uint64_t together = producer % 2 == 0 || capacity < 4 ? 1 : 3;
      for (std::int64_t number = 0; number < each;) {
        const std::int64_t start = now_ns();
        const std::uint64_t ticket = ring.claim(together);
        if (ticket != Ring::kFull)
          for (std::uint64_t i = 0; i < together; ++i)
            ring.publish(ticket + i, {producer, number + static_cast<std::int64_t>(i)});
        const std::int64_t end = end_ns();
        if (ticket == Ring::kFull) {
          if (together == 1)
            pushes[static_cast<std::size_t>(producer)].push_back({start, end, ticket});
          std::this_thread::yield();
          continue;
        }
        for (std::uint64_t i = 0; i < together; ++i)
          pushes[static_cast<std::size_t>(producer)].push_back({start, end, ticket + i});
        number += static_cast<std::int64_t>(together);
      }
    });
  History history;
  std::vector<std::int64_t> expected(kProducers, 0);
  const std::int64_t rounds = (each + 2) / 3 * 3;
  const std::int64_t all = 2 * each + 2 * (capacity < 4 ? each : rounds);
  for (std::int64_t popped = 0; popped < all;) {
    Item item{};
    const std::int64_t start = now_ns();
    const bool found = ring.pop(item);
    const std::int64_t end = end_ns();
    history.pops.push_back({start, end, found ? static_cast<std::uint64_t>(popped) : Ring::kFull});
    if (!found) {
      std::this_thread::yield();
      continue;
    }
    require(item.number == expected[static_cast<std::size_t>(item.producer)]++,
            "a producer's items came out of order");
    ++popped;
  }
  for (std::thread& producer : producers) producer.join();
  require(ring.size() == 0, "items are left");
  for (const auto& calls : pushes)
    history.pushes.insert(history.pushes.end(), calls.begin(), calls.end());
  return history;
}

// Whether there is a moment for every call at which a queue would have answered so.
void check_linearisable(History history, std::size_t capacity) {
  auto& pushes = history.pushes;
  const auto by_ticket = [](const Call& a, const Call& b) { return a.ticket < b.ticket; };
  std::sort(pushes.begin(), pushes.end(), by_ticket);
  std::vector<Call> taken, done;
  for (const Call& call : history.pops)
    if (call.ticket != Ring::kFull) taken.push_back(call);
  for (const Call& call : pushes)
    if (call.ticket != Ring::kFull) done.push_back(call);
  require(done.size() == taken.size(), "as many pushes as pops");
  std::int64_t latest_start = 0;
  for (std::size_t i = 0; i < done.size(); ++i) {
    require(done[i].ticket == i && taken[i].ticket == i, "a ticket is missing, or given twice");
    // A push with a larger ticket must not have ended before this one began.
    latest_start = std::max(latest_start, done[i].start_ns);
    require(done[i].end_ns >= latest_start, "tickets are not in the order of calls");
    require(taken[i].end_ns >= done[i].start_ns, "an item was popped before it was pushed");
    if (i >= capacity)
      require(done[i].end_ns >= taken[i - capacity].start_ns, "more items than the ring holds");
  }
  // A pop that found nothing: the item it was for had not been pushed when it began.
  std::size_t next = 0;
  for (const Call& call : history.pops) {
    if (call.ticket != Ring::kFull) {
      ++next;
      continue;
    }
    require(next == done.size() || done[next].end_ns >= call.start_ns, "a pop missed an item");
  }
  // A push without space: enough others had begun, and few enough items were gone, to fill the
  // ring.
  std::vector<std::int64_t> starts, ends;
  for (const Call& call : done) starts.push_back(call.start_ns);
  for (const Call& call : taken) ends.push_back(call.end_ns);
  std::sort(starts.begin(), starts.end());
  for (auto call = pushes.rbegin(); call != pushes.rend() && call->ticket == Ring::kFull; ++call) {
    const auto begun =
        std::upper_bound(starts.begin(), starts.end(), call->end_ns) - starts.begin();
    const auto gone = std::lower_bound(ends.begin(), ends.end(), call->start_ns) - ends.begin();
    require(begun - gone >= static_cast<std::ptrdiff_t>(capacity),
            "a push was refused though there was space");
  }
}

// Every page belongs to one thread at a time, and all come back.
void check_pages(std::int64_t turns, std::uint64_t seed) {
  constexpr std::int64_t kPages = 64;
  std::vector<std::int32_t> memory(kPages * TokenPages::kPageTokens);
  TokenPages pages(memory.data(), static_cast<std::int64_t>(memory.size()));
  std::vector<std::atomic<int>> owner(kPages);
  std::atomic<bool> broken{false};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kProducers; ++thread)
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(thread));
      std::vector<std::int32_t> held;
      const auto mark = [&](std::int32_t chain, int from, int to) {
        for (std::int32_t page = chain; page != TokenPages::kNone; page = pages.after(page))
          if (owner[static_cast<std::size_t>(page)].exchange(to) != from) broken = true;
      };
      for (std::int64_t turn = 0; turn < turns; ++turn) {
        const std::int32_t chain = pages.take(1 + static_cast<std::int64_t>(random() % 5));
        if (chain != TokenPages::kNone) {
          mark(chain, 0, thread + 1);
          pages.tokens_of(chain)[0] = thread;
          held.push_back(chain);
        }
        while (!held.empty() && (chain == TokenPages::kNone || random() % 2 == 0)) {
          if (pages.tokens_of(held.back())[0] != thread) broken = true;
          mark(held.back(), thread + 1, 0);
          pages.give_back(held.back());
          held.pop_back();
        }
      }
      for (const std::int32_t chain : held) {
        mark(chain, thread + 1, 0);
        pages.give_back(chain);
      }
    });
  for (std::thread& thread : threads) thread.join();
  require(!broken, "a page belonged to two threads");
  require(pages.free_pages() == kPages, "a page was lost");
  const std::int32_t all = pages.take(kPages);
  require(all != TokenPages::kNone, "the chain of free pages is broken");
}

Scheduler make_scheduler() {
  ModelGeometry model{};
  model.layers = model.kv_heads = model.query_heads = 1;
  model.hidden = model.head_dim = model.intermediate = model.vocab = 64;
  model.dtype_bytes = 2;
  MemoryPlan plan;
  plan.max_seqs = 64;
  plan.step_tokens = 64;
  return Scheduler(make_policy("paged", {}), MemoryModel(model, std::int64_t{1} << 26, plan),
                   {64, 64});
}

// Requests through the whole path, with aborts among them: each is met once, by the scheduler with
// its prompt or by a refusal at submission.
void check_intake(std::int64_t submits, std::uint64_t seed) {
  std::vector<std::int32_t> memory(256 * TokenPages::kPageTokens);
  Intake intake(128, memory.data(), static_cast<std::int64_t>(memory.size()));
  std::atomic<std::int64_t> submitted{0}, refused{0}, running{kProducers};
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer)
    producers.emplace_back([&, producer] {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(producer));
      std::vector<std::int32_t> prompt(600);
      for (std::int64_t turn = 0; turn < submits / kProducers; ++turn) {
        const auto tokens = static_cast<std::int64_t>(1 + random() % 600);
        for (std::int64_t i = 0; i < tokens; i += 97)
          prompt[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(tokens + i);
        // Some do not wait, some wait for a moment, some as long as it takes.
        const std::int64_t timeouts[] = {0, 1000, -1};
        try {
          const std::int64_t id = intake.submit({prompt.data(), tokens, 4, true}, {turn, 10, 0},
                                                timeouts[random() % 3]);
          ++submitted;
          if (random() % 4 == 0) intake.abort(id, -1);
        } catch (const QueueFull&) {
          ++refused;
        }
      }
      if (--running == 0) intake.close();
    });

  Scheduler scheduler = make_scheduler();
  std::vector<std::int32_t> log(600);
  // Every prompt is written to the same place, and looked at there.
  const std::vector<std::int64_t> starts(static_cast<std::size_t>(2 * submits), 0);
  std::int64_t met = 0, aborted = 0, last = -1;
  std::vector<std::int64_t> left;
  const Intake::Log to{log.data(), static_cast<std::int64_t>(log.size()), starts.data(),
                       static_cast<std::int64_t>(starts.size())};
  while (intake.wait(-1)) {
    const Drained drained = intake.drain(scheduler, to, 1);
    aborted += drained.aborted;
    for (const auto& each : drained.refused) require(!drained.submitted.empty(), each.reason);
    for (const std::int64_t id : drained.submitted) {
      require(id > last, "a request came twice, or out of order");
      last = id;
      ++met;
      for (std::size_t i = 97; i < log.size() && log[i] == log[0] + static_cast<std::int32_t>(i);
           i += 97)
        require(static_cast<std::int32_t>(i) <= log[0], "a prompt is not what was submitted");
      if (!drained.refused.empty()) continue;
      // Some are left for the aborts that are queued behind them.
      if (id % 3 == 0)
        left.push_back(id);
      else
        require(scheduler.abort(id), "the scheduler does not know what it accepted");
    }
    if (left.size() == 1000) {
      for (const std::int64_t id : left) scheduler.abort(id);
      left.clear();
      require(scheduler.waiting() == 0, "the scheduler kept what was aborted");
    }
  }
  for (std::thread& producer : producers) producer.join();
  require(met == submitted,
          "submitted " + std::to_string(submitted) + ", met " + std::to_string(met));
  require(submitted + refused == submits / kProducers * kProducers, "a call gave no answer");
  require(intake.queued() == 0, "items are left in the queue");
  require(intake.free_tokens() == static_cast<std::int64_t>(memory.size()), "pages are left");
  try {
    intake.submit({memory.data(), 1, 4, true}, {0, 1, 0});
    require(false, "a closed queue took a request");
  } catch (const QueueFull&) {
  }
  std::printf("intake: %lld submitted, %lld refused, %lld aborts met a request\n",
              static_cast<long long>(submitted), static_cast<long long>(refused),
              static_cast<long long>(aborted));
}

// Producers, the planning thread, and a caller that runs its plans: every request makes all of its
// tokens, and no block is left.
void check_worker(std::int64_t requests, std::uint64_t seed) {
  constexpr std::int64_t kPrompt = 40, kOutput = 6, kTokens = kPrompt + kOutput;
  std::vector<std::int32_t> memory(64 * TokenPages::kPageTokens);
  Intake intake(32, memory.data(), static_cast<std::int64_t>(memory.size()));
  Scheduler scheduler = make_scheduler();
  const auto count = static_cast<std::size_t>(requests);
  std::vector<std::int32_t> log(count * kTokens + 1);
  std::vector<std::int64_t> starts(count);
  for (std::size_t i = 0; i < count; ++i) starts[i] = static_cast<std::int64_t>(i) * kTokens;
  BlockManager block_manager(64, 3, 16);
  StepBuilder builder(
      {log.data(), requests * kTokens, starts, std::vector<std::int64_t>(count, kPrompt),
       std::vector<std::int64_t>(count, kTokens)},
      block_manager, seed, false);
  StepWorker worker(intake, scheduler, StepStager(builder, 3, {}),
                    {log.data(), static_cast<std::int64_t>(log.size()), starts.data(), requests},
                    0);
  std::vector<std::thread> producers;
  std::atomic<std::int64_t> left{requests};
  for (int producer = 0; producer < kProducers; ++producer)
    producers.emplace_back([&] {
      const std::vector<std::int32_t> prompt(kPrompt, 7);
      while (left.fetch_sub(1) > 0)
        intake.submit({prompt.data(), kPrompt, 4, true}, {0, kOutput, 0}, -1);
    });
  std::vector<std::int32_t> slabs[2] = {std::vector<std::int32_t>(4096),
                                        std::vector<std::int32_t>(4096)};
  std::int64_t finished = 0, drawn = 0;
  for (std::size_t step = 0; finished < requests; ++step) {
    auto& slab = slabs[step % 2];
    worker.begin({slab.data(), static_cast<std::int64_t>(slab.size())});
    StagedStep staged = worker.take();
    if (staged.plan.horizon == 0) {
      intake.wait(1'000'000);
      continue;
    }
    if (staged.missing_blocks > 0) {
      block_manager.resize(block_manager.blocks() + staged.missing_blocks);
      builder.hold();
      builder.write(slab.data(), staged.shape, staged.captured);
    }
    const StepDraws draws = builder.launched();
    drawn += static_cast<std::int64_t>(draws.places.size());
    for (const std::int64_t place : draws.places) log[static_cast<std::size_t>(place)] = 9;
    scheduler.commit(1, draws.finished);
    builder.retire(draws.finished);
    finished += static_cast<std::int64_t>(draws.finished.size());
  }
  for (std::thread& producer : producers) producer.join();
  require(drawn == requests * kOutput, "tokens were lost, or drawn twice");
  require(block_manager.free_blocks() == block_manager.blocks(), "blocks are left");
  for (std::size_t i = 0; i < count * kTokens; ++i)
    require(log[i] == (i % kTokens < kPrompt ? 7 : 9), "a token is not where it belongs");
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t submits = argc > 1 ? std::atoll(argv[1]) : 200'000;
  const auto seed = static_cast<std::uint64_t>(argc > 2 ? std::atoll(argv[2]) : 1);
  try {
    for (const std::size_t capacity : {2, 8, 1024})
      check_linearisable(run_ring(capacity, std::min<std::int64_t>(submits / 16, 50'000)),
                         capacity);
    if (!kMutant) {
      check_pages(std::min<std::int64_t>(submits / 8, 100'000), seed);
      check_intake(submits, seed);
      check_worker(std::min<std::int64_t>(submits / 20, 20'000), seed);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "submission_stress: %s\n", error.what());
    return 1;
  }
  std::printf("submission_stress: all held\n");
}
