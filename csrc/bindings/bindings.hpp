#pragma once

#include <pybind11/pybind11.h>

void bind_intake(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_packing(pybind11::module_& m);
void bind_simulation(pybind11::module_& m);
void bind_staging(pybind11::module_& m);
