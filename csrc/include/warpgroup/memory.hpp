#pragma once

#include <cstdint>

namespace warpgroup {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// Vectorised kernel loads and cp.async move 16 bytes; every KV block is a multiple of that.
constexpr std::int64_t kKvAlignment = 16;
// PyTorch's caching allocator rounds every request up to this (kMinBlockSize).
constexpr std::int64_t kAllocatorBlock = 512;

// The shape of a decoder-only transformer of the Llama family.
struct ModelGeometry {
  std::int64_t layers;
  std::int64_t hidden;
  std::int64_t query_heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t intermediate;
  std::int64_t vocab;
  bool tied_embeddings;
  bool qkv_bias;
  bool qk_norm;
  std::int64_t dtype_bytes;

  // Throws std::invalid_argument naming the first field that is not positive.
  void validate() const;
  std::int64_t parameters() const;
  // Parameters that a step multiplies with: all but the input embedding, which is only looked up.
  std::int64_t matmul_parameters() const;
  std::int64_t weight_bytes() const;
  std::int64_t kv_bytes_per_token() const;
  // Peak bytes of a step's temporary tensors: `tokens` go through the layers, `sampled_rows` of
  // them get logits in float32. The largest of the three phases (attention, MLP, logits), each
  // tensor rounded to the allocator's block.
  std::int64_t activation_bytes(std::int64_t tokens, std::int64_t sampled_rows) const;
};

// Where a VRAM budget goes: weights, CUDA context, the largest step's activations, the KV pool.
class MemoryModel {
 public:
  // `budget_bytes` is all that the process may use. Throws std::invalid_argument if the weights,
  // the context and the largest step leave no room for one block.
  MemoryModel(ModelGeometry geometry, std::int64_t budget_bytes, std::int64_t context_bytes,
              std::int64_t block_tokens, std::int64_t step_tokens, std::int64_t max_seqs);

  // The budget that gives exactly `blocks` KV blocks: how a KV budget in tokens or blocks becomes
  // bytes.
  static MemoryModel for_blocks(ModelGeometry geometry, std::int64_t blocks,
                                std::int64_t context_bytes, std::int64_t block_tokens,
                                std::int64_t step_tokens, std::int64_t max_seqs);

  // The same division of another budget. Throws std::invalid_argument if no block is left.
  MemoryModel with_budget(std::int64_t budget_bytes) const;

  const ModelGeometry& geometry() const { return geometry_; }
  std::int64_t budget_bytes() const { return budget_bytes_; }
  std::int64_t context_bytes() const { return context_bytes_; }
  std::int64_t block_tokens() const { return block_tokens_; }
  std::int64_t block_bytes() const;
  // Held for the whole run whatever is scheduled: weights and context.
  std::int64_t fixed_bytes() const;
  // Kept free for the largest step that the engine's limits allow.
  std::int64_t activation_reserve_bytes() const { return activation_reserve_bytes_; }
  std::int64_t pool_blocks() const;
  // KV bytes of a padded static batch: every layer's keys and values are one tensor of rows x
  // length.
  std::int64_t padded_kv_bytes(std::int64_t rows, std::int64_t length) const;

 private:
  void require_a_block() const;

  ModelGeometry geometry_;
  std::int64_t budget_bytes_;
  std::int64_t context_bytes_;
  std::int64_t block_tokens_;
  std::int64_t activation_reserve_bytes_;
};

}  // namespace warpgroup
