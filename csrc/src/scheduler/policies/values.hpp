#pragma once

#include "definition.hpp"

namespace warpgroup::policies {

// The given parameters, and the defaults of the others. Throws std::invalid_argument for a
// parameter that the policy does not have, or a value out of its range.
Values complete(const PolicyInfo& info, const Values& given);

}  // namespace warpgroup::policies
