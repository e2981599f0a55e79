#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "warpgroup/memory/kv_layout.hpp"

namespace warpgroup {

// A block of one request to copy between the device and the host.
struct BlockCopy {
  std::int32_t host;
  std::int32_t device;
};

// The owners of all KV blocks: of the device's pool, and of the host memory for evicted caches. It
// also writes the block tables that attention kernels read, one for each seat (batch slot).
class BlockManager {
 public:
  // Running requests have seats from 0 to `seats` - 1 and hold up to `width` blocks each. The pool
  // starts with one block.
  BlockManager(std::int64_t seats, std::int64_t width, std::int64_t block_tokens);

  // Allocates blocks for a request's first `tokens` tokens. If there are too few, changes nothing
  // and returns false. Never frees blocks: after a step that ran out of memory a request may need
  // fewer blocks than it holds. Throws std::invalid_argument for a seat out of range or too many
  // tokens.
  bool hold(std::int64_t request, std::int64_t seat, std::int64_t tokens);
  // How many free blocks `hold` would take.
  std::int64_t missing(std::int64_t request, std::int64_t tokens) const;
  // Frees the blocks that a request holds on the device, if any.
  void release(std::int64_t request);

  // Changes the size of the pool and updates the tables. The caller must copy the moved blocks.
  // Throws std::invalid_argument if more blocks are held.
  std::vector<PagedKv::Move> resize(std::int64_t blocks);

  // Sets the number of host blocks; all host blocks become free.
  void open_host(std::int64_t blocks);
  // Allocates host blocks for a request's first `tokens` tokens; the request keeps its device
  // blocks. Throws std::logic_error if there are too few, since the scheduler knows how many there
  // are.
  std::vector<BlockCopy> swap_out(std::int64_t request, std::int64_t tokens);
  // Returns the copies back to the device, where the request must hold enough blocks, and frees the
  // host blocks. Throws std::invalid_argument if the request has nothing on the host.
  std::vector<BlockCopy> swap_in(std::int64_t request);
  std::int64_t host_tokens(std::int64_t request) const;
  void forget_host(std::int64_t request);

  // Frees all blocks on the device and on the host, and shrinks the pool to one block.
  void clear();

  std::int64_t blocks() const { return device_.blocks(); }
  std::int64_t free_blocks() const { return device_.free_blocks(); }
  std::int64_t host_blocks() const { return host_ ? host_->blocks() : 0; }
  std::int64_t seats() const { return seats_; }
  std::int64_t width() const { return width_; }
  std::int64_t block_tokens() const { return block_tokens_; }
  // Shape (seats, width). Entries behind a request's last block are stale.
  std::int32_t* tables() { return tables_.data(); }
  const std::int32_t* tables() const { return tables_.data(); }

 private:
  struct Held {
    std::int64_t seat;
    std::int64_t tokens;  // tokens for which the request has blocks
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
