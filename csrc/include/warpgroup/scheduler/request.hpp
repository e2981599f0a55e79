#pragma once

#include <cstdint>
#include <list>

namespace warpgroup {

// What a policy may know of a request before it ends.
struct Request {
  // Larger values are refused, so that sums and products of them cannot overflow.
  static constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;
  static constexpr std::int64_t kLatestNs = std::int64_t{1} << 62;

  std::int64_t id;
  std::int64_t arrival_ns;
  std::int64_t prompt_tokens;
  std::int64_t max_new_tokens;
  std::int64_t output_tokens = 0;  // the true length; kept only under a policy that sees it
};

// A request inside the scheduler: how far it is, and what it holds.
struct Sequence {
  Request request;
  std::int64_t ticket;         // order of submission, from 0
  std::int64_t queued_ns;      // when it last joined the waiting queue
  std::int64_t generated = 0;  // output tokens made so far, kept when evicted
  std::int64_t cached = 0;     // tokens whose keys and values are held
  std::int64_t blocks = 0;     // KV blocks held
  std::int64_t reserved = 0;   // KV blocks promised to it; 0 under policies without promises
  std::int64_t scheduled = 0;  // tokens that the outstanding plan computes for it
  std::int64_t wanted = 0;     // KV blocks that these tokens need beyond the ones it holds
  std::int64_t on_host = 0;    // tokens whose keys and values were swapped out
  std::int64_t end_step = 0;   // predicted step of its last token (future peak only)
  std::int64_t preemptions = 0;
  bool prefilled = false;  // from the step after its prefill completed: it decodes
  bool ended = false;      // finished or aborted, but its row lives until the static batch ends
  bool in_window = false;  // in the window of the waiting queue
  bool finishes = false;   // the commit that is being made names it: this step made its last token
  std::list<Sequence*>::iterator place{};  // its node in the waiting queue, while it waits

  // Tokens that have been decided: the prompt and what was generated.
  std::int64_t tokens() const { return request.prompt_tokens + generated; }
  // 1 for a request that decodes; more while a prompt, or a recomputation, is to be prefilled.
  std::int64_t to_compute() const { return tokens() - cached; }
  std::int64_t remaining_limit() const { return request.max_new_tokens - generated; }
};

}  // namespace warpgroup
