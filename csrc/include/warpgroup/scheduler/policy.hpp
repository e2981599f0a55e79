#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace warpgroup {

// Each ingredient of a policy is one switch, so that a gain can be attributed to it.
enum class Batching {
  kPadded,  // a batch is formed, padded to its longest prompt, and run until its last request ends
  kBins,    // the queue is packed into bins; each runs until its last request ends, unpadded
  kContinuous,  // requests join and leave at every step; prompts are prefilled in chunks
};
// What must hold for a request to be admitted; scheduler/admission/ has one file for each.
enum class Admission {
  kBlind,         // nothing: memory is ignored, and a step may need more than there is
  kPromptFits,    // the whole prompt fits into the blocks that are free now
  kPeakReserved,  // the promised peak of the request fits beside all other promises
  kTokenRatio,    // prompt and promise fit beside a share of what is promised to the others
  kFuturePeak,    // the sum of all predicted courses peaks within the pool
  kSkyline,       // the same for the distribution of the sum: it overflows with small probability
};
// The tokens that a request's reservation is for.
enum class Promise {
  kMaxNew,     // prompt + max_new_tokens
  kLongest,    // the longest sequence that the engine accepts
  kPredicted,  // prompt + a quantile of the outputs seen, given what is generated already
};
enum class Order {
  kArrival,
  kLongestFirst,   // decreasing prompt + max_new_tokens
  kShortestFirst,  // increasing output, as far as it is known
  kSmallestFirst,  // increasing prompt + output, as far as it is known
};
// Which requests share a step's tokens, and in which order.
enum class Mixing {
  kRunningFirst,  // running requests in order of admission, decoding or prefilling, then new ones
  kDecodeFirst,   // all decoding requests, then prefilling ones, then new ones
  kPrefillFirst,  // a step prefills if any request can, and decodes only otherwise
};
// The request that is evicted when memory runs out.
enum class Victim {
  kNewest,       // the one that was admitted last
  kLeastOutput,  // the one that generated least; of equals, the one with the longest prompt
  kCheapest,     // the one that is restored fastest, by swapping or by computing again
};

struct Policy {
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  std::string id;
  Batching batching = Batching::kContinuous;
  Admission admission = Admission::kBlind;
  Promise promise = Promise::kMaxNew;
  Order order = Order::kArrival;
  Mixing mixing = Mixing::kRunningFirst;
  Victim victim = Victim::kNewest;
  bool barrier = false;            // requests join a batch only while it is being formed
  bool overtake = false;           // a request that does not fit is passed over until it has aged
  bool holds_promise = false;      // the blocks of the promised peak are taken at admission
  bool sees_lengths = false;       // true output lengths are known: an upper bound, not a policy
  std::int64_t max_requests = 0;   // cap on the number of running requests; 0: the engine's
  std::int64_t timeout_ns = 0;     // padded: how long an incomplete batch waits for more requests
  std::int64_t step_tokens = 0;    // cap on the tokens of a step; 0: the engine's
  std::int64_t chunk_tokens = 0;   // prefill tokens of a step while memory is short; 0: no limit
  std::int64_t watermark_ppm = 0;  // share of the pool that new requests may not take
  std::int64_t overflow_ppm = 0;   // accepted probability that a prediction is exceeded
  std::int64_t age_ns = kNever;    // wait after which no other request may overtake this one
  std::int64_t window = 0;         // how many waiting requests are searched; 0: all
  std::int64_t ratio_ppm = 0;      // token-ratio: the share that a fresh estimate starts from
  std::int64_t swap_bytes = 0;     // pinned host memory for the caches of evicted requests

  bool sees_memory() const { return admission != Admission::kBlind; }
  bool is_padded() const { return batching == Batching::kPadded; }
};

// Throws std::invalid_argument for a combination of switches that no batcher honours.
void check(const Policy& policy);

// The value of a switch: a choice by its name (such as "prompt-fits"), a number, or on and off.
using SwitchValue = std::variant<std::string, std::int64_t, bool>;
using Switches = std::vector<std::pair<std::string, SwitchValue>>;

// Every field of a policy but its id, by name, in the order of the struct. Two policies with equal
// switches make the same plans.
Switches switches(const Policy& policy);

struct PolicyParameter {
  std::string name;
  double default_value;
  double lowest;
  double highest;
  std::string meaning;
  bool whole = false;  // only whole numbers
};

struct PolicyInfo {
  std::string id;
  std::string stands_for;  // what it does, and which engine or paper it follows
  std::string engine;      // the engine that runs this policy, such as "vLLM V1"; "" if none does
  std::string formula;     // when a request is admitted, as one line
  std::vector<PolicyParameter> parameters;
};

// Every policy of src/scheduler/policies, in the order in which reports show them.
const std::vector<PolicyInfo>& policy_catalogue();

// A policy by its id, with `parameters` in place of the defaults. Throws std::invalid_argument for
// an unknown id or parameter, a value that is out of range, or what check() refuses.
Policy make_policy(const std::string& id, const std::map<std::string, double>& parameters);

}  // namespace warpgroup
