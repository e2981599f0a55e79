#include "definition.hpp"

namespace warpgroup::policies {

Definition orca() {
  return {{"orca",
           "Orca (OSDI 2022): iteration-level scheduling. Every request reserves memory for the "
           "longest sequence that the engine accepts, so that the pool cannot run out. Never "
           "evicts.",
           "Orca",
           "reserved + blocks(max_model_tokens) <= pool",
           {}},
          [](Policy& policy, const Values&) { reserve(policy, Promise::kLongest); }};
}

}  // namespace warpgroup::policies
