#include "warpgroup/policy.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace warpgroup {

namespace {

constexpr double kNoLimit = 1e6;

const PolicyParameter kCount{"n", 32, 1, kNoLimit, "requests in a batch"};

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

std::int64_t millionths(double share) { return std::llround(share * 1e6); }
std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

// The given parameters over the defaults, each one checked.
std::map<std::string, double> resolve(const PolicyInfo& info,
                                      const std::map<std::string, double>& given) {
  std::map<std::string, double> values;
  for (const PolicyParameter& parameter : info.parameters) {
    values[parameter.name] = parameter.default_value;
  }
  for (const auto& [name, value] : given) {
    const auto parameter =
        std::find_if(info.parameters.begin(), info.parameters.end(),
                     [key = name](const PolicyParameter& p) { return p.name == key; });
    if (parameter == info.parameters.end()) {
      std::string known;
      for (const PolicyParameter& p : info.parameters)
        known += (known.empty() ? "" : ", ") + p.name;
      throw std::invalid_argument("policy '" + info.id + "' has no parameter '" + name +
                                  "': it takes " + known);
    }
    if (!(value >= parameter->lowest && value <= parameter->highest)) {
      throw std::invalid_argument("policy '" + info.id + "': " + name + " is " + text(value) +
                                  ", expected " + text(parameter->lowest) + " to " +
                                  text(parameter->highest));
    }
    if (name == "n" && value != std::floor(value)) {
      throw std::invalid_argument("policy '" + info.id + "': n is " + text(value) +
                                  ", expected a whole number");
    }
    values[name] = value;
  }
  return values;
}

}  // namespace

const std::vector<PolicyInfo>& policy_catalogue() {
  static const std::vector<PolicyInfo> catalogue{
      {"count-static",
       "The classic baseline (FasterTransformer, model.generate in a loop): wait for n requests or "
       "a timeout, pad every prompt to the longest, run until the last request of the batch ends. "
       "Finished rows keep their memory and are computed on. Blind to memory: a batch can run out "
       "of it; it is then split in two and started again.",
       {kCount,
        {"timeout_s", 1, 0, 86'400, "how long an incomplete batch waits for company, in seconds"}}},
      {"count-continuous",
       "Iteration-level batching (Orca's scheduling without its reservation): requests join and "
       "leave at every step while fewer than n run. Blind to memory: a step can run out of it; the "
       "newest request is then evicted and computed again later.",
       {kCount}},
      {"paged",
       "vLLM V1: running requests first, then waiting ones in arrival order while the whole prompt "
       "fits into free KV blocks; no room is kept for outputs. When a block is missing the newest "
       "request is evicted and computed again; nobody is admitted in such a step.",
       {{"watermark", 0, 0, 0.5, "share of the KV pool kept free of new requests"}}},
      {"ffd",
       "First-fit decreasing, continuously: the longest waiting request whose predicted peak fits "
       "beside all reserved peaks is admitted first. The prediction is a quantile of the output "
       "lengths seen so far; a request that waited age_s may not be overtaken any more.",
       {{"margin", 0.05, 0, 1, "accepted probability that a request outgrows its reserved peak"},
        {"age_s", 10, 0, 86'400, "wait after which nobody may overtake, in seconds"}}},
  };
  return catalogue;
}

Policy make_policy(const std::string& id, const std::map<std::string, double>& parameters) {
  const auto& catalogue = policy_catalogue();
  const auto info = std::find_if(catalogue.begin(), catalogue.end(),
                                 [&](const PolicyInfo& p) { return p.id == id; });
  if (info == catalogue.end()) throw std::invalid_argument("unknown policy '" + id + "'");
  auto values = resolve(*info, parameters);

  Policy policy{id, Batching::kContinuous, Admission::kBlind, Order::kArrival};
  if (id == "count-static") policy.batching = Batching::kStatic;
  if (id == "paged") policy.admission = Admission::kPromptFits;
  if (id == "ffd") {
    policy.admission = Admission::kPeakReserved;
    policy.order = Order::kLongestFirst;
  }
  policy.max_requests = static_cast<std::int64_t>(values["n"]);
  policy.timeout_ns = nanoseconds(values["timeout_s"]);
  policy.watermark_ppm = millionths(values["watermark"]);
  policy.overflow_ppm = millionths(values["margin"]);
  policy.age_ns = nanoseconds(values["age_s"]);
  return policy;
}

}  // namespace warpgroup
