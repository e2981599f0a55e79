// What one file of this folder holds: a policy's texts, its parameters and the switches that they
// set. Its one line in catalogue.cpp makes it a policy of the program.

#pragma once

#include <map>
#include <string>

#include "warpgroup/scheduler/policy.hpp"

namespace warpgroup::policies {

// A value for each parameter of the policy, checked against its range.
using Values = std::map<std::string, double>;

struct Definition {
  PolicyInfo info;
  // Sets the switches of a policy that has the defaults of `Policy`.
  void (*configure)(Policy& policy, const Values& values);
};

// Parameters that several policies have.
PolicyParameter count_parameter();
PolicyParameter age_parameter();
PolicyParameter window_parameter();

// Values of parameters in the units of `Policy`.
std::int64_t whole(double value);
std::int64_t millionths(double share);
std::int64_t nanoseconds(double seconds);
std::int64_t bytes_of_gib(double gib);

// Switches that several policies set.
void reserve(Policy& policy, Promise promise);                // admission: the peak is reserved
void allow_overtaking(Policy& policy, const Values& values);  // by age_s and window

}  // namespace warpgroup::policies
