// The switches of a policy as names and values: what an ablation compares.

#include "warpgroup/scheduler/policy.hpp"

namespace warpgroup {

namespace {

std::string name(Batching batching) {
  switch (batching) {
    case Batching::kPadded:
      return "padded";
    case Batching::kBins:
      return "bins";
    case Batching::kContinuous:
      return "continuous";
  }
  return "";
}

std::string name(Admission admission) {
  switch (admission) {
    case Admission::kBlind:
      return "blind";
    case Admission::kPromptFits:
      return "prompt-fits";
    case Admission::kPeakReserved:
      return "peak-reserved";
    case Admission::kTokenRatio:
      return "token-ratio";
    case Admission::kFuturePeak:
      return "future-peak";
    case Admission::kSkyline:
      return "skyline";
  }
  return "";
}

std::string name(Promise promise) {
  switch (promise) {
    case Promise::kMaxNew:
      return "max-new-tokens";
    case Promise::kLongest:
      return "longest";
    case Promise::kPredicted:
      return "predicted";
  }
  return "";
}

std::string name(Order order) {
  switch (order) {
    case Order::kArrival:
      return "arrival";
    case Order::kLongestFirst:
      return "longest-first";
    case Order::kShortestFirst:
      return "shortest-first";
    case Order::kSmallestFirst:
      return "smallest-first";
  }
  return "";
}

std::string name(Mixing mixing) {
  switch (mixing) {
    case Mixing::kRunningFirst:
      return "running-first";
    case Mixing::kDecodeFirst:
      return "decode-first";
    case Mixing::kPrefillFirst:
      return "prefill-first";
  }
  return "";
}

std::string name(Victim victim) {
  switch (victim) {
    case Victim::kNewest:
      return "newest";
    case Victim::kLeastOutput:
      return "least-output";
    case Victim::kCheapest:
      return "cheapest";
  }
  return "";
}

}  // namespace

// The binding names every field of the struct: a new field does not compile until it is named here.
Switches switches(const Policy& policy) {
  const auto& [id, batching, admission, promise, order, mixing, victim, barrier, overtake,
               holds_promise, sees_lengths, max_requests, timeout_ns, step_tokens, chunk_tokens,
               watermark_ppm, overflow_ppm, age_ns, window, ratio_ppm, swap_bytes] = policy;
  static_cast<void>(id);
  return {{"batching", name(batching)},
          {"admission", name(admission)},
          {"promise", name(promise)},
          {"order", name(order)},
          {"mixing", name(mixing)},
          {"victim", name(victim)},
          {"barrier", barrier},
          {"overtake", overtake},
          {"holds_promise", holds_promise},
          {"sees_lengths", sees_lengths},
          {"max_requests", max_requests},
          {"timeout_ns", timeout_ns},
          {"step_tokens", step_tokens},
          {"chunk_tokens", chunk_tokens},
          {"watermark_ppm", watermark_ppm},
          {"overflow_ppm", overflow_ppm},
          {"age_ns", age_ns},
          {"window", window},
          {"ratio_ppm", ratio_ppm},
          {"swap_bytes", swap_bytes}};
}

}  // namespace warpgroup
