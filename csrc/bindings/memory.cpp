// Model geometry, the division of a VRAM budget, and the KV layouts.

#include "warpgroup/memory/memory.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "warpgroup/memory/kv_layout.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

// A block table as a copy, since the layout may change before the copy is read.
py::array_t<std::int32_t> table_of(const PagedKv& kv, std::int64_t id) {
  const std::vector<std::int32_t>& blocks = kv.block_table(id);
  return py::array_t<std::int32_t>(static_cast<py::ssize_t>(blocks.size()), blocks.data());
}

void bind_layouts(py::module_& m) {
  py::class_<PagedKv>(m, "PagedKv")
      .def(py::init<std::int64_t, std::int64_t>(), py::arg("blocks"), py::arg("block_tokens"))
      .def("allocate", &PagedKv::allocate, py::arg("id"), py::arg("tokens"))
      .def("grow", &PagedKv::grow, py::arg("id"), py::arg("tokens"))
      .def("free", &PagedKv::free, py::arg("id"))
      .def(
          "resize",
          [](PagedKv& kv, std::int64_t blocks) {
            std::vector<std::pair<std::int32_t, std::int32_t>> moves;
            for (const PagedKv::Move move : kv.resize(blocks))
              moves.emplace_back(move.from, move.to);
            return moves;
          },
          py::arg("blocks"))
      .def("block_table", &table_of, py::arg("id"))
      .def_property_readonly("blocks", &PagedKv::blocks)
      .def_property_readonly("free_blocks", &PagedKv::free_blocks)
      .def_property_readonly("held_tokens", &PagedKv::held_tokens)
      .def_property_readonly("filled_tokens", &PagedKv::filled_tokens)
      .def_property_readonly("fragmentation", &PagedKv::fragmentation);
  py::class_<ExtentKv>(m, "ExtentKv")
      .def(py::init<std::int64_t, std::int64_t>(), py::arg("capacity_bytes"),
           py::arg("bytes_per_token"))
      .def("allocate", &ExtentKv::allocate, py::arg("id"), py::arg("tokens"))
      .def("grow", &ExtentKv::grow, py::arg("id"), py::arg("tokens"))
      .def("free", &ExtentKv::free, py::arg("id"))
      .def("offset", &ExtentKv::offset, py::arg("id"))
      .def_property_readonly("free_bytes", &ExtentKv::free_bytes)
      .def_property_readonly("largest_gap_bytes", &ExtentKv::largest_gap_bytes)
      .def_property_readonly("fragmentation", &ExtentKv::fragmentation);
  py::class_<PaddedKv>(m, "PaddedKv")
      .def(py::init<std::vector<std::int64_t>>(), py::arg("tokens"))
      .def("grow", &PaddedKv::grow, py::arg("row"), py::arg("tokens"))
      .def("free", &PaddedKv::free, py::arg("row"))
      .def_property_readonly("held_tokens", &PaddedKv::held_tokens)
      .def_property_readonly("filled_tokens", &PaddedKv::filled_tokens)
      .def_property_readonly("fragmentation", &PaddedKv::fragmentation);
}

}  // namespace

void bind_memory(py::module_& m) {
  py::register_exception<NoSpaceForKv>(m, "NoSpaceForKv", PyExc_ValueError);
  py::class_<ModelGeometry>(m, "ModelGeometry")
      .def(py::init([](std::int64_t layers, std::int64_t hidden, std::int64_t query_heads,
                       std::int64_t kv_heads, std::int64_t head_dim, std::int64_t intermediate,
                       std::int64_t vocab, bool tied_embeddings, bool qkv_bias, bool qk_norm,
                       std::int64_t dtype_bytes) {
             const ModelGeometry geometry{layers,   hidden,       query_heads, kv_heads,
                                          head_dim, intermediate, vocab,       tied_embeddings,
                                          qkv_bias, qk_norm,      dtype_bytes};
             geometry.validate();
             return geometry;
           }),
           py::kw_only(), py::arg("layers"), py::arg("hidden"), py::arg("query_heads"),
           py::arg("kv_heads"), py::arg("head_dim"), py::arg("intermediate"), py::arg("vocab"),
           py::arg("tied_embeddings") = false, py::arg("qkv_bias") = false,
           py::arg("qk_norm") = false, py::arg("dtype_bytes") = 2)
      .def_property_readonly("parameters", &ModelGeometry::parameters)
      .def_property_readonly("matmul_parameters", &ModelGeometry::matmul_parameters)
      .def_property_readonly("weight_bytes", &ModelGeometry::weight_bytes)
      .def_property_readonly("kv_bytes_per_token", &ModelGeometry::kv_bytes_per_token)
      .def_readonly("layers", &ModelGeometry::layers)
      .def_readonly("hidden", &ModelGeometry::hidden)
      .def_readonly("vocab", &ModelGeometry::vocab)
      .def_readonly("query_heads", &ModelGeometry::query_heads)
      .def_readonly("head_dim", &ModelGeometry::head_dim)
      .def_readonly("dtype_bytes", &ModelGeometry::dtype_bytes);

  py::class_<Activation>(m, "Activation")
      .def_readonly("residual", &Activation::residual)
      .def_readonly("projections", &Activation::projections)
      .def_readonly("attention_output", &Activation::attention_output)
      .def_readonly("log_sum_exp", &Activation::log_sum_exp)
      .def_readonly("split_accumulators", &Activation::split_accumulators)
      .def_readonly("mlp", &Activation::mlp)
      .def_readonly("logits", &Activation::logits)
      .def_readonly("rounding", &Activation::rounding)
      .def_property_readonly("bytes", &Activation::bytes);

  const auto plan_of = [](std::int64_t context_bytes, std::int64_t graph_pool_bytes,
                          std::int64_t slack_bytes, std::int64_t block_tokens,
                          std::int64_t step_tokens, std::int64_t max_seqs,
                          std::int64_t multiprocessors, std::int64_t max_context) {
    return MemoryPlan{context_bytes, graph_pool_bytes, block_tokens, step_tokens,
                      max_seqs,      multiprocessors,  max_context,  slack_bytes};
  };
  py::class_<MemoryModel>(m, "MemoryModel")
      .def(py::init([plan_of](ModelGeometry geometry, std::int64_t budget_bytes,
                              std::int64_t context_bytes, std::int64_t block_tokens,
                              std::int64_t step_tokens, std::int64_t max_seqs,
                              std::int64_t graph_pool_bytes, std::int64_t slack_bytes,
                              std::int64_t multiprocessors, std::int64_t max_context) {
             return MemoryModel(geometry, budget_bytes,
                                plan_of(context_bytes, graph_pool_bytes, slack_bytes, block_tokens,
                                        step_tokens, max_seqs, multiprocessors, max_context));
           }),
           py::arg("geometry"), py::kw_only(), py::arg("budget_bytes"), py::arg("context_bytes"),
           py::arg("block_tokens"), py::arg("step_tokens"), py::arg("max_seqs"),
           py::arg("graph_pool_bytes") = 0, py::arg("slack_bytes") = 0,
           py::arg("multiprocessors") = 0, py::arg("max_context") = 0)
      .def_static(
          "for_blocks",
          [plan_of](ModelGeometry geometry, std::int64_t blocks, std::int64_t context_bytes,
                    std::int64_t block_tokens, std::int64_t step_tokens, std::int64_t max_seqs,
                    std::int64_t graph_pool_bytes, std::int64_t slack_bytes,
                    std::int64_t multiprocessors, std::int64_t max_context) {
            return MemoryModel::for_blocks(
                geometry, blocks,
                plan_of(context_bytes, graph_pool_bytes, slack_bytes, block_tokens, step_tokens,
                        max_seqs, multiprocessors, max_context));
          },
          py::arg("geometry"), py::kw_only(), py::arg("blocks"), py::arg("context_bytes"),
          py::arg("block_tokens"), py::arg("step_tokens"), py::arg("max_seqs"),
          py::arg("graph_pool_bytes") = 0, py::arg("slack_bytes") = 0,
          py::arg("multiprocessors") = 0, py::arg("max_context") = 0)
      .def_property_readonly("geometry", &MemoryModel::geometry)
      .def_property_readonly("budget_bytes", &MemoryModel::budget_bytes)
      .def_property_readonly("context_bytes",
                             [](const MemoryModel& memory) { return memory.plan().context_bytes; })
      .def_property_readonly(
          "graph_pool_bytes",
          [](const MemoryModel& memory) { return memory.plan().graph_pool_bytes; })
      .def_property_readonly("slack_bytes",
                             [](const MemoryModel& memory) { return memory.plan().slack_bytes; })
      .def_property_readonly("fixed_bytes", &MemoryModel::fixed_bytes)
      .def(
          "activation",
          [](const MemoryModel& memory, std::int64_t prefill_tokens, std::int64_t decode_rows,
             std::int64_t sampled_rows) {
            return memory.activation({prefill_tokens, decode_rows, sampled_rows});
          },
          py::kw_only(), py::arg("prefill_tokens") = 0, py::arg("decode_rows") = 0,
          py::arg("sampled_rows") = 0)
      .def_property_readonly("activation_reserve_bytes", &MemoryModel::activation_reserve_bytes)
      .def_property_readonly("block_bytes", &MemoryModel::block_bytes)
      .def_property_readonly("block_tokens", &MemoryModel::block_tokens)
      .def_property_readonly("pool_blocks", &MemoryModel::pool_blocks)
      .def("padded_kv_bytes", &MemoryModel::padded_kv_bytes, py::arg("rows"), py::arg("length"));
  m.def(
      "num_splits",
      [](const ModelGeometry& geometry, std::int64_t rows, std::int64_t longest,
         std::int64_t multiprocessors) {
        return num_splits(geometry.attention(), rows, longest, multiprocessors);
      },
      py::arg("geometry"), py::kw_only(), py::arg("rows"), py::arg("longest"),
      py::arg("multiprocessors"));
  bind_layouts(m);
}
