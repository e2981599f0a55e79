// Step times, the recorder and the simulated engine.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "warpgroup/simulation/simulated_engine.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

constexpr int kLowBits = 62;

// A Python integer of up to 128 bits.
Femtoseconds from_python(const py::object& value) {
  const auto high = (value >> py::int_(kLowBits)).cast<std::int64_t>();
  const auto low = (value & py::int_((std::int64_t{1} << kLowBits) - 1)).cast<std::int64_t>();
  return (Femtoseconds{high} << kLowBits) + low;
}

py::object to_python(Femtoseconds value) {
  const py::int_ high(static_cast<std::int64_t>(value >> kLowBits));
  const py::int_ low(static_cast<std::int64_t>(value & ((Femtoseconds{1} << kLowBits) - 1)));
  return (high << py::int_(kLowBits)) + low;
}

// A step-time model that is a Python object with cumulative_fs(work, steps).
class PythonStepTime : public StepTime {
 public:
  explicit PythonStepTime(py::object model) : cumulative_fs_(model.attr("cumulative_fs")) {}
  ~PythonStepTime() override {
    const py::gil_scoped_acquire acquire;
    cumulative_fs_ = py::object();
  }
  Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const override {
    const py::gil_scoped_acquire acquire;
    return from_python(cumulative_fs_(work, steps));
  }

 private:
  py::object cumulative_fs_;
};

std::shared_ptr<StepTime> as_step_time(const py::object& model) {
  if (py::isinstance<RooflineStepTime>(model))
    return model.cast<std::shared_ptr<RooflineStepTime>>();
  return std::make_shared<PythonStepTime>(model);
}

using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;

Knots knots(const Pairs& pairs) {
  std::vector<std::int64_t> at, values;
  for (const auto& [x, value] : pairs) {
    at.push_back(x);
    values.push_back(value);
  }
  return {std::move(at), std::move(values)};
}

std::vector<std::int64_t> as_vector(const Integers& array) {
  return {array.data(), array.data() + array.size()};
}

// One column of a list of rows, as a NumPy array.
template <class Rows, class Get>
py::array_t<std::int64_t> column(const Rows& rows, Get get) {
  py::array_t<std::int64_t> out(static_cast<py::ssize_t>(rows.size()));
  std::int64_t* values = out.mutable_data();
  for (const auto& row : rows) *values++ = static_cast<std::int64_t>(get(row));
  return out;
}

py::dict steps_of(Recorder& recorder) {
  py::dict columns;
  for (std::size_t i = 0; i < Recorder::kStepFields; ++i) {
    const auto count = static_cast<py::ssize_t>(recorder.steps()[i].size());
    if (count == 0) {
      columns[py::str(step_field_names()[i])] = py::array_t<std::int64_t>(0);
      continue;
    }
    std::int64_t* values = recorder.steps()[i].release().release();
    const py::capsule owner(values, [](void* memory) { std::free(memory); });
    columns[py::str(step_field_names()[i])] = py::array_t<std::int64_t>(count, values, owner);
  }
  return columns;
}

py::dict requests_of(const Recorder& recorder) {
  const auto& rows = recorder.requests();
  using Row = Recorder::RequestRow;
  py::dict columns;
  columns["arrival_ns"] = column(rows, [](const Row& r) { return r.arrival_ns; });
  columns["ticket"] = column(rows, [](const Row& r) { return r.ticket; });
  columns["status"] = column(rows, [](const Row& r) { return r.status; });
  columns["admitted_ns"] = column(rows, [](const Row& r) { return r.admitted_ns; });
  columns["first_token_ns"] = column(rows, [](const Row& r) { return r.first_token_ns; });
  columns["finish_ns"] = column(rows, [](const Row& r) { return r.finish_ns; });
  columns["preemptions"] = column(rows, [](const Row& r) { return r.preemptions; });
  columns["recomputed_tokens"] = column(rows, [](const Row& r) { return r.recomputed_tokens; });
  return columns;
}

py::dict events_of(const Recorder& recorder) {
  const auto& rows = recorder.events();
  using Row = Recorder::EventRow;
  py::dict columns;
  columns["t_ns"] = column(rows, [](const Row& r) { return r.t_ns; });
  columns["request"] = column(rows, [](const Row& r) { return r.request; });
  columns["event"] = column(rows, [](const Row& r) { return r.event; });
  columns["bytes"] = column(rows, [](const Row& r) { return r.bytes; });
  return columns;
}

void bind_recorder(py::module_& m) {
  m.attr("STATUSES") = py::tuple(py::cast(status_names()));
  m.attr("EVENTS") = py::tuple(py::cast(event_names()));
  m.attr("STEP_EVENTS") = py::tuple(py::cast(step_event_names()));
  m.attr("STEP_FIELDS") = py::tuple(py::cast(step_field_names()));
  py::class_<Recorder>(m, "Recorder")
      .def(py::init<std::size_t, std::int64_t>(), py::arg("requests"), py::arg("budget_bytes"))
      .def("came", &Recorder::came, py::arg("request"), py::arg("arrival_ns"))
      .def("rejected", &Recorder::rejected, py::arg("request"), py::arg("now_ns"),
           py::arg("reason"))
      .def("pressed", &Recorder::pressed, py::arg("request"), py::arg("now_ns"))
      .def("budget_changed", &Recorder::budget_changed, py::arg("now_ns"), py::arg("ticket"),
           py::arg("budget_bytes"))
      .def("planned", &Recorder::planned, py::arg("plan"))
      .def("ran", &Recorder::ran, py::arg("plan"), py::arg("facts"), py::arg("vram_used_bytes"),
           py::arg("start_ns"), py::arg("end_ns"), py::arg("finished"))
      .def("ran_out_of_memory", &Recorder::ran_out_of_memory, py::arg("plan"),
           py::arg("needed_bytes"), py::arg("start_ns"), py::arg("end_ns"))
      .def_readwrite("budget_bytes", &Recorder::budget_bytes)
      .def_property_readonly("ended", &Recorder::ended)
      .def_property_readonly("ooms", &Recorder::ooms)
      .def_property_readonly("reasons", &Recorder::reasons)
      .def("requests", &requests_of)
      .def("steps", &steps_of)
      .def("events", &events_of);
}

}  // namespace

void bind_simulation(py::module_& m) {
  py::class_<RooflineStepTime, std::shared_ptr<RooflineStepTime>>(m, "RooflineStepTime")
      .def(
          py::init([](std::int64_t weights_fs, std::int64_t token_fs, std::int64_t sample_fs,
                      std::int64_t fresh_pair_fs, std::int64_t continued_pair_fs,
                      std::int64_t chunk_context_fs, std::int64_t context_fs, std::int64_t swap_fs,
                      std::int64_t overhead_fs, std::int64_t prefill_fs, std::int64_t mixed_fs,
                      const Pairs& tokens, const Pairs& context, const Pairs& longest,
                      const Pairs& fresh, const Pairs& continued,
                      std::vector<std::int64_t> row_sizes, const Pairs& prefilled) {
            return std::make_shared<RooflineStepTime>(
                StepRates{weights_fs, token_fs, sample_fs, fresh_pair_fs, continued_pair_fs,
                          chunk_context_fs, context_fs, swap_fs, overhead_fs, prefill_fs, mixed_fs},
                StepCorrections{knots(tokens), knots(context), SummedKnots(knots(longest)),
                                knots(fresh), knots(continued), std::move(row_sizes),
                                knots(prefilled)});
          }),
          py::kw_only(), py::arg("weights_fs"), py::arg("token_fs"), py::arg("sample_fs"),
          py::arg("fresh_pair_fs"), py::arg("continued_pair_fs"), py::arg("chunk_context_fs"),
          py::arg("context_fs"), py::arg("swap_fs"), py::arg("overhead_fs"),
          py::arg("prefill_fs") = 0, py::arg("mixed_fs") = 0, py::arg("tokens") = Pairs{},
          py::arg("context") = Pairs{}, py::arg("longest") = Pairs{}, py::arg("fresh") = Pairs{},
          py::arg("continued") = Pairs{}, py::arg("row_sizes") = std::vector<std::int64_t>{},
          py::arg("prefilled") = Pairs{})
      .def(
          "cumulative_fs",
          [](const RooflineStepTime& model, const StepWork& work, std::int64_t steps) {
            return to_python(model.cumulative(work, steps));
          },
          py::arg("work"), py::arg("steps"));
  bind_recorder(m);
  py::class_<ArrivalQueue>(m, "ArrivalQueue")
      .def(
          py::init([](const Integers& arrival_ns, const Integers& after, const Integers& think_ns) {
            return ArrivalQueue(as_vector(arrival_ns), as_vector(after), as_vector(think_ns));
          }),
          py::kw_only(), py::arg("arrival_ns"), py::arg("after") = Integers(0),
          py::arg("think_ns") = Integers(0))
      .def_property_readonly("next", &ArrivalQueue::next)
      .def_property_readonly("next_ns", &ArrivalQueue::next_ns)
      .def_property_readonly("left", &ArrivalQueue::left)
      .def("pop", &ArrivalQueue::pop)
      .def("ended", &ArrivalQueue::ended, py::arg("request"), py::arg("at_ns"))
      .def("arrival_ns", &ArrivalQueue::arrival_ns, py::arg("request"));

  // Keeps the objects alive that the engine refers to.
  struct Owned {
    std::shared_ptr<StepTime> step_time;
    SimulatedEngine engine;
  };
  py::class_<Owned>(m, "SimulatedEngine")
      .def(py::init([](ArrivalQueue arrivals, const Integers& prompt_tokens,
                       const Integers& output_tokens, std::int64_t max_new_tokens,
                       Scheduler& scheduler, const py::object& step_time, Recorder& recorder,
                       bool macro_steps, bool stop_on_oom, bool plan_ahead) {
             auto model = as_step_time(step_time);
             SimulatedTrace trace{std::move(arrivals), as_vector(prompt_tokens),
                                  as_vector(output_tokens), max_new_tokens};
             const StepTime& times = *model;
             return std::unique_ptr<Owned>(new Owned{
                 std::move(model), SimulatedEngine(std::move(trace), scheduler, times, recorder,
                                                   macro_steps, stop_on_oom, plan_ahead)});
           }),
           py::kw_only(), py::arg("arrivals"), py::arg("prompt_tokens"), py::arg("output_tokens"),
           py::arg("max_new_tokens"), py::arg("scheduler"), py::arg("step_time"),
           py::arg("recorder"), py::arg("macro_steps") = true, py::arg("stop_on_oom") = false,
           py::arg("plan_ahead") = false, py::keep_alive<1, 6>(), py::keep_alive<1, 8>())
      .def(
          "advance",
          [](Owned& owned, std::int64_t until_ns, std::int64_t plans) {
            owned.engine.advance(until_ns, plans);
          },
          py::arg("until_ns"), py::arg("plans"), py::call_guard<py::gil_scoped_release>())
      .def(
          "submit",
          [](Owned& owned, std::int64_t request, std::int64_t now_ns) {
            owned.engine.submit(request, now_ns);
          },
          py::arg("request"), py::arg("now_ns"))
      .def(
          "follow",
          [](Owned& owned, std::int64_t plan_ns, std::int64_t start_ns, std::int64_t end_ns,
             std::int64_t needed_bytes) {
            return owned.engine.follow({plan_ns, start_ns, end_ns, needed_bytes});
          },
          py::kw_only(), py::arg("plan_ns"), py::arg("start_ns"), py::arg("end_ns"),
          py::arg("needed_bytes"))
      .def(
          "follow_budget",
          [](Owned& owned, std::int64_t now_ns, std::int64_t budget_bytes) {
            owned.engine.follow_budget(now_ns, budget_bytes);
          },
          py::kw_only(), py::arg("now_ns"), py::arg("budget_bytes"))
      .def("follow_end", [](Owned& owned) { owned.engine.follow_end(); })
      .def(
          "set_budget",
          [](Owned& owned, std::int64_t bytes, bool announced) {
            owned.engine.set_budget(bytes, announced);
          },
          py::arg("budget_bytes"), py::kw_only(), py::arg("announced"))
      .def_property_readonly("done", [](const Owned& owned) { return owned.engine.done(); })
      .def_property_readonly("now_ns", [](const Owned& owned) { return owned.engine.now_ns(); });
}
