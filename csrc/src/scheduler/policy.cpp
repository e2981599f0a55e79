#include "warpgroup/scheduler/policy.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <sstream>
#include <stdexcept>

namespace warpgroup {

namespace {

using Values = std::map<std::string, double>;

// One row of the catalogue: what a policy is called, and how its switches stand.
struct Definition {
  PolicyInfo info;
  std::function<void(Policy&, const Values&)> configure;
};

std::int64_t whole(double value) { return std::llround(value); }
std::int64_t millionths(double share) { return std::llround(share * 1e6); }
std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }
std::int64_t gibibytes(double gib) { return std::llround(gib * (1 << 30)); }

const PolicyParameter kCount{"n", 32, 1, 1e6, "requests in a batch", true};
const PolicyParameter kBarrier{
    "barrier", 0, 0, 1, "1: nobody joins a batch that runs: static batches without their padding",
    true};
const PolicyParameter kMargin{"margin", 0.05, 0, 1,
                              "accepted probability that a request outgrows its reserved peak"};
const PolicyParameter kAge{"age_s", 10, 0, 86'400,
                           "wait after which nobody may overtake, in seconds"};
const PolicyParameter kWindow{
    "window", 256, 1, 1e6, "how many waiting requests are looked at for one that fits", true};
const PolicyParameter kLengths{"lengths", 0, 0, 1, "1: true output lengths are known (a bound)",
                               true};
const PolicyParameter kSkylineMargin{"margin", 0.004, 1e-6, 0.5,
                                     "accepted share of requests that are evicted"};
const PolicyParameter kOrder{"order", 0, 0, 2, "0: arrival, 1: longest first, 2: smallest first",
                             true};
const PolicyParameter kChunk{
    "chunk", 128, 0, 1e6, "prefill tokens of a step while half the pool is used; 0: no limit",
    true};
const PolicyParameter kEager{
    "eager",
    0,
    0,
    1,
    "1: every prompt that fits now is admitted, for hosts to which a cache is swapped in a step or "
    "two: an eviction then costs less than memory left unused",
    true};
const PolicyParameter kSwap{"swap_gib", 4, 0, 4096,
                            "pinned host memory for evicted caches, in GiB; 0: always recompute"};

void reserve(Policy& policy, Promise promise) {
  policy.admission = Admission::kPeakReserved;
  policy.promise = promise;
}

void overtake(Policy& policy, const Values& values) {
  policy.overtake = true;
  policy.age_ns = nanoseconds(values.at("age_s"));
  policy.window = whole(values.at("window"));
}

void theory_baseline(Policy& policy, const Values& values, Order order) {
  policy.admission = Admission::kFuturePeak;
  policy.order = order;
  policy.overflow_ppm = 500'000;
  policy.sees_lengths = values.at("lengths") > 0;
}

void skyline(Policy& policy, const Values& values) {
  policy.admission = Admission::kSkyline;
  policy.order = std::vector{Order::kArrival, Order::kLongestFirst,
                             Order::kSmallestFirst}[static_cast<std::size_t>(values.at("order"))];
  policy.victim = Victim::kCheapest;
  policy.chunk_tokens = whole(values.at("chunk"));
  policy.swap_bytes = gibibytes(values.at("swap_gib"));
  overtake(policy, values);
}

std::vector<Definition> definitions() {
  return {
      {{"count-static",
        "The classic baseline (FasterTransformer, model.generate in a loop): wait for n requests "
        "or a timeout, pad every prompt to the longest, run until the last request of the batch "
        "ends. Finished rows keep their memory and are computed on. Blind to memory: a batch can "
        "run out of it; it is then split in two and started again.",
        {kCount,
         {"timeout_s", 1, 0, 86'400,
          "how long an incomplete batch waits for company, in seconds"}}},
       [](Policy& p, const Values& v) {
         p.batching = Batching::kPadded;
         p.max_requests = whole(v.at("n"));
         p.timeout_ns = nanoseconds(v.at("timeout_s"));
       }},
      {{"ffd-static",
        "The seed's bins: the whole queue is packed first-fit decreasing by prompt + "
        "max_new_tokens into bins of the KV pool's size; the bins are run one after another, each "
        "until its last request ends. Against count-static: no padding, and memory is seen.",
        {}},
       [](Policy& p, const Values&) {
         p.batching = Batching::kBins;
         reserve(p, Promise::kMaxNew);
       }},
      {{"count-continuous",
        "Iteration-level batching (Orca's scheduling without its reservation): requests join and "
        "leave at every step while fewer than n run. Blind to memory: a step can run out of it; "
        "the newest request is then evicted and computed again later.",
        {kCount, kBarrier}},
       [](Policy& p, const Values& v) {
         p.max_requests = whole(v.at("n"));
         p.barrier = v.at("barrier") > 0;
       }},
      {{"orca",
        "Orca (OSDI 2022): iteration-level scheduling; every request reserves the longest sequence "
        "that the engine accepts, so that it can never run out: sum of max_model_tokens <= pool.",
        {}},
       [](Policy& p, const Values&) { reserve(p, Promise::kLongest); }},
      {{"token-budget",
        "Text Generation Inference: in arrival order, blocks for prompt + max_new_tokens - 1 are "
        "taken at admission; the first request that does not fit holds up all behind it; new "
        "prompts are prefilled in steps of their own. Never evicts.",
        {}},
       [](Policy& p, const Values&) {
         reserve(p, Promise::kMaxNew);
         p.holds_promise = true;
         p.mixing = Mixing::kPrefillFirst;
       }},
      {{"no-evict",
        "TensorRT-LLM GUARANTEED_NO_EVICT: in arrival order while the blocks that prompt + "
        "max_new_tokens still need are free beside those that the running requests still need. "
        "Never evicts.",
        {}},
       [](Policy& p, const Values&) { reserve(p, Promise::kMaxNew); }},
      {{"sarathi",
        "Sarathi-Serve (OSDI 2024): every step takes all decodes first, then running prefills, then "
        "new ones, in chunks that keep the step within `chunk` tokens; a prompt must fit into free "
        "blocks above a watermark; the newest is evicted and computed again.",
        {{"chunk", 512, 16, 1e6, "tokens of a step", true},
         {"watermark", 0.01, 0, 0.5, "share of the KV pool kept free of new requests"}}},
       [](Policy& p, const Values& v) {
         p.admission = Admission::kPromptFits;
         p.mixing = Mixing::kDecodeFirst;
         p.step_tokens = whole(v.at("chunk"));
         p.watermark_ppm = millionths(v.at("watermark"));
       }},
      {{"paged",
        "vLLM V1: running requests first, then waiting ones in arrival order while the whole prompt "
        "fits into free KV blocks; no room is kept for outputs. When a block is missing the newest "
        "request is evicted and computed again; nobody is admitted in such a step.",
        {{"watermark", 0, 0, 0.5, "share of the KV pool kept free of new requests"}}},
       [](Policy& p, const Values& v) {
         p.admission = Admission::kPromptFits;
         p.watermark_ppm = millionths(v.at("watermark"));
       }},
      {{"token-ratio",
        "SGLang's new_token_ratio: a request is admitted if its prompt and min(max_new_tokens, "
        "4096) fit beside ratio x what the running ones may still generate. The ratio starts at "
        "0.7 x conservativeness, decays over 600 decode steps to 0.14 of that, and is set from the "
        "running requests when memory runs out; those with the least output are then retracted. "
        "Prefills in steps of their own.",
        {{"conservativeness", 1, 0.1, 10, "scales the ratio that estimates start from"}}},
       [](Policy& p, const Values& v) {
         p.admission = Admission::kTokenRatio;
         p.mixing = Mixing::kPrefillFirst;
         p.victim = Victim::kLeastOutput;
         p.ratio_ppm =
             std::min<std::int64_t>(millionths(0.7 * v.at("conservativeness")), 1'000'000);
       }},
      {{"past-future",
        "LightLLM's Past-Future (ASPLOS 2025), page-exact: in arrival order while the peak over "
        "time of the summed predicted courses, a sum of ceilings evaluated at each finish, stays "
        "below 95 % of the pool. Predicted output: the conditional median of the lengths seen, in "
        "place of the original's random draws. The newest is evicted and computed again.",
        {{"margin", 0.5, 0, 1, "probability that a request outgrows its predicted output"},
         {"reserve", 0.05, 0, 0.5, "share of the KV pool kept out of the prediction"}}},
       [](Policy& p, const Values& v) {
         p.admission = Admission::kFuturePeak;
         p.overflow_ppm = millionths(v.at("margin"));
         p.watermark_ppm = millionths(v.at("reserve"));
       }},
      {{"mc-sf",
        "MC-SF (Jaillet et al., arXiv 2502.07115): shortest output first, while the peak over time "
        "of all courses fits; stops at the first that does not. On predicted outputs all requests "
        "with one max_new_tokens tie, and come by arrival; lengths=1 gives it the true ones.",
        {kLengths}},
       [](Policy& p, const Values& v) { theory_baseline(p, v, Order::kShortestFirst); }},
      {{"sorted-f",
        "Sorted-F's greedy form (arXiv 2508.06133): smallest prompt + output first, which makes "
        "sum(outputs) / requests^2 of a batch small, while the peak over time of all courses fits. "
        "lengths=1 gives it the true outputs.",
        {kLengths}},
       [](Policy& p, const Values& v) { theory_baseline(p, v, Order::kSmallestFirst); }},
      {{"first-fit",
        "ffd in arrival order: the first waiting request whose predicted peak fits beside all "
        "reserved peaks. Shows what the decreasing order adds.",
        {kMargin, kAge, kWindow}},
       [](Policy& p, const Values& v) {
         reserve(p, Promise::kPredicted);
         p.overflow_ppm = millionths(v.at("margin"));
         overtake(p, v);
       }},
      {{"ffd",
        "First-fit decreasing, continuously: the longest waiting request whose predicted peak fits "
        "beside all reserved peaks is admitted first. The prediction is a quantile of the output "
        "lengths seen so far; a request that waited age_s may not be overtaken any more.",
        {kMargin, kAge, kWindow}},
       [](Policy& p, const Values& v) {
         reserve(p, Promise::kPredicted);
         p.order = Order::kLongestFirst;
         p.overflow_ppm = millionths(v.at("margin"));
         overtake(p, v);
       }},
      {{"skyline",
        "WarpGroup's own: a request is admitted if at every moment ahead the blocks that all will "
        "hold, each as likely alive as the lengths seen after such prompts say given what it has "
        "generated, stay below the pool by z standard deviations; z is learned so that no more "
        "than `margin` of the requests are evicted. One that does not fit is passed over until it "
        "has aged. While memory is short prompts are prefilled in small chunks. If a prediction "
        "fails, the request that is cheapest to restore is evicted, to host memory where that is "
        "faster than computing again.",
        {kSkylineMargin, kOrder, kAge, kWindow, kChunk, kSwap, kEager}},
       [](Policy& p, const Values& v) {
         skyline(p, v);
         p.overflow_ppm = millionths(v.at("margin"));
         if (v.at("eager") > 0) p.admission = Admission::kPromptFits;
       }},
      {{"oracle",
        "skyline with true output lengths: the sum of courses is known, and must fit at its peak. An "
        "upper bound, not a policy that can be run.",
        {kOrder, kAge, kWindow, kChunk, kSwap}},
       [](Policy& p, const Values& v) {
         skyline(p, v);
         p.admission = Admission::kFuturePeak;
         p.sees_lengths = true;
       }},
  };
}

const std::vector<Definition>& all() {
  static const std::vector<Definition> rows = definitions();
  return rows;
}

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void check(const PolicyInfo& info, const PolicyParameter& parameter, double value) {
  if (!(value >= parameter.lowest && value <= parameter.highest)) {
    throw std::invalid_argument("policy '" + info.id + "': " + parameter.name + " is " +
                                text(value) + ", expected " + text(parameter.lowest) + " to " +
                                text(parameter.highest));
  }
  if (parameter.whole && value != std::floor(value)) {
    throw std::invalid_argument("policy '" + info.id + "': " + parameter.name + " is " +
                                text(value) + ", expected a whole number");
  }
}

// The given parameters over the defaults, each one checked.
Values resolve(const PolicyInfo& info, const Values& given) {
  Values values;
  std::string known;
  for (const PolicyParameter& parameter : info.parameters) {
    values[parameter.name] = parameter.default_value;
    known += (known.empty() ? "" : ", ") + parameter.name;
  }
  for (const auto& [name, value] : given) {
    const auto parameter =
        std::find_if(info.parameters.begin(), info.parameters.end(),
                     [key = name](const PolicyParameter& p) { return p.name == key; });
    if (parameter == info.parameters.end()) {
      throw std::invalid_argument("policy '" + info.id + "' has no parameter '" + name + "': it " +
                                  (known.empty() ? "has none" : "takes " + known));
    }
    check(info, *parameter, value);
    values[name] = value;
  }
  return values;
}

}  // namespace

const std::vector<PolicyInfo>& policy_catalogue() {
  static const std::vector<PolicyInfo> catalogue = [] {
    std::vector<PolicyInfo> infos;
    for (const Definition& definition : all()) infos.push_back(definition.info);
    return infos;
  }();
  return catalogue;
}

Policy make_policy(const std::string& id, const std::map<std::string, double>& parameters) {
  const auto definition = std::find_if(all().begin(), all().end(),
                                       [&](const Definition& d) { return d.info.id == id; });
  if (definition == all().end()) throw std::invalid_argument("unknown policy '" + id + "'");
  Policy policy;
  policy.id = id;
  definition->configure(policy, resolve(definition->info, parameters));
  return policy;
}

}  // namespace warpgroup
