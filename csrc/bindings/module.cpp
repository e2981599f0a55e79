// The extension module. It only translates; the headers document the calls.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings.hpp"
#include "warpgroup/scheduler/scheduler.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

void bind_policy(py::module_& m) {
  py::class_<PolicyParameter>(m, "PolicyParameter")
      .def_readonly("name", &PolicyParameter::name)
      .def_readonly("default", &PolicyParameter::default_value)
      .def_readonly("lowest", &PolicyParameter::lowest)
      .def_readonly("highest", &PolicyParameter::highest)
      .def_readonly("meaning", &PolicyParameter::meaning)
      .def_readonly("whole", &PolicyParameter::whole);
  py::class_<PolicyInfo>(m, "PolicyInfo")
      .def_readonly("id", &PolicyInfo::id)
      .def_readonly("stands_for", &PolicyInfo::stands_for)
      .def_readonly("engine", &PolicyInfo::engine)
      .def_readonly("formula", &PolicyInfo::formula)
      .def_readonly("parameters", &PolicyInfo::parameters);
  m.def("policy_catalogue", &policy_catalogue);

  py::class_<Policy>(m, "Policy")
      .def(py::init(&make_policy), py::arg("id"),
           py::arg("parameters") = std::map<std::string, double>{})
      .def_readonly("id", &Policy::id)
      .def_readonly("max_requests", &Policy::max_requests)
      .def_readonly("step_tokens", &Policy::step_tokens)
      .def_readonly("chunk_tokens", &Policy::chunk_tokens)
      .def_readonly("swap_bytes", &Policy::swap_bytes)
      .def_property_readonly("sees_memory", &Policy::sees_memory)
      .def_readonly("sees_lengths", &Policy::sees_lengths)
      .def_property_readonly("is_padded", &Policy::is_padded)
      .def("switches", [](const Policy& policy) {
        py::dict by_name;
        for (const auto& [name, value] : switches(policy)) by_name[py::str(name)] = value;
        return by_name;
      });
}

void bind_plan(py::module_& m) {
  py::enum_<BlockedBy>(m, "BlockedBy")
      .value("none", BlockedBy::kNone)
      .value("memory", BlockedBy::kMemory)
      .value("count", BlockedBy::kCount)
      .value("tokens", BlockedBy::kTokens)
      .value("compute", BlockedBy::kCompute);
  py::class_<StepWork>(m, "StepWork")
      .def(
          py::init(
              [](std::int64_t prefill_tokens, std::int64_t prefill_pairs, std::int64_t fresh_tokens,
                 std::int64_t fresh_pairs, std::int64_t prefill_context, std::int64_t decode_rows,
                 std::int64_t context_tokens, std::int64_t longest_context,
                 std::int64_t sampled_rows, std::int64_t padding_tokens, std::int64_t swap_bytes) {
                return StepWork{prefill_tokens,  prefill_pairs,  fresh_tokens,   fresh_pairs,
                                prefill_context, decode_rows,    context_tokens, longest_context,
                                sampled_rows,    padding_tokens, swap_bytes};
              }),
          py::kw_only(), py::arg("prefill_tokens") = 0, py::arg("prefill_pairs") = 0,
          py::arg("fresh_tokens") = 0, py::arg("fresh_pairs") = 0, py::arg("prefill_context") = 0,
          py::arg("decode_rows") = 0, py::arg("context_tokens") = 0, py::arg("longest_context") = 0,
          py::arg("sampled_rows") = 0, py::arg("padding_tokens") = 0, py::arg("swap_bytes") = 0)
      .def_readonly("prefill_tokens", &StepWork::prefill_tokens)
      .def_readonly("prefill_pairs", &StepWork::prefill_pairs)
      .def_readonly("fresh_tokens", &StepWork::fresh_tokens)
      .def_readonly("fresh_pairs", &StepWork::fresh_pairs)
      .def_readonly("prefill_context", &StepWork::prefill_context)
      .def_readonly("decode_rows", &StepWork::decode_rows)
      .def_readonly("context_tokens", &StepWork::context_tokens)
      .def_readonly("longest_context", &StepWork::longest_context)
      .def_readonly("sampled_rows", &StepWork::sampled_rows)
      .def_readonly("padding_tokens", &StepWork::padding_tokens)
      .def_readonly("swap_bytes", &StepWork::swap_bytes);
  py::class_<Chunk>(m, "Chunk")
      .def_readonly("id", &Chunk::id)
      .def_readonly("start", &Chunk::start)
      .def_readonly("tokens", &Chunk::tokens);
  py::class_<Joined>(m, "Joined")
      .def_readonly("id", &Joined::id)
      .def_readonly("generated", &Joined::generated);
  py::class_<Evicted>(m, "Evicted")
      .def_readonly("id", &Evicted::id)
      .def_readonly("lost_tokens", &Evicted::lost_tokens)
      .def_readonly("lost_generated", &Evicted::lost_generated)
      .def_readonly("freed_bytes", &Evicted::freed_bytes)
      .def_readonly("swapped_bytes", &Evicted::swapped_bytes);
  py::class_<Restored>(m, "Restored")
      .def_readonly("id", &Restored::id)
      .def_readonly("bytes", &Restored::bytes);
  py::enum_<Degradation>(m, "Degradation")
      .value("admit_less", Degradation::kAdmitLess)
      .value("smaller_chunks", Degradation::kSmallerChunks);
  py::class_<Failed>(m, "Failed")
      .def_readonly("id", &Failed::id)
      .def_readonly("needed_bytes", &Failed::needed_bytes)
      .def_readonly("alone_in_step", &Failed::alone_in_step);
  py::class_<StepRecord>(m, "StepRecord")
      .def_readonly("step", &StepRecord::step)
      .def_readonly("steps", &StepRecord::steps)
      .def_readonly("prefill_tokens", &StepRecord::prefill_tokens)
      .def_readonly("prefill_pairs", &StepRecord::prefill_pairs)
      .def_readonly("fresh_tokens", &StepRecord::fresh_tokens)
      .def_readonly("fresh_pairs", &StepRecord::fresh_pairs)
      .def_readonly("prefill_context", &StepRecord::prefill_context)
      .def_readonly("decode_rows", &StepRecord::decode_rows)
      .def_readonly("context_tokens", &StepRecord::context_tokens)
      .def_readonly("longest_context", &StepRecord::longest_context)
      .def_readonly("sampled_rows", &StepRecord::sampled_rows)
      .def_readonly("padding_tokens", &StepRecord::padding_tokens)
      .def_readonly("kv_start_bytes", &StepRecord::kv_start_bytes)
      .def_readonly("kv_bytes", &StepRecord::kv_bytes)
      .def_readonly("predicted_bytes", &StepRecord::predicted_bytes)
      .def_readonly("reserved_bytes", &StepRecord::reserved_bytes)
      .def_readonly("fragmented_bytes", &StepRecord::fragmented_bytes)
      .def_readonly("waiting", &StepRecord::waiting)
      .def_readonly("running", &StepRecord::running)
      .def_readonly("ticket", &StepRecord::ticket)
      .def_readonly("swap_bytes", &StepRecord::swap_bytes)
      .def_readonly("paused_rows", &StepRecord::paused_rows);
  py::class_<StepPlan>(m, "StepPlan")
      .def_readonly("step", &StepPlan::step)
      .def_readonly("plan_ns", &StepPlan::plan_ns)
      .def_readonly("ticket", &StepPlan::ticket)
      .def_readonly("horizon", &StepPlan::horizon)
      .def_readonly("wake_ns", &StepPlan::wake_ns)
      .def_readonly("predicted_bytes", &StepPlan::predicted_bytes)
      .def_readonly("kv_bytes", &StepPlan::kv_bytes)
      .def_readonly("paused_rows", &StepPlan::paused_rows)
      .def_readonly("work", &StepPlan::work)
      .def_readonly("blocked_by", &StepPlan::blocked_by)
      .def_readonly("admitted", &StepPlan::admitted)
      .def_readonly("evicted", &StepPlan::evicted)
      .def_readonly("failed", &StepPlan::failed)
      .def_readonly("restored", &StepPlan::restored)
      .def_readonly("degraded", &StepPlan::degraded)
      .def_readonly("prefill", &StepPlan::prefill)
      .def_readonly("joined", &StepPlan::joined)
      .def_readonly("decode", &StepPlan::decode);
}

void bind_scheduler(py::module_& m) {
  py::class_<Submission>(m, "Submission")
      .def_readonly("accepted", &Submission::accepted)
      .def_readonly("reason", &Submission::reason)
      .def_readonly("expected_wait_ns", &Submission::expected_wait_ns)
      .def_readonly("pressed", &Submission::pressed)
      .def("__bool__", [](const Submission& s) { return s.accepted; });
  py::class_<Scheduler>(m, "Scheduler")
      .def(py::init([](Policy policy, MemoryModel memory, std::int64_t max_seqs,
                       std::int64_t step_tokens, std::int64_t max_model_tokens,
                       std::int64_t max_wait_ns, std::int64_t swap_bytes_s,
                       std::int64_t prefill_tokens_s) {
             return std::make_unique<Scheduler>(
                 std::move(policy), std::move(memory),
                 EngineLimits{max_seqs, step_tokens, max_model_tokens, max_wait_ns, swap_bytes_s,
                              prefill_tokens_s});
           }),
           py::arg("policy"), py::arg("memory"), py::kw_only(), py::arg("max_seqs"),
           py::arg("step_tokens"), py::arg("max_model_tokens") = 0, py::arg("max_wait_ns") = 0,
           py::arg("swap_bytes_s") = 0, py::arg("prefill_tokens_s") = 0)
      .def(
          "submit",
          [](Scheduler& scheduler, std::int64_t id, std::int64_t arrival_ns,
             std::int64_t prompt_tokens, std::int64_t max_new_tokens, std::int64_t output_tokens) {
            return scheduler.submit({id, arrival_ns, prompt_tokens, max_new_tokens, output_tokens});
          },
          py::arg("id"), py::kw_only(), py::arg("arrival_ns"), py::arg("prompt_tokens"),
          py::arg("max_new_tokens"), py::arg("output_tokens") = 0)
      .def("plan", &Scheduler::plan, py::arg("now_ns"), py::return_value_policy::copy)
      .def("commit", &Scheduler::commit, py::arg("steps"), py::arg("finished"))
      .def("commit_oom", &Scheduler::commit_oom)
      .def("abort", &Scheduler::abort, py::arg("id"))
      .def("set_budget", &Scheduler::set_budget, py::arg("budget_bytes"))
      .def_property_readonly("plan_hash", &Scheduler::plan_hash)
      .def_property_readonly("waiting", &Scheduler::waiting)
      .def_property_readonly("running", &Scheduler::running)
      .def_property_readonly("used_blocks", &Scheduler::used_blocks)
      .def_property_readonly("reserved_blocks", &Scheduler::reserved_blocks)
      .def_property_readonly("host_bytes", &Scheduler::host_bytes)
      .def_property_readonly("memory", &Scheduler::memory)
      .def_property_readonly("policy", &Scheduler::policy);
}

}  // namespace

// Free-threaded Pythons need no lock for this module: any thread may use an Intake; only one thread
// at a time may use any other object, as in C++.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The C++ core of WarpGroup: packing, memory arithmetic, policies and the scheduler.";
  bind_packing(m);
  m.attr("BUILD_COMMIT") = WARPGROUP_COMMIT;
  bind_intake(m);
  bind_memory(m);
  bind_block_manager(m);
  bind_policy(m);
  bind_plan(m);
  bind_scheduler(m);
  bind_simulation(m);
  bind_staging(m);
  bind_steps(m);
}
