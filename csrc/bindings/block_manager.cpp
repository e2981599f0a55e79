// The owners of KV blocks.

#include "warpgroup/memory/block_manager.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.hpp"

namespace py = pybind11;
using namespace warpgroup;

void bind_block_manager(py::module_& m) {
  py::class_<BlockManager>(m, "BlockManager")
      .def(py::init<std::int64_t, std::int64_t, std::int64_t>(), py::kw_only(), py::arg("seats"),
           py::arg("width"), py::arg("block_tokens"))
      .def("hold", &BlockManager::hold, py::arg("request"), py::arg("seat"), py::arg("tokens"))
      .def("release", &BlockManager::release, py::arg("request"))
      .def(
          "resize",
          [](BlockManager& block_manager, std::int64_t blocks) {
            BlockPairs moves;
            for (const PagedKv::Move move : block_manager.resize(blocks))
              moves.emplace_back(move.from, move.to);
            return moves;
          },
          py::arg("blocks"))
      .def("open_host", &BlockManager::open_host, py::arg("blocks"))
      .def(
          "swap_out",
          [](BlockManager& block_manager, std::int64_t request, std::int64_t tokens) {
            return as_pairs(block_manager.swap_out(request, tokens));
          },
          py::arg("request"), py::arg("tokens"))
      .def(
          "swap_in",
          [](BlockManager& block_manager, std::int64_t request) {
            return as_pairs(block_manager.swap_in(request));
          },
          py::arg("request"))
      .def("host_tokens", &BlockManager::host_tokens, py::arg("request"))
      .def("clear", &BlockManager::clear)
      .def_property_readonly("blocks", &BlockManager::blocks)
      .def_property_readonly("free_blocks", &BlockManager::free_blocks)
      .def_property_readonly("host_blocks", &BlockManager::host_blocks)
      .def_property_readonly("width", &BlockManager::width)
      .def_property_readonly("tables", [](const py::object& self) {
        auto& block_manager = self.cast<BlockManager&>();
        return py::array_t<std::int32_t>({block_manager.seats(), block_manager.width()},
                                         block_manager.tables(), self);
      });
}
