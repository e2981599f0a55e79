#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "warpgroup/packing/fits.hpp"

namespace warpgroup {

// Dynamic bin packing: the online algorithms of pack() for items that arrive and depart.
//
// A bin whose items have all departed stays open and is used again. With departures first-fit is
// the safe choice: the competitive ratio of best fit is unbounded (Li, Tang, Cai 2014).
class BinPacker {
 public:
  // algorithm: next-fit, first-fit, best-fit or worst-fit. Throws std::invalid_argument.
  BinPacker(std::int64_t capacity, const std::string& algorithm);

  // Inserts an item and returns its bin. O(log bins); O(1) for best and worst fit if the
  // capacity is below 2^24. Throws std::invalid_argument if no bin can hold it.
  std::int32_t insert(std::int64_t size);
  // Inserts `count` items in order and writes their bins. If one item is invalid, inserts none.
  template <class Size>
  void insert_all(const Size* sizes, std::size_t count, std::int32_t* bins);
  // Removes an item. Throws std::invalid_argument if the bin holds less than `size`.
  void remove(std::int32_t bin, std::int64_t size);

  std::int64_t capacity() const { return capacity_; }
  std::int64_t free_space(std::int32_t bin) const;
  std::int64_t num_bins() const;

 private:
  using Rule = std::variant<NextFit, FirstFit, FreeSpaceFit<Prefer::kLeast, DenseFreeSpace>,
                            FreeSpaceFit<Prefer::kLeast, SparseFreeSpace>,
                            FreeSpaceFit<Prefer::kMost, DenseFreeSpace>,
                            FreeSpaceFit<Prefer::kMost, SparseFreeSpace>>;
  static Rule rule_for(const std::string& algorithm, std::int64_t capacity);
  void check_bin(std::int32_t bin) const;
  void check_size(std::int64_t size, const std::string& name) const;

  std::int64_t capacity_;
  Rule rule_;
};

template <class Size>
void BinPacker::insert_all(const Size* sizes, std::size_t count, std::int32_t* bins) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto size = static_cast<std::int64_t>(sizes[i]);
    if (size < 0 || size > capacity_) check_size(size, "item " + std::to_string(i));
  }
  std::visit(
      [&](auto& rule) {
        for (std::size_t i = 0; i < count; ++i) {
          rule.place(static_cast<std::int64_t>(sizes[i]), 1, bins + i);
        }
      },
      rule_);
}

}  // namespace warpgroup
