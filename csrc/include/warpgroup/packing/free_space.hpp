#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace warpgroup {

// Bins that have equal room, as intrusive lists: the bin that came to a room last is its first.
class RoomLists {
 public:
  static constexpr std::int32_t kNone = -1;

 protected:
  void link(std::int32_t& head, std::int32_t bin);
  void unlink(std::int32_t& head, std::int32_t bin);

 private:
  std::vector<std::int32_t> next_;
  std::vector<std::int32_t> previous_;
};

// Finds bins by their room where the capacity is small: a bitmap of the rooms that occur with
// bitmaps of its words above it, so that a successor is a few count-trailing-zeros away.
class DenseRooms : public RoomLists {
 public:
  static constexpr std::int64_t kMaxCapacity = (std::int64_t{1} << 24) - 1;

  explicit DenseRooms(std::int64_t capacity);
  void add(std::int64_t room, std::int32_t bin);
  void remove(std::int64_t room, std::int32_t bin);
  // The smallest room that occurs and is at least `size`, the largest that occurs; -1 if none.
  std::int64_t at_least(std::int64_t size) const;
  std::int64_t largest() const;
  std::int32_t first(std::int64_t room) const { return head_[static_cast<std::size_t>(room)]; }

 private:
  std::vector<std::int32_t> head_;
  std::vector<std::vector<std::uint64_t>> levels_;  // [0]: a bit for each room
};

// The same for capacities in bytes: a search tree.
class SparseRooms : public RoomLists {
 public:
  explicit SparseRooms(std::int64_t) {}
  void add(std::int64_t room, std::int32_t bin);
  void remove(std::int64_t room, std::int32_t bin);
  std::int64_t at_least(std::int64_t size) const;
  std::int64_t largest() const;
  std::int32_t first(std::int64_t room) const { return head_.at(room); }

 private:
  std::map<std::int64_t, std::int32_t> head_;
};

}  // namespace warpgroup
