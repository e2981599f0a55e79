#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace warpgroup {

// Intrusive lists of the bins that have equal free space. The bin that changed last is the first.
class FreeSpaceLists {
 public:
  static constexpr std::int32_t kNone = -1;

 protected:
  void link(std::int32_t& head, std::int32_t bin);
  void unlink(std::int32_t& head, std::int32_t bin);

 private:
  std::vector<std::int32_t> next_;
  std::vector<std::int32_t> previous_;
};

// The free-space index for small capacities: a bitmap of the amounts of free space that occur, with
// bitmaps of its words above it. Finding the next amount takes a few count-trailing-zeros.
class DenseFreeSpace : public FreeSpaceLists {
 public:
  static constexpr std::int64_t kMaxCapacity = (std::int64_t{1} << 24) - 1;

  explicit DenseFreeSpace(std::int64_t capacity);
  void add(std::int64_t free, std::int32_t bin);
  void remove(std::int64_t free, std::int32_t bin);
  // The smallest amount that occurs and is at least `size`; the largest that occurs; -1 if none.
  std::int64_t at_least(std::int64_t size) const;
  std::int64_t largest() const;
  std::int32_t first(std::int64_t free) const { return head_[static_cast<std::size_t>(free)]; }

 private:
  std::vector<std::int32_t> head_;
  std::vector<std::vector<std::uint64_t>> levels_;  // [0]: one bit for each amount
};

// The free-space index for large capacities, such as bytes: a search tree.
class SparseFreeSpace : public FreeSpaceLists {
 public:
  explicit SparseFreeSpace(std::int64_t) {}
  void add(std::int64_t free, std::int32_t bin);
  void remove(std::int64_t free, std::int32_t bin);
  std::int64_t at_least(std::int64_t size) const;
  std::int64_t largest() const;
  std::int32_t first(std::int64_t free) const { return head_.at(free); }

 private:
  std::map<std::int64_t, std::int32_t> head_;
};

}  // namespace warpgroup
