#include "values.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace warpgroup::policies {

namespace {

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void check(const PolicyInfo& info, const PolicyParameter& parameter, double value) {
  const std::string found =
      "policy '" + info.id + "': " + parameter.name + " is " + text(value) + ", expected ";
  if (!(value >= parameter.lowest && value <= parameter.highest)) {
    throw std::invalid_argument(found + text(parameter.lowest) + " to " + text(parameter.highest));
  }
  if (parameter.whole && value != std::floor(value)) {
    throw std::invalid_argument(found + "a whole number");
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
