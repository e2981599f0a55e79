// Who loses its place when memory falls short, and what becomes of its cache.

#include <algorithm>

#include "warpgroup/scheduler/scheduler.hpp"

namespace warpgroup {

// At least two requests run.
Sequence& Scheduler::choose_victim(std::int64_t missing_blocks) {
  switch (policy_.victim) {
    case Victim::kNewest:
      break;
    case Victim::kLeastOutput:
      return **std::min_element(running_.begin(), running_.end(),
                                [](const Sequence* a, const Sequence* b) {
                                  if (a->generated != b->generated)
                                    return a->generated < b->generated;
                                  return a->request.prompt_tokens > b->request.prompt_tokens;
                                });
    case Victim::kCheapest:
      take_stock();
      return cheapest_that_frees(std::max(missing_blocks, skyline_.excess(pool_blocks_)));
  }
  return *running_.back();
}

// Of those that hold enough, so that one eviction ends the shortage, the one that is restored
// fastest; of equals the newest. If nobody does, the one that holds most. The one that runs longest
// is spared: it gets to its end, so that no two requests can evict each other for ever.
Sequence& Scheduler::cheapest_that_frees(std::int64_t blocks) {
  return **std::min_element(running_.rbegin(), running_.rend() - 1,
                            [this, blocks](const Sequence* a, const Sequence* b) {
                              const bool a_frees = a->blocks >= blocks;
                              const bool b_frees = b->blocks >= blocks;
                              if (a_frees != b_frees) return a_frees;
                              if (!a_frees) return a->blocks > b->blocks;
                              return restore_ns(*a) < restore_ns(*b);
                            });
}

// Time until its cache is back: two copies over the host link, or computing it again.
std::int64_t Scheduler::restore_ns(const Sequence& sequence) const {
  constexpr double kSecond = 1e9;
  if (swaps(sequence)) {
    const auto bytes = static_cast<double>(sequence.blocks * memory_.block_bytes());
    return static_cast<std::int64_t>(2 * bytes * kSecond /
                                     static_cast<double>(limits_.swap_bytes_s));
  }
  const std::int64_t rate = std::max<std::int64_t>(limits_.prefill_tokens_s, 1);
  return static_cast<std::int64_t>(static_cast<double>(sequence.cached) * kSecond /
                                   static_cast<double>(rate));
}

bool Scheduler::swaps(const Sequence& sequence) const {
  if (policy_.swap_bytes == 0 || limits_.swap_bytes_s == 0 || sequence.cached == 0) return false;
  const std::int64_t bytes = blocks_for(sequence.cached) * memory_.block_bytes();
  if (host_bytes_ + bytes > policy_.swap_bytes) return false;
  // bytes / link * 2 < cached / prefill rate, without rounding.
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(limits_.prefill_tokens_s) <
         static_cast<double>(sequence.cached) * static_cast<double>(limits_.swap_bytes_s);
}

// Takes a request that is no longer in `running_` back to the front of the queue.
Evicted Scheduler::evict(Sequence& sequence) {
  Evicted evicted{sequence.request.id, sequence.cached, 0, sequence.blocks * memory_.block_bytes(),
                  0};
  if (swaps(sequence)) {
    evicted.lost_tokens = 0;
    evicted.swapped_bytes = blocks_for(sequence.cached) * memory_.block_bytes();
    sequence.on_host = sequence.cached;
    host_bytes_ += evicted.swapped_bytes;
    plan_.work.swap_bytes += evicted.swapped_bytes;
  }
  used_blocks_ -= sequence.blocks;
  reserved_blocks_ -= sequence.reserved;
  filled_tokens_ -= sequence.cached;
  sequence.cached = sequence.blocks = sequence.reserved = sequence.scheduled = 0;
  sequence.prefilled = false;
  sequence.preemptions += 1;
  sequence.queued_ns = plan_.plan_ns;
  skyline_.learn_from_eviction();
  waiting_.push_front(&sequence);
  admission_may_change_ = true;
  return evicted;
}

void Scheduler::give_up_host_memory(Sequence& sequence) {
  host_bytes_ -= blocks_for(sequence.on_host) * memory_.block_bytes();
  sequence.on_host = 0;
}

// SGLang's estimate after a retraction: what the rest have generated, and 20 steps more, of what
// they may generate.
void Scheduler::raise_token_ratio() {
  std::int64_t generated = 0;
  std::int64_t limit = 1;
  for (const Sequence* sequence : running_) {
    generated += sequence->generated + 20;
    limit += sequence->request.max_new_tokens;
  }
  token_ratio_ppm_ = std::min<std::int64_t>(generated * 1'000'000 / limit, 1'000'000);
}

}  // namespace warpgroup
