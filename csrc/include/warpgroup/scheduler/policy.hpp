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
  kPadded,      // a batch is formed, padded to its longest and run until its last request ends
  kBins,        // the queue is packed into bins; each is run until its last request ends, unpadded
  kContinuous,  // requests join and leave at every step; prompts are prefilled in chunks
};
enum class Admission {
  kBlind,         // memory is not looked at: a step may need more than there is
  kPromptFits,    // the whole prompt must fit into the blocks that are free now
  kPeakReserved,  // the promised peak of the request must fit beside all other promises
  kTokenRatio,    // prompt and promise must fit beside a share of what is promised to the others
  kFuturePeak,    // the peak over time of the sum of all predicted courses must fit
  kSkyline,       // the same for the distribution of the sum: it overflows with small probability
};
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
enum class Mixing {
  kRunningFirst,  // running requests in order of admission, decoding or prefilling, then new ones
  kDecodeFirst,   // all that decode, then those that prefill, then new ones
  kPrefillFirst,  // a step prefills if anybody can, and decodes only otherwise
};
enum class Victim {
  kNewest,       // the last one admitted
  kLeastOutput,  // the one that generated least, of equals the longest prompt
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
  bool barrier = false;            // nobody joins a batch that runs: only one that is being formed
  bool overtake = false;           // one that does not fit is passed over until it has aged
  bool holds_promise = false;      // blocks of the promised peak are taken at admission
  bool sees_lengths = false;       // true output lengths are known: an upper bound, not a policy
  std::int64_t max_requests = 0;   // cap on the number of running requests; 0: the engine's
  std::int64_t timeout_ns = 0;     // padded: how long an incomplete batch waits for company
  std::int64_t step_tokens = 0;    // cap on the tokens of a step; 0: the engine's
  std::int64_t chunk_tokens = 0;   // prefill tokens of a step while memory is short; 0: no limit
  std::int64_t watermark_ppm = 0;  // share of the pool kept free of new requests
  std::int64_t overflow_ppm = 0;   // accepted probability that a prediction is exceeded
  std::int64_t age_ns = kNever;    // a wait after which nobody may overtake
  std::int64_t window = 0;         // how many waiting requests are looked at; 0: all
  std::int64_t ratio_ppm = 0;      // token-ratio: the share that a fresh estimate starts from
  std::int64_t swap_bytes = 0;     // pinned host memory for the caches of evicted requests

  bool sees_memory() const { return admission != Admission::kBlind; }
  bool is_padded() const { return batching == Batching::kPadded; }
};

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
  std::string stands_for;
  std::vector<PolicyParameter> parameters;
};

// Every policy there is, in the order in which reports show them.
const std::vector<PolicyInfo>& policy_catalogue();

// A policy by its id, with `parameters` in place of the defaults. Throws std::invalid_argument for
// an unknown id or parameter, or a value that is out of range.
Policy make_policy(const std::string& id, const std::map<std::string, double>& parameters);

}  // namespace warpgroup
