// From plans to slabs: the builder of steps, and the thread that stages them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "warpgroup/staging/step_worker.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

using Integers = py::array_t<std::int32_t, py::array::c_style>;
using Numbers = py::array_t<std::int64_t, py::array::c_style>;

py::array_t<std::int64_t> as_array(const std::vector<std::int64_t>& values) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(values.size()), values.data());
}

// The builder, and references to the arrays and the block manager that it uses.
struct Builder {
  StepBuilder builder;
  std::int64_t requests;
  py::object kept_log, kept_block_manager;
};

std::vector<std::int64_t> as_vector(const Numbers& array) {
  return {array.data(), array.data() + array.size()};
}

std::unique_ptr<Builder> make_builder(Integers& log, const Numbers& starts,
                                      const Numbers& prompt_tokens, const Numbers& ends,
                                      const py::object& block_manager, std::uint64_t seed,
                                      bool padded) {
  require(starts.size() == prompt_tokens.size() && starts.size() == ends.size(),
          "starts, prompt_tokens and ends must have one entry for each request");
  require(log.size() > 0, "the log must have one more place than there are tokens");
  RequestLog requests{log.mutable_data(), log.size() - 1, as_vector(starts),
                      as_vector(prompt_tokens), as_vector(ends)};
  return std::unique_ptr<Builder>(new Builder{
      StepBuilder(std::move(requests), block_manager.cast<BlockManager&>(), seed, padded),
      starts.size(), log, block_manager});
}

void write_prepared(const Builder& self, Integers& slab, const SlabShape& shape,
                    bool all_continue) {
  const StepExtent& extent = self.builder.extent();
  const SlabArray last = slab_arrays(shape).back();
  const std::int64_t tokens = extent.chunk_tokens + extent.prompt_tokens;
  const auto prompts = static_cast<std::int64_t>(extent.prompts.size());
  require(slab.size() >= last.start + last.count, "the slab is smaller than the shape");
  require(extent.rows <= shape.rows && extent.sampled <= shape.sampled &&
              tokens <= shape.chunk_tokens + shape.prompt_tokens &&
              (all_continue ? extent.chunks + prompts <= shape.chunks
                            : extent.chunks <= shape.chunks && prompts <= shape.prompts),
          "the step is larger than the shape");
  std::int32_t* const memory = slab.mutable_data();
  const py::gil_scoped_release release;
  self.builder.write(memory, shape, all_continue);
}

void bind_step_builder(py::module_& m) {
  py::class_<StepExtent>(m, "StepExtent")
      .def_readonly("rows", &StepExtent::rows)
      .def_readonly("chunks", &StepExtent::chunks)
      .def_readonly("chunk_tokens", &StepExtent::chunk_tokens)
      .def_readonly("longest_chunk", &StepExtent::longest_chunk)
      .def_readonly("cached_tokens", &StepExtent::cached_tokens)
      .def_readonly("longest_cached", &StepExtent::longest_cached)
      .def_readonly("prompts", &StepExtent::prompts)
      .def_readonly("prompt_tokens", &StepExtent::prompt_tokens)
      .def_readonly("sampled", &StepExtent::sampled)
      .def_readonly("longest", &StepExtent::longest)
      .def_readonly("padded", &StepExtent::padded);
  py::class_<StepDraws>(m, "StepDraws")
      .def_property_readonly("requests", [](const StepDraws& d) { return as_array(d.requests); })
      .def_property_readonly("places", [](const StepDraws& d) { return as_array(d.places); })
      .def_readonly("finished", &StepDraws::finished);
  py::class_<Builder>(m, "StepBuilder")
      .def(py::init(&make_builder), py::kw_only(), py::arg("log").noconvert(), py::arg("starts"),
           py::arg("prompt_tokens"), py::arg("ends"), py::arg("block_manager"), py::arg("seed"),
           py::arg("padded"))
      .def(
          "apply",
          [](Builder& self, const StepPlan& plan) { return as_pairs(self.builder.apply(plan)); },
          py::arg("plan"))
      .def(
          "prepare", [](Builder& self, const StepPlan& plan) { return self.builder.prepare(plan); },
          py::arg("plan"))
      .def("missing_blocks", [](const Builder& self) { return self.builder.missing_blocks(); })
      .def(
          "limit_blocks",
          [](Builder& self, std::int64_t blocks) { self.builder.limit_blocks(blocks); },
          py::arg("blocks"))
      .def("restore", [](Builder& self) { return as_pairs(self.builder.restore()); })
      .def("hold", [](Builder& self) { return as_pairs(self.builder.hold()); })
      .def_property_readonly("extent", [](const Builder& self) { return self.builder.extent(); })
      .def("row_lengths", [](const Builder& self) { return as_array(self.builder.row_lengths()); })
      .def(
          "chunks", [](const Builder& self, bool all) { return self.builder.chunks(all); },
          py::kw_only(), py::arg("all"))
      .def("write", &write_prepared, py::arg("slab").noconvert(), py::arg("shape"), py::kw_only(),
           py::arg("all_continue"))
      .def("launched", [](Builder& self) { return self.builder.launched(); })
      .def(
          "retire",
          [](Builder& self, const std::vector<std::int64_t>& finished) {
            self.builder.retire(finished);
          },
          py::arg("finished"))
      .def(
          "generated",
          [](const Builder& self, std::int64_t request) { return self.builder.generated(request); },
          py::arg("request"));
}

SlabMemory memory_of(Integers& slab) { return {slab.mutable_data(), slab.size()}; }

// Keeps the objects alive that the stager uses.
struct Stager {
  StepStager stager;
  py::object kept;
};

struct Worker {
  std::unique_ptr<StepWorker> worker;
  py::tuple kept;
  py::object slab{};  // that it may be writing to

  // Waits for the thread without the GIL.
  ~Worker() {
    const py::gil_scoped_release release;
    worker.reset();
  }
};

std::unique_ptr<Worker> make_worker(const py::object& intake, const py::object& scheduler,
                                    const py::object& stager, Integers& log, const Numbers& starts,
                                    std::int64_t zero_ns) {
  const Intake::Log to{log.mutable_data(), log.size(), starts.data(), starts.size()};
  return std::unique_ptr<Worker>(
      new Worker{std::make_unique<StepWorker>(intake.cast<Intake&>(), scheduler.cast<Scheduler&>(),
                                              stager.cast<Stager&>().stager, to, zero_ns),
                 py::make_tuple(intake, scheduler, stager, log, starts)});
}

void bind_worker(py::module_& m) {
  py::class_<StagedStep>(m, "StagedStep")
      .def_readonly("plan", &StagedStep::plan)
      .def_readonly("drained", &StagedStep::drained)
      .def_property_readonly("to_host",
                             [](const StagedStep& step) { return as_pairs(step.to_host); })
      .def_property_readonly("to_device",
                             [](const StagedStep& step) { return as_pairs(step.to_device); })
      .def_readonly("missing_blocks", &StagedStep::missing_blocks)
      .def_readonly("shape", &StagedStep::shape)
      .def_readonly("captured", &StagedStep::captured)
      .def_readonly("awaits_tokens", &StagedStep::awaits_tokens)
      .def_readonly("written", &StagedStep::written);
  py::class_<Stager>(m, "StepStager")
      .def(
          py::init([](const py::object& builder, std::int64_t width,
                      std::vector<SlabShape> captured) {
            return std::unique_ptr<Stager>(new Stager{
                StepStager(builder.cast<Builder&>().builder, width, std::move(captured)), builder});
          }),
          py::arg("builder"), py::kw_only(), py::arg("width"), py::arg("captured"))
      .def(
          "stage",
          [](const Stager& self, const StepPlan& plan, Integers& slab) {
            StagedStep step;
            step.plan = plan;
            self.stager.stage(step, memory_of(slab));
            return step;
          },
          py::arg("plan"), py::arg("slab").noconvert());
  py::class_<Worker>(m, "StepWorker")
      .def(py::init(&make_worker), py::arg("intake"), py::arg("scheduler"), py::arg("stager"),
           py::kw_only(), py::arg("log").noconvert(), py::arg("starts").noconvert(),
           py::arg("zero_ns"))
      .def(
          "begin",
          [](Worker& self, Integers& slab) {
            self.worker->begin(memory_of(slab));
            self.slab = slab;
          },
          py::arg("slab").noconvert())
      .def("close",
           [](Worker& self) {
             without_gil([&] {
               self.worker->close();
               return true;
             });
           })
      .def("take", [](Worker& self) {
        // Keeps the GIL if there is nothing to wait for: getting it back would take longer.
        if (self.worker->ready()) return self.worker->take();
        return without_gil([&] { return self.worker->take(); });
      });
}

}  // namespace

void bind_steps(py::module_& m) {
  bind_step_builder(m);
  bind_worker(m);
}
