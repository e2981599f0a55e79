#include "values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace warpgroup::policies {

namespace {

// Six digits, as in the policy's own text. Streams are avoided: in a process that has loaded
// another C++ runtime beside this core's, as PyTorch's wheels can, constructing one may crash.
std::string text(double value) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%g", value);
  return digits.data();
}

[[noreturn]] void refuse(const PolicyInfo& info, const PolicyParameter& parameter, double value,
                         const std::string& expected) {
  throw std::invalid_argument("policy '" + info.id + "': " + parameter.name + " is " + text(value) +
                              ", expected " + expected);
}

void check(const PolicyInfo& info, const PolicyParameter& parameter, double value) {
  if (!(value >= parameter.lowest && value <= parameter.highest)) {
    refuse(info, parameter, value, text(parameter.lowest) + " to " + text(parameter.highest));
  }
  if (parameter.whole && value != std::floor(value)) {
    refuse(info, parameter, value, "a whole number");
  }
}

}  // namespace

Values complete(const PolicyInfo& info, const Values& given) {
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

}  // namespace warpgroup::policies
