#include <algorithm>
#include <stdexcept>
#include <vector>

#include "definition.hpp"
#include "values.hpp"

// Every policy of the program, one a line, in the order in which reports show them. A line names
// the function that defines the policy in a file of this folder.
// clang-format off
#define WARPGROUP_POLICIES(POLICY) \
  POLICY(count_static) \
  POLICY(ffd_static) \
  POLICY(count_continuous) \
  POLICY(orca) \
  POLICY(token_budget) \
  POLICY(no_evict) \
  POLICY(sarathi) \
  POLICY(paged) \
  POLICY(token_ratio) \
  POLICY(past_future) \
  POLICY(mc_sf) \
  POLICY(sorted_f) \
  POLICY(first_fit) \
  POLICY(ffd) \
  POLICY(skyline) \
  POLICY(oracle)

// clang-format on

namespace warpgroup {

namespace policies {

#define DECLARE(name) Definition name();
WARPGROUP_POLICIES(DECLARE)
#undef DECLARE

}  // namespace policies

namespace {

const std::vector<policies::Definition>& definitions() {
#define DEFINE(name) policies::name(),
  static const std::vector<policies::Definition> all{WARPGROUP_POLICIES(DEFINE)};
#undef DEFINE
  return all;
}

}  // namespace

const std::vector<PolicyInfo>& policy_catalogue() {
  static const std::vector<PolicyInfo> catalogue = [] {
    std::vector<PolicyInfo> infos;
    for (const policies::Definition& definition : definitions()) infos.push_back(definition.info);
    return infos;
  }();
  return catalogue;
}

Policy make_policy(const std::string& id, const std::map<std::string, double>& parameters) {
  const auto definition =
      std::find_if(definitions().begin(), definitions().end(),
                   [&](const policies::Definition& each) { return each.info.id == id; });
  if (definition == definitions().end()) {
    throw std::invalid_argument("unknown policy '" + id + "'");
  }
  Policy policy;
  policy.id = id;
  definition->configure(policy, policies::complete(definition->info, parameters));
  check(policy);
  return policy;
}

}  // namespace warpgroup
