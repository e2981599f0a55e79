// The submission queue. Calls that wait, copy much or run long release the GIL.

#include "warpgroup/staging/intake.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "bindings.hpp"
#include "warpgroup/scheduler/scheduler.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

using Tokens = py::array_t<std::int32_t, py::array::c_style>;
using Numbers = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

// From this number of tokens on, a copy takes longer than getting the GIL back.
constexpr std::int64_t kManyTokens = 16'384;

// Any contiguous array of integers: a NumPy array, or an object with the buffer protocol or DLPack.
py::array as_array(const py::object& tokens) {
  py::array array;
  if (py::isinstance<py::array>(tokens)) {
    array = py::reinterpret_borrow<py::array>(tokens);
  } else if (PyObject_CheckBuffer(tokens.ptr()) != 0) {
    array = py::array(py::reinterpret_borrow<py::buffer>(tokens).request());
  } else if (py::hasattr(tokens, "__dlpack__")) {
    array = py::module_::import("numpy").attr("from_dlpack")(tokens).cast<py::array>();
  } else {
    throw py::type_error(
        "token ids must be an array of integers (NumPy, the buffer protocol or DLPack), not " +
        py::str(py::type::of(tokens).attr("__name__")).cast<std::string>());
  }
  return array;
}

TokenSource source_of(const py::array& array) {
  const py::dtype kind = array.dtype();
  const auto width = static_cast<int>(kind.itemsize());
  if ((kind.kind() != 'i' && kind.kind() != 'u') || width == 1 || kind.byteorder() == '>')
    throw py::type_error("token ids must be integers of 2, 4 or 8 bytes, not " +
                         py::str(kind).cast<std::string>());
  if (array.ndim() != 1 || (array.flags() & py::array::c_style) == 0)
    throw py::value_error("token ids must be one-dimensional and contiguous");
  return {array.data(), array.size(), width, kind.kind() == 'i'};
}

std::int64_t nanoseconds(const py::object& timeout_s) {
  if (timeout_s.is_none()) return -1;
  const double seconds = timeout_s.cast<double>();
  if (!(seconds >= 0)) throw py::value_error("timeout_s is below 0");
  return seconds < 1e9 ? static_cast<std::int64_t>(seconds * 1e9) : -1;
}

// Threads wait for a short time at once, so that Python can handle signals in between.
constexpr std::int64_t kSignalsNs = 50'000'000;

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  // Below 0: no deadline.
  explicit Deadline(std::int64_t timeout_ns)
      : never_(timeout_ns < 0), at_(Clock::now() + std::chrono::nanoseconds(timeout_ns)) {}
  std::int64_t left_ns() const {
    if (never_) return std::numeric_limits<std::int64_t>::max();
    const std::chrono::nanoseconds left = at_ - Clock::now();
    return std::max<std::int64_t>(left.count(), 0);
  }

 private:
  bool never_;
  Clock::time_point at_;
};

template <class Call>
auto waiting(const Intake& intake, Call call, std::int64_t timeout_ns) {
  const Deadline deadline(timeout_ns);
  for (;;) {
    const std::int64_t left_ns = deadline.left_ns();
    const bool last = left_ns <= kSignalsNs;
    try {
      return without_gil([&] { return call(last ? left_ns : kSignalsNs); });
    } catch (const QueueFull&) {
      if (last || intake.closed()) throw;
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
}

std::int64_t submit(Intake& intake, const py::object& tokens, std::int64_t max_new_tokens,
                    std::int64_t arrival_ns, std::int64_t output_tokens,
                    const py::object& timeout_s, const std::optional<std::int64_t>& id) {
  const py::array array = as_array(tokens);
  const TokenSource source = source_of(array);
  require(id.value_or(0) >= 0, "id is below 0");
  const NewRequest request{arrival_ns, max_new_tokens, output_tokens, id.value_or(-1)};
  if (source.count < kManyTokens) {
    try {
      return intake.submit(source, request);
    } catch (const QueueFull&) {
      if (intake.closed()) throw;
    }
  }
  return waiting(
      intake, [&](std::int64_t ns) { return intake.submit(source, request, ns); },
      nanoseconds(timeout_s));
}

std::int64_t submit_many(Intake& intake, const py::object& tokens, const Numbers& prompt_tokens,
                         const Numbers& max_new_tokens, const Numbers& arrival_ns,
                         const Numbers& output_tokens, const py::object& timeout_s) {
  const py::array array = as_array(tokens);
  const TokenSource source = source_of(array);
  const py::ssize_t count = prompt_tokens.size();
  for (const Numbers* column : {&max_new_tokens, &arrival_ns, &output_tokens})
    if (column->size() != count) throw py::value_error("the arrays differ in length");
  // Copies, since other threads could change the arrays while this one waits without the GIL.
  const std::vector<std::int64_t> lengths(prompt_tokens.data(), prompt_tokens.data() + count);
  std::vector<NewRequest> requests(static_cast<std::size_t>(count));
  for (py::ssize_t i = 0; i < count; ++i)
    requests[static_cast<std::size_t>(i)] = {arrival_ns.data()[i], max_new_tokens.data()[i],
                                             output_tokens.data()[i], -1};
  return waiting(
      intake,
      [&](std::int64_t ns) {
        return intake.submit_many(source, lengths.data(), requests.data(), count, ns);
      },
      nanoseconds(timeout_s));
}

Drained drain(Intake& intake, Scheduler& scheduler, Tokens& log, const Numbers& starts,
              const std::optional<std::int64_t>& most) {
  const Intake::Log to{log.mutable_data(), log.size(), starts.data(), starts.size()};
  return without_gil([&] { return intake.drain(scheduler, to, most.value_or(intake.capacity())); });
}

void raise_queue_full(const char* what) {
  static py::gil_safe_call_once_and_store<py::object> kind;
  kind.call_once_and_store_result(
      [] { return py::object(py::module_::import("warpgroup.errors").attr("QueueFull")); });
  PyErr_SetString(kind.get_stored().ptr(), what);
}

}  // namespace

void bind_intake(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const QueueFull& full) {
      raise_queue_full(full.what());
    }
  });

  py::class_<Drained>(m, "Drained")
      .def_readonly("submitted", &Drained::submitted)
      .def_property_readonly("refused",
                             [](const Drained& drained) {
                               std::vector<std::pair<std::int64_t, std::string>> refused;
                               for (const Drained::Refused& each : drained.refused)
                                 refused.emplace_back(each.id, each.reason);
                               return refused;
                             })
      .def_readonly("pressed", &Drained::pressed)
      .def_readonly("aborted", &Drained::aborted);

  py::class_<Intake>(m, "Intake")
      .def(py::init([](std::size_t capacity, Tokens& memory) {
             return std::make_unique<Intake>(capacity, memory.mutable_data(), memory.size());
           }),
           py::arg("capacity"), py::arg("memory").noconvert(), py::keep_alive<1, 3>())
      .def("submit", &submit, py::arg("tokens"), py::arg("max_new_tokens"),
           py::arg("arrival_ns") = 0, py::arg("output_tokens") = 0, py::arg("timeout_s") = 0.0,
           py::arg("id") = py::none())
      .def("submit_many", &submit_many, py::kw_only(), py::arg("tokens"), py::arg("prompt_tokens"),
           py::arg("max_new_tokens"), py::arg("arrival_ns"), py::arg("output_tokens"),
           py::arg("timeout_s") = 0.0)
      .def(
          "abort",
          [](Intake& intake, std::int64_t id, const py::object& timeout_s) {
            waiting(
                intake,
                [&](std::int64_t ns) {
                  intake.abort(id, ns);
                  return true;
                },
                nanoseconds(timeout_s));
          },
          py::arg("id"), py::arg("timeout_s") = 0.0)
      .def("drain", &drain, py::arg("scheduler"), py::arg("log").noconvert(), py::arg("starts"),
           py::arg("most") = py::none())
      .def(
          "wait",
          [](Intake& intake, const py::object& timeout_s) {
            const Deadline deadline(nanoseconds(timeout_s));
            for (;;) {
              const std::int64_t left_ns = deadline.left_ns();
              const bool last = left_ns <= kSignalsNs;
              const bool ready =
                  without_gil([&] { return intake.wait(last ? left_ns : kSignalsNs); });
              if (ready || last || (intake.closed() && intake.queued() == 0)) return ready;
              if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            }
          },
          py::arg("timeout_s") = py::none())
      .def("close", &Intake::close, py::call_guard<py::gil_scoped_release>())
      .def("watch_space", &Intake::watch_space, py::arg("fd"),
           py::call_guard<py::gil_scoped_release>())
      .def("unwatch_space", &Intake::unwatch_space, py::arg("fd"),
           py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("closed", &Intake::closed)
      .def_property_readonly("queued", &Intake::queued)
      .def_property_readonly("free_tokens", &Intake::free_tokens);
}
