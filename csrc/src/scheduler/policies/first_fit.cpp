// First-fit and first-fit decreasing, as online policies.

#include "definition.hpp"

namespace warpgroup::policies {

namespace {

constexpr char kFormula[] =
    "reserved + blocks(prompt + predicted output - 1) <= pool, the prediction being the quantile "
    "1 - margin";

std::vector<PolicyParameter> parameters() {
  return {{"margin", 0.05, 0, 1, "accepted probability that a request exceeds its reserved peak"},
          age_parameter(),
          window_parameter()};
}

void configure(Policy& policy, const Values& values) {
  reserve(policy, Promise::kPredicted);
  policy.overflow_ppm = millionths(values.at("margin"));
  allow_overtaking(policy, values);
}

}  // namespace

Definition first_fit() {
  return {{"first-fit",
           "ffd in arrival order: it admits the first waiting request whose predicted peak fits "
           "beside all reserved peaks. The difference to ffd is what the decreasing order adds.",
           "", kFormula, parameters()},
          configure};
}

Definition ffd() {
  return {{"ffd",
           "First-fit decreasing, continuously: it admits the longest waiting request whose "
           "predicted peak fits beside all reserved peaks. The prediction is a quantile of the "
           "output lengths seen so far. No request may overtake one that has waited age_s.",
           "", kFormula, parameters()},
          [](Policy& policy, const Values& values) {
            configure(policy, values);
            policy.order = Order::kLongestFirst;
          }};
}

}  // namespace warpgroup::policies
