#include "warpgroup/memory.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace warpgroup {

namespace {

std::int64_t allocated(std::int64_t bytes) { return round_up(bytes, kAllocatorBlock); }

void require_positive(std::int64_t value, const char* name) {
  if (value <= 0) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                ", expected at least 1");
  }
}

}  // namespace

void ModelGeometry::validate() const {
  for (auto [value, name] : {std::pair{layers, "layers"},
                             {hidden, "hidden"},
                             {query_heads, "query_heads"},
                             {kv_heads, "kv_heads"},
                             {head_dim, "head_dim"},
                             {intermediate, "intermediate"},
                             {vocab, "vocab"},
                             {dtype_bytes, "dtype_bytes"}}) {
    require_positive(value, name);
  }
  if (query_heads % kv_heads != 0) {
    throw std::invalid_argument("query_heads is " + std::to_string(query_heads) +
                                ", expected a multiple of kv_heads, " + std::to_string(kv_heads));
  }
}

std::int64_t ModelGeometry::parameters() const {
  return matmul_parameters() + (tied_embeddings ? 0 : vocab * hidden);
}

std::int64_t ModelGeometry::matmul_parameters() const {
  const std::int64_t query = query_heads * head_dim;
  const std::int64_t key_value = kv_heads * head_dim;
  const std::int64_t attention = 2 * hidden * query + 2 * hidden * key_value +
                                 (qkv_bias ? query + 2 * key_value : 0) +
                                 (qk_norm ? 2 * head_dim : 0);
  const std::int64_t mlp = 3 * hidden * intermediate;
  const std::int64_t norms = 2 * hidden;
  const std::int64_t output_head = vocab * hidden;
  return layers * (attention + mlp + norms) + hidden + output_head;
}

std::int64_t ModelGeometry::weight_bytes() const { return parameters() * dtype_bytes; }

std::int64_t ModelGeometry::kv_bytes_per_token() const {
  return 2 * layers * kv_heads * head_dim * dtype_bytes;
}

std::int64_t ModelGeometry::activation_bytes(std::int64_t tokens, std::int64_t sampled_rows) const {
  const auto tensor = [&](std::int64_t rows, std::int64_t width) {
    return allocated(rows * width * dtype_bytes);
  };
  const std::int64_t residual = tensor(tokens, hidden);
  const std::int64_t normed = residual;
  const std::int64_t log_sum_exp = allocated(tokens * query_heads * 4);
  const std::int64_t attention = normed + 2 * tensor(tokens, query_heads * head_dim) +
                                 2 * tensor(tokens, kv_heads * head_dim) + log_sum_exp;
  const std::int64_t mlp = normed + 3 * tensor(tokens, intermediate);
  const std::int64_t logits = tensor(sampled_rows, hidden) + allocated(sampled_rows * vocab * 4);
  return residual + std::max({attention, mlp, logits});
}

MemoryModel::MemoryModel(ModelGeometry geometry, std::int64_t budget_bytes,
                         std::int64_t context_bytes, std::int64_t block_tokens,
                         std::int64_t step_tokens, std::int64_t max_seqs)
    : geometry_(geometry),
      budget_bytes_(budget_bytes),
      context_bytes_(context_bytes),
      block_tokens_(block_tokens) {
  geometry_.validate();
  require_positive(block_tokens, "block_tokens");
  require_positive(step_tokens, "step_tokens");
  require_positive(max_seqs, "max_seqs");
  if (context_bytes < 0) throw std::invalid_argument("context_bytes is negative");
  activation_reserve_bytes_ = geometry_.activation_bytes(step_tokens, max_seqs);
  require_a_block();
}

void MemoryModel::require_a_block() const {
  if (pool_blocks() < 1) {
    throw std::invalid_argument("the VRAM budget of " + std::to_string(budget_bytes_) +
                                " bytes leaves no room for one KV block: weights take " +
                                std::to_string(geometry_.weight_bytes()) + ", the CUDA context " +
                                std::to_string(context_bytes_) + ", the activations of a step " +
                                std::to_string(activation_reserve_bytes_));
  }
}

MemoryModel MemoryModel::for_blocks(ModelGeometry geometry, std::int64_t blocks,
                                    std::int64_t context_bytes, std::int64_t block_tokens,
                                    std::int64_t step_tokens, std::int64_t max_seqs) {
  geometry.validate();
  require_positive(blocks, "kv_blocks");
  require_positive(block_tokens, "block_tokens");
  const std::int64_t block = round_up(block_tokens * geometry.kv_bytes_per_token(), kKvAlignment);
  const std::int64_t budget = geometry.weight_bytes() + context_bytes +
                              geometry.activation_bytes(step_tokens, max_seqs) + blocks * block;
  return MemoryModel(geometry, budget, context_bytes, block_tokens, step_tokens, max_seqs);
}

MemoryModel MemoryModel::with_budget(std::int64_t budget_bytes) const {
  MemoryModel other = *this;
  other.budget_bytes_ = budget_bytes;
  other.require_a_block();
  return other;
}

std::int64_t MemoryModel::block_bytes() const {
  return round_up(block_tokens_ * geometry_.kv_bytes_per_token(), kKvAlignment);
}

std::int64_t MemoryModel::fixed_bytes() const { return geometry_.weight_bytes() + context_bytes_; }

std::int64_t MemoryModel::pool_blocks() const {
  const std::int64_t free = budget_bytes_ - fixed_bytes() - activation_reserve_bytes_;
  return free < 0 ? 0 : free / block_bytes();
}

std::int64_t MemoryModel::padded_kv_bytes(std::int64_t rows, std::int64_t length) const {
  const std::int64_t tensor =
      rows * length * geometry_.kv_heads * geometry_.head_dim * geometry_.dtype_bytes;
  return 2 * geometry_.layers * allocated(tensor);
}

}  // namespace warpgroup
