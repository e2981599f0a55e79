#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "warpgroup/memory/flash_attention.hpp"

namespace warpgroup {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// Vectorised loads and cp.async move 16 bytes, so the size of a KV block is a multiple of 16.
constexpr std::int64_t kKvAlignment = 16;
// PyTorch's caching allocator rounds each allocation up to a multiple of this (kMinBlockSize).
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
  // Parameters of matrix products: all but the input embedding, which is only looked up.
  std::int64_t matmul_parameters() const;
  std::int64_t weight_bytes() const;
  std::int64_t kv_bytes_per_token() const;
  AttentionShape attention() const { return {query_heads, kv_heads, head_dim, dtype_bytes}; }
};

// The size of a step, as far as its temporary tensors depend on it.
struct StepShape {
  std::int64_t prefill_tokens = 0;
  std::int64_t decode_rows = 0;
  std::int64_t sampled_rows = 0;
};

// A step's temporary tensors at their peak, in bytes. The residual stream exists all the time.
// Beside it only the largest of the phases attention, MLP and logits counts; the others are 0.
struct Activation {
  std::int64_t residual = 0;
  std::int64_t projections = 0;         // attention: normed input, queries, keys, values
  std::int64_t attention_output = 0;    // FlashAttention-2's output
  std::int64_t log_sum_exp = 0;         // FlashAttention-2
  std::int64_t split_accumulators = 0;  // FlashAttention-2, decode
  std::int64_t mlp = 0;                 // normed input, gate, up and their product
  std::int64_t logits = 0;              // gathered rows, and the logits
  std::int64_t rounding = 0;            // of all of these to the allocator's blocks

  std::int64_t bytes() const {
    return residual + projections + attention_output + log_sum_exp + split_accumulators + mlp +
           logits + rounding;
  }
};

// How the memory beside the weights is divided.
struct MemoryPlan {
  std::int64_t context_bytes = 0;     // CUDA context and driver, outside the allocator
  std::int64_t graph_pool_bytes = 0;  // captured CUDA graphs, given or measured
  std::int64_t block_tokens = 16;
  std::int64_t step_tokens = 1;  // of the largest step
  std::int64_t max_seqs = 1;
  std::int64_t multiprocessors = 0;  // 0: decode attention never splits
  std::int64_t max_context = 0;      // width of a block table, in tokens
  std::int64_t slack_bytes = 0;      // allocator memory beyond a step's tensors
};

// A VRAM budget too small for one KV block beside everything else.
class NoSpaceForKv : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// How a VRAM budget is divided: weights, CUDA context, graphs, the largest step's activations, and
// the KV pool.
class MemoryModel {
 public:
  // `budget_bytes` is all memory that the process may use. Throws std::invalid_argument if an
  // argument is out of range, and NoSpaceForKv if no KV block fits.
  MemoryModel(ModelGeometry geometry, std::int64_t budget_bytes, MemoryPlan plan);

  // The model whose budget gives exactly `blocks` KV blocks. It turns a KV budget in tokens or
  // blocks into bytes.
  static MemoryModel for_blocks(ModelGeometry geometry, std::int64_t blocks, MemoryPlan plan);

  // The same model with another budget. Throws NoSpaceForKv.
  MemoryModel with_budget(std::int64_t budget_bytes) const;

  const ModelGeometry& geometry() const { return geometry_; }
  std::int64_t budget_bytes() const { return budget_bytes_; }
  const MemoryPlan& plan() const { return plan_; }
  std::int64_t block_tokens() const { return plan_.block_tokens; }
  std::int64_t block_bytes() const;
  // Memory that is held for the whole run: weights, context and graphs.
  std::int64_t fixed_bytes() const;
  // Peak bytes of a step's temporary tensors.
  Activation activation(const StepShape& step) const;
  // Memory that a step allocates and frees: its tensors and the allocator's slack. If there are
  // CUDA graphs, steps that only decode run as graphs, whose tensors lie in the graph pool.
  std::int64_t step_bytes(const StepShape& step) const;
  // Memory that is kept free for steps. No step within the engine's limits allocates more.
  std::int64_t activation_reserve_bytes() const { return activation_reserve_bytes_; }
  std::int64_t pool_blocks() const;
  // KV bytes of a padded static batch: each row holds the blocks of the padded length.
  std::int64_t padded_kv_bytes(std::int64_t rows, std::int64_t length) const;

 private:
  MemoryModel(ModelGeometry geometry, MemoryPlan plan);
  void require_a_block() const;
  Activation activation_of(std::int64_t tokens, const StepShape& step,
                           std::int64_t split_bytes) const;

  ModelGeometry geometry_;
  std::int64_t budget_bytes_ = 0;
  MemoryPlan plan_;
  std::vector<std::int64_t> split_bytes_;  // by the number of decoding rows
  std::int64_t activation_reserve_bytes_ = 0;
};

}  // namespace warpgroup
