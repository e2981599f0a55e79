#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "warpgroup/memory/block_manager.hpp"

void bind_block_manager(pybind11::module_& m);
void bind_intake(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_packing(pybind11::module_& m);
void bind_simulation(pybind11::module_& m);
void bind_staging(pybind11::module_& m);
void bind_steps(pybind11::module_& m);

// Throws a ValueError with this text unless `holds`.
inline void require(bool holds, const char* what) {
  if (!holds) throw pybind11::value_error(what);
}

// Calls without the GIL and returns the result. If the interpreter ends meanwhile, Python ends the
// thread by unwinding when it takes the GIL back. Unwinding must not run destructors, so this does
// not use pybind11's guard.
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

// Copies of blocks as Python sees them: (host, device).
using BlockPairs = std::vector<std::pair<std::int32_t, std::int32_t>>;

inline BlockPairs as_pairs(const std::vector<warpgroup::BlockCopy>& copies) {
  BlockPairs pairs;
  for (const warpgroup::BlockCopy& copy : copies) pairs.emplace_back(copy.host, copy.device);
  return pairs;
}
