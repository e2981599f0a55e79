#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "warpgroup/memory/kv_layout.hpp"

namespace warpgroup {

// A block of one request that is to be copied, between the device and the host.
struct BlockCopy {
  std::int32_t host;
  std::int32_t device;
};

// Which blocks of the device's pool, and of the host's memory for evicted caches, belong to whom;
// and the block tables that attention kernels read, by seat.
class BlockManager {
 public:
  // Running requests have seats below `seats` and hold up to `width` blocks each. The pool starts
  // with one block.
  BlockManager(std::int64_t seats, std::int64_t width, std::int64_t block_tokens);

  // Blocks for a request's first `tokens` tokens; false, and nothing changes, if there are not
  // enough. Fewer tokens than it has blocks for change nothing: a step that ran out of memory had
  // asked for more. Throws std::invalid_argument for a seat or a width that is not there.
  bool hold(std::int64_t request, std::int64_t seat, std::int64_t tokens);
  // How many blocks that would take from the free ones.
  std::int64_t missing(std::int64_t request, std::int64_t tokens) const;
  // Gives back what a request holds on the device, if anything.
  void release(std::int64_t request);

  // Another size of the pool; what lies in blocks that go is to be copied, and the tables know it.
  // Throws std::invalid_argument if more are held.
  std::vector<PagedKv::Move> resize(std::int64_t blocks);

  // So many blocks of host memory, and nobody's caches there.
  void open_host(std::int64_t blocks);
  // Places on the host for a request's first `tokens` tokens; it keeps its blocks on the device.
  // Throws std::logic_error if there are too few: whoever planned this knew how many there are.
  std::vector<BlockCopy> swap_out(std::int64_t request, std::int64_t tokens);
  // The way back, for a request that has the blocks for it on the device. Throws
  // std::invalid_argument if it has nothing on the host.
  std::vector<BlockCopy> swap_in(std::int64_t request);
  std::int64_t host_tokens(std::int64_t request) const;
  void forget_host(std::int64_t request);

  // Nobody holds anything, here or on the host; the pool has one block.
  void clear();

  std::int64_t blocks() const { return device_.blocks(); }
  std::int64_t free_blocks() const { return device_.free_blocks(); }
  std::int64_t host_blocks() const { return host_ ? host_->blocks() : 0; }
  std::int64_t seats() const { return seats_; }
  std::int64_t width() const { return width_; }
  std::int64_t block_tokens() const { return block_tokens_; }
  // (seats, width); what is behind a request's last block is left over.
  std::int32_t* tables() { return tables_.data(); }
  const std::int32_t* tables() const { return tables_.data(); }

 private:
  struct Held {
    std::int64_t seat;
    std::int64_t tokens;  // for which it has blocks
  };
  void refresh(std::int64_t request, std::int64_t seat);

  std::int64_t seats_, width_, block_tokens_;
  PagedKv device_;
  std::unique_ptr<PagedKv> host_;
  std::unordered_map<std::int64_t, Held> held_;
  std::unordered_map<std::int64_t, std::int64_t> host_tokens_;
  std::vector<std::int32_t> tables_;
};

}  // namespace warpgroup
