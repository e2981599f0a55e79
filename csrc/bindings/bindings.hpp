#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <optional>
#include <utility>

void bind_intake(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_packing(pybind11::module_& m);
void bind_simulation(pybind11::module_& m);
void bind_staging(pybind11::module_& m);
void bind_steps(pybind11::module_& m);

// Throws ValueError unless something holds.
inline void require(bool holds, const char* what) {
  if (!holds) throw pybind11::value_error(what);
}

// The call's result, without the GIL meanwhile. A thread that wants it back when the interpreter
// has ended is ended too, by unwinding, which must not meet a destructor: pybind11's guard is one.
template <class Call>
auto without_gil(Call call) {
  std::optional<decltype(call())> result;
  std::exception_ptr thrown;
  PyThreadState* const thread = PyEval_SaveThread();
  try {
    result = call();
  } catch (...) {
    thrown = std::current_exception();
  }
  PyEval_RestoreThread(thread);
  if (thrown) std::rethrow_exception(thrown);
  return *std::move(result);
}
