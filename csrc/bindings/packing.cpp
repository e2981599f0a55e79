// Packing of NumPy arrays of any integer type, without a copy.

#include "warpgroup/packing/packing.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#ifdef WARPGROUP_SLOWER
#include <atomic>
#endif
#include <memory>

#include "bindings.hpp"
#include "warpgroup/packing/bin_packer.hpp"

namespace py = pybind11;
using namespace warpgroup;

namespace {

// The vector's memory as a NumPy array without a copy. The array keeps the packing alive.
py::array_t<std::int32_t> bins_of(const std::shared_ptr<Packing>& packing) {
  return py::array_t<std::int32_t>(static_cast<py::ssize_t>(packing->bin_of.size()),
                                   packing->bin_of.data(), py::cast(packing));
}

void check_array(const py::array& lengths) {
  if (lengths.ndim() != 1) {
    throw py::value_error("lengths has " + std::to_string(lengths.ndim()) +
                          " dimensions, expected 1");
  }
  const char kind = lengths.dtype().kind();
  const char order = lengths.dtype().byteorder();
  if ((kind != 'i' && kind != 'u') || order == '>') {
    throw py::type_error("lengths are " + std::string(py::str(lengths.dtype())) +
                         ", expected integers in native byte order");
  }
  if ((lengths.flags() & py::array::c_style) == 0) {
    throw py::value_error("lengths is not contiguous: pass numpy.ascontiguousarray(lengths)");
  }
}

// Calls `use` with the array's memory as a pointer to the array's integer type.
template <class Use>
auto with_integers(const py::array& array, Use&& use) {
  const void* data = array.data();
  const bool is_signed = array.dtype().kind() == 'i';
  switch (array.dtype().itemsize()) {
    case 1:
      return is_signed ? use(static_cast<const std::int8_t*>(data))
                       : use(static_cast<const std::uint8_t*>(data));
    case 2:
      return is_signed ? use(static_cast<const std::int16_t*>(data))
                       : use(static_cast<const std::uint16_t*>(data));
    case 4:
      return is_signed ? use(static_cast<const std::int32_t*>(data))
                       : use(static_cast<const std::uint32_t*>(data));
    default:
      return is_signed ? use(static_cast<const std::int64_t*>(data))
                       : use(static_cast<const std::uint64_t*>(data));
  }
}

#ifdef WARPGROUP_SLOWER
// Whether this call is done twice: for 5 %, every 20th call is.
bool is_done_twice() {
  static std::atomic<std::int64_t> calls{0};
  return calls.fetch_add(1, std::memory_order_relaxed) * WARPGROUP_SLOWER % 100 < WARPGROUP_SLOWER;
}
#endif

std::shared_ptr<Packing> pack_array(const py::array& lengths, std::int64_t capacity,
                                    const std::string& algorithm) {
  check_array(lengths);
  const auto count = static_cast<std::size_t>(lengths.size());
  return with_integers(lengths, [&](const auto* sizes) {
    const py::gil_scoped_release release;
#ifdef WARPGROUP_SLOWER
    if (is_done_twice()) pack(sizes, count, capacity, algorithm);
#endif
    return std::make_shared<Packing>(pack(sizes, count, capacity, algorithm));
  });
}

py::array_t<std::int32_t> extend(BinPacker& packer, const py::array& lengths) {
  check_array(lengths);
  py::array_t<std::int32_t> bins(lengths.size());
  std::int32_t* const out = bins.mutable_data();
  with_integers(lengths, [&](const auto* sizes) {
    const py::gil_scoped_release release;
    packer.insert_all(sizes, static_cast<std::size_t>(lengths.size()), out);
  });
  return bins;
}

}  // namespace

void bind_packing(py::module_& m) {
  py::class_<Packing, std::shared_ptr<Packing>>(m, "Packing")
      .def_property_readonly("bin_of", &bins_of)
      .def_readonly("num_bins", &Packing::num_bins)
      .def_readonly("lower_bound", &Packing::lower_bound);
  m.def("pack", &pack_array, py::arg("lengths"), py::arg("capacity"), py::arg("algorithm") = "ffd");
  m.def("packing_algorithms", &packing_algorithms);
  py::class_<BinPacker>(m, "BinPacker")
      .def(py::init<std::int64_t, const std::string&>(), py::arg("capacity"),
           py::arg("algorithm") = "first-fit")
      .def("insert", &BinPacker::insert, py::arg("length"))
      .def("extend", &extend, py::arg("lengths"))
      .def("remove", &BinPacker::remove, py::arg("bin"), py::arg("length"))
      .def("free_space", &BinPacker::free_space, py::arg("bin"))
      .def_property_readonly("capacity", &BinPacker::capacity)
      .def_property_readonly("num_bins", &BinPacker::num_bins);
}
