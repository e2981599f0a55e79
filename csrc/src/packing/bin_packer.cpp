#include "warpgroup/packing/bin_packer.hpp"

#include <stdexcept>

namespace warpgroup {

BinPacker::Rule BinPacker::rule_for(const std::string& algorithm, std::int64_t capacity) {
  if (capacity < 1) {
    throw std::invalid_argument("capacity is " + std::to_string(capacity) +
                                ", expected at least 1");
  }
  const bool dense = capacity <= DenseFreeSpace::kMaxCapacity;
  if (algorithm == "next-fit") return NextFit(capacity);
  if (algorithm == "first-fit") return FirstFit(capacity);
  if (algorithm == "best-fit") {
    if (dense) return FreeSpaceFit<Prefer::kLeast, DenseFreeSpace>(capacity);
    return FreeSpaceFit<Prefer::kLeast, SparseFreeSpace>(capacity);
  }
  if (algorithm == "worst-fit") {
    if (dense) return FreeSpaceFit<Prefer::kMost, DenseFreeSpace>(capacity);
    return FreeSpaceFit<Prefer::kMost, SparseFreeSpace>(capacity);
  }
  throw std::invalid_argument("unknown online algorithm '" + algorithm +
                              "': known are next-fit, first-fit, best-fit, worst-fit");
}

BinPacker::BinPacker(std::int64_t capacity, const std::string& algorithm)
    : capacity_(capacity), rule_(rule_for(algorithm, capacity)) {}

std::int32_t BinPacker::insert(std::int64_t size) {
  check_size(size, "the item");
  std::int32_t bin = 0;
  std::visit([&](auto& rule) { rule.place(size, 1, &bin); }, rule_);
  return bin;
}

void BinPacker::remove(std::int32_t bin, std::int64_t size) {
  check_bin(bin);
  if (size < 0 || size > capacity_ - free_space(bin)) {
    throw std::invalid_argument("bin " + std::to_string(bin) + " holds " +
                                std::to_string(capacity_ - free_space(bin)) + ", cannot remove " +
                                std::to_string(size));
  }
  std::visit([&](auto& rule) { rule.take_out(bin, size); }, rule_);
}

std::int64_t BinPacker::free_space(std::int32_t bin) const {
  check_bin(bin);
  return std::visit([&](const auto& rule) { return rule.free_space(bin); }, rule_);
}

std::int64_t BinPacker::num_bins() const {
  return std::visit([](const auto& rule) { return rule.num_bins(); }, rule_);
}

void BinPacker::check_size(std::int64_t size, const std::string& name) const {
  if (size >= 0 && size <= capacity_) return;
  throw std::invalid_argument(name + " has size " + std::to_string(size) +
                              ", expected 0 to the capacity, " + std::to_string(capacity_));
}

void BinPacker::check_bin(std::int32_t bin) const {
  if (bin >= 0 && bin < num_bins()) return;
  throw std::invalid_argument("there is no bin " + std::to_string(bin) +
                              ": bins opened so far: " + std::to_string(num_bins()));
}

}  // namespace warpgroup
