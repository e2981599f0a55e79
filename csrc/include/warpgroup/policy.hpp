#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace warpgroup {

// Each ingredient of a policy is one switch, so that a gain can be attributed to it.
enum class Batching {
  kStatic,      // a batch is formed, padded and run until its last request ends
  kContinuous,  // requests join and leave at every step; prompts are prefilled in chunks
};
enum class Admission {
  kBlind,         // memory is not looked at: a step may need more than there is
  kPromptFits,    // the whole prompt must fit into the blocks that are free now
  kPeakReserved,  // the predicted peak of the request must fit beside all other reservations
};
enum class Order {
  kArrival,       // first in, first out; a request that does not fit holds up all behind it
  kLongestFirst,  // decreasing prompt + max_new_tokens; one that does not fit is passed over
};

struct Policy {
  std::string id;
  Batching batching;
  Admission admission;
  Order order;
  std::int64_t max_requests = 0;   // cap on the number of running requests; 0: the engine's
  std::int64_t timeout_ns = 0;     // static: how long an incomplete batch waits for company
  std::int64_t watermark_ppm = 0;  // prompt-fits: share of the pool kept free of new requests
  std::int64_t overflow_ppm = 0;   // peak-reserved: probability of outgrowing a reservation
  std::int64_t age_ns = 0;         // longest-first: a wait after which nobody may overtake

  bool sees_memory() const { return admission != Admission::kBlind; }
};

struct PolicyParameter {
  std::string name;
  double default_value;
  double lowest;
  double highest;
  std::string meaning;
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
