// The slab layout of a step, and the split-KV schedule of its attention.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

#include "bindings.hpp"
#include "warpgroup/staging/attention_schedule.hpp"
#include "warpgroup/staging/step_slab.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

using Integers = py::array_t<std::int32_t, py::array::c_style>;
using Numbers = py::array_t<std::int64_t, py::array::c_style>;

// The writer, and references to the arrays that it reads.
struct Writer {
  SlabWriter writer;
  std::int64_t seats;
  std::vector<py::array> kept;
};

Writer make_writer(const Integers& log, const Numbers& starts, const Numbers& seat_request,
                   const Numbers& seat_tokens, const Numbers& seat_cached, const Integers& tables,
                   std::int64_t block_tokens, std::int64_t spare_seat, std::uint64_t seed) {
  require(tables.ndim() == 2, "block tables must have two dimensions");
  const std::int64_t seats = tables.shape(0);
  for (const Numbers* array : {&seat_request, &seat_tokens, &seat_cached})
    require(array->size() == seats,
            "seat_request, seat_tokens and seat_cached must have one entry for each seat");
  require(block_tokens > 0, "block_tokens must be at least 1");
  return {SlabWriter({log.data(), starts.data(), seat_request.data(), seat_tokens.data(),
                      seat_cached.data(), tables.data(), tables.shape(1), block_tokens, spare_seat,
                      seed}),
          seats,
          {log, starts, seat_request, seat_tokens, seat_cached, tables}};
}

void write_step(const Writer& self, Integers& slab, const SlabShape& shape, const Numbers& rows,
                const Numbers& pieces, std::int64_t continued) {
  require(pieces.ndim() == 2 && pieces.shape(1) == 6, "pieces must have six numbers each");
  const SlabArray last = slab_arrays(shape).back();
  require(slab.size() >= last.start + last.count, "the slab is smaller than the shape");
  require(rows.size() <= shape.rows && continued <= shape.chunks,
          "the step is larger than the shape");
  std::vector<std::int64_t> seats(rows.data(), rows.data() + rows.size());
  for (const std::int64_t seat : seats)
    require(seat >= 0 && seat < self.seats, "a seat is out of range");
  std::vector<SlabPiece> parts;
  std::int64_t tokens = shape.rows, drawn = rows.size();
  for (py::ssize_t i = 0; i < pieces.shape(0); ++i) {
    const std::int64_t* piece = pieces.data(i, 0);
    parts.push_back({piece[0], piece[1], piece[2], piece[3], piece[4], piece[5] != 0});
    require(piece[1] >= 0 && piece[1] < self.seats, "a seat is out of range");
    tokens += piece[3] + piece[4];
    drawn += piece[5] != 0;
  }
  require(tokens <= shape.tokens() && drawn <= shape.sampled &&
              pieces.shape(0) - continued <= shape.prompts,
          "the step is larger than the shape");
  std::int32_t* const memory = slab.mutable_data();
  const py::gil_scoped_release release;
  self.writer.write(memory, shape, seats, parts, continued);
}

// Checks the output arrays, then schedules and writes.
std::int64_t schedule(AttentionSchedule& self, const std::vector<AttentionTile>& tiles,
                      std::int64_t ctas, Integers& items, Integers& edges) {
  const auto count = static_cast<std::int64_t>(tiles.size());
  require(ctas > 0, "ctas must be at least 1");
  require(items.size() >= AttentionSchedule::kItem * AttentionSchedule::most_items(count, ctas),
          "items is too short: expected most_items(tiles, ctas) * ITEM integers");
  require(edges.size() >= count + 1,
          "edges is too short: expected one more integer than there are tiles");
  std::int32_t* const to_items = items.mutable_data();
  std::int32_t* const to_edges = edges.mutable_data();
  const std::int64_t most_tiles = edges.size() - 1;
  const py::gil_scoped_release release;
  self.schedule(tiles, ctas);
  return self.write(to_items, to_edges, most_tiles);
}

std::int64_t schedule_rows(AttentionSchedule& self, const Numbers& lengths, std::int64_t ctas,
                           Integers& items, Integers& edges) {
  std::vector<AttentionTile> tiles;
  for (py::ssize_t row = 0; row < lengths.size(); ++row) {
    const auto length = static_cast<std::int32_t>(lengths.data()[row]);
    require(length > 0, "each row must see at least one token");
    tiles.push_back(
        {static_cast<std::int32_t>(row), 1, length - 1, static_cast<std::int32_t>(row), length});
  }
  return schedule(self, tiles, ctas, items, edges);
}

std::int64_t schedule_chunks(AttentionSchedule& self,
                             const std::vector<std::pair<int, int>>& chunks, int tile_queries,
                             std::int64_t ctas, Integers& items, Integers& edges) {
  std::vector<AttentionTile> tiles;
  std::int32_t token = 0, place = 0;
  for (const auto& [start, tokens] : chunks) {
    for (int query = 0; query < tokens; query += tile_queries) {
      const int queries = std::min(tile_queries, tokens - query);
      tiles.push_back({token + query, queries, start + query, place, start + query + queries});
    }
    token += tokens;
    ++place;
  }
  return schedule(self, tiles, ctas, items, edges);
}

}  // namespace

void bind_staging(py::module_& m) {
  py::class_<SlabShape>(m, "SlabShape")
      .def(py::init([](std::int64_t rows, std::int64_t chunks, std::int64_t chunk_tokens,
                       std::int64_t prompts, std::int64_t prompt_tokens, std::int64_t sampled,
                       std::int64_t width) {
             return SlabShape{rows, chunks, chunk_tokens, prompts, prompt_tokens, sampled, width};
           }),
           py::arg("rows"), py::arg("chunks"), py::arg("chunk_tokens"), py::arg("prompts"),
           py::arg("prompt_tokens"), py::arg("sampled"), py::arg("width"))
      .def_readonly("rows", &SlabShape::rows)
      .def_readonly("chunks", &SlabShape::chunks)
      .def_readonly("chunk_tokens", &SlabShape::chunk_tokens)
      .def_readonly("prompts", &SlabShape::prompts)
      .def_readonly("prompt_tokens", &SlabShape::prompt_tokens)
      .def_readonly("sampled", &SlabShape::sampled)
      .def_readonly("width", &SlabShape::width)
      .def("arrays", [](const SlabShape& shape) {
        std::vector<std::tuple<std::string, std::int64_t, std::int64_t>> arrays;
        for (const SlabArray& array : slab_arrays(shape))
          arrays.emplace_back(array.name, array.start, array.count);
        return arrays;
      });
  py::class_<Writer>(m, "SlabWriter")
      .def(py::init(&make_writer), py::kw_only(), py::arg("log").noconvert(),
           py::arg("starts").noconvert(), py::arg("seat_request").noconvert(),
           py::arg("seat_tokens").noconvert(), py::arg("seat_cached").noconvert(),
           py::arg("tables").noconvert(), py::arg("block_tokens"), py::arg("spare_seat"),
           py::arg("seed"))
      .def("write", &write_step, py::arg("slab").noconvert(), py::arg("shape"), py::arg("rows"),
           py::arg("pieces"), py::arg("continued"));
  py::class_<AttentionSchedule>(m, "AttentionSchedule")
      .def(py::init())
      .def_readonly_static("ITEM", &AttentionSchedule::kItem)
      .def_static("most_items", &AttentionSchedule::most_items, py::arg("tiles"), py::arg("ctas"))
      .def("rows", &schedule_rows, py::arg("lengths"), py::arg("ctas"),
           py::arg("items").noconvert(), py::arg("edges").noconvert())
      .def("chunks", &schedule_chunks, py::arg("chunks"), py::arg("tile_queries"), py::arg("ctas"),
           py::arg("items").noconvert(), py::arg("edges").noconvert())
      .def_property_readonly("longest", &AttentionSchedule::longest);
}
