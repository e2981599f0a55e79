#include "warpgroup/memory/block_manager.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

BlockManager::BlockManager(std::int64_t seats, std::int64_t width, std::int64_t block_tokens)
    : seats_(seats),
      width_(width),
      block_tokens_(block_tokens),
      device_(1, block_tokens),
      tables_(static_cast<std::size_t>(seats * width), 0) {}

std::int64_t BlockManager::missing(std::int64_t request, std::int64_t tokens) const {
  const auto place = held_.find(request);
  const std::int64_t has = place == held_.end() ? 0 : ceil_div(place->second.tokens, block_tokens_);
  return std::max(ceil_div(tokens, block_tokens_) - has, std::int64_t{0});
}

bool BlockManager::hold(std::int64_t request, std::int64_t seat, std::int64_t tokens) {
  if (ceil_div(tokens, block_tokens_) > width_ || seat < 0 || seat >= seats_)
    throw std::invalid_argument("request " + std::to_string(request) + " with " +
                                std::to_string(tokens) + " tokens does not fit into seat " +
                                std::to_string(seat));
  const auto place = held_.find(request);
  if (place == held_.end()) {
    if (!device_.allocate(request, tokens)) return false;
    held_[request] = {seat, tokens};
  } else {
    if (tokens <= place->second.tokens) return true;
    if (!device_.grow(request, tokens)) return false;
    place->second.tokens = tokens;
  }
  refresh(request, seat);
  return true;
}

void BlockManager::release(std::int64_t request) {
  if (held_.erase(request) > 0) device_.free(request);
}

void BlockManager::refresh(std::int64_t request, std::int64_t seat) {
  const std::vector<std::int32_t>& blocks = device_.block_table(request);
  std::copy(blocks.begin(), blocks.end(), tables_.begin() + seat * width_);
}

std::vector<PagedKv::Move> BlockManager::resize(std::int64_t blocks) {
  std::vector<PagedKv::Move> moves = device_.resize(blocks);
  if (!moves.empty())
    for (const auto& [request, held] : held_) refresh(request, held.seat);
  return moves;
}

void BlockManager::open_host(std::int64_t blocks) {
  host_ = std::make_unique<PagedKv>(blocks, block_tokens_);
  host_tokens_.clear();
}

namespace {

// Pairs of host and device blocks, in table order.
std::vector<BlockCopy> block_pairs(const std::vector<std::int32_t>& host,
                                   const std::vector<std::int32_t>& device) {
  std::vector<BlockCopy> copies;
  for (std::size_t i = 0; i < std::min(host.size(), device.size()); ++i)
    copies.push_back({host[i], device[i]});
  return copies;
}

}  // namespace

std::vector<BlockCopy> BlockManager::swap_out(std::int64_t request, std::int64_t tokens) {
  if (!host_ || !host_->allocate(request, tokens))
    throw std::logic_error("request " + std::to_string(request) +
                           " needs more host blocks than are free");
  host_tokens_[request] = tokens;
  return block_pairs(host_->block_table(request), device_.block_table(request));
}

std::vector<BlockCopy> BlockManager::swap_in(std::int64_t request) {
  if (host_tokens(request) == 0)
    throw std::invalid_argument("request " + std::to_string(request) + " has nothing on the host");
  std::vector<BlockCopy> copies =
      block_pairs(host_->block_table(request), device_.block_table(request));
  forget_host(request);
  return copies;
}

std::int64_t BlockManager::host_tokens(std::int64_t request) const {
  const auto place = host_tokens_.find(request);
  return place == host_tokens_.end() ? 0 : place->second;
}

void BlockManager::forget_host(std::int64_t request) {
  if (host_tokens_.erase(request) > 0) host_->free(request);
}

void BlockManager::clear() {
  while (!held_.empty()) release(held_.begin()->first);
  while (!host_tokens_.empty()) forget_host(host_tokens_.begin()->first);
  device_.resize(1);
}

}  // namespace warpgroup
