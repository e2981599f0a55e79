#include "definition.hpp"

#include <cmath>

namespace warpgroup::policies {

PolicyParameter count_parameter() {
  return {"n", 32, 1, 1e6, "number of requests in a batch", true};
}

PolicyParameter age_parameter() {
  return {"age_s", 10, 0, 86'400,
          "seconds of waiting after which no other request may overtake this one"};
}

PolicyParameter window_parameter() {
  return {"window", 256, 1, 1e6, "how many waiting requests are searched for one that fits", true};
}

std::int64_t whole(double value) { return std::llround(value); }
std::int64_t millionths(double share) { return std::llround(share * 1e6); }
std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }
std::int64_t bytes_of_gib(double gib) { return std::llround(gib * (1 << 30)); }

void reserve(Policy& policy, Promise promise) {
  policy.admission = Admission::kPeakReserved;
  policy.promise = promise;
}

void allow_overtaking(Policy& policy, const Values& values) {
  policy.overtake = true;
  policy.age_ns = nanoseconds(values.at("age_s"));
  policy.window = whole(values.at("window"));
}

}  // namespace warpgroup::policies
