#include "warpgroup/memory/memory.hpp"

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

MemoryModel::MemoryModel(ModelGeometry geometry, MemoryPlan plan)
    : geometry_(geometry), plan_(plan) {
  geometry_.validate();
  require_positive(plan_.block_tokens, "block_tokens");
  require_positive(plan_.step_tokens, "step_tokens");
  require_positive(plan_.max_seqs, "max_seqs");
  if (plan_.context_bytes < 0) throw std::invalid_argument("context_bytes is negative");
  if (plan_.graph_pool_bytes < 0) throw std::invalid_argument("graph_pool_bytes is negative");
  if (plan_.slack_bytes < 0) throw std::invalid_argument("slack_bytes is negative");
  split_bytes_.push_back(0);
  if (plan_.multiprocessors > 0) {
    for (std::int64_t rows = 1; rows <= plan_.max_seqs; ++rows) {
      split_bytes_.push_back(split_accumulator_bytes(geometry_.attention(), rows, plan_.max_context,
                                                     plan_.multiprocessors));
    }
  }
  // Each tensor has its largest size: no step within the limits needs more.
  const StepShape largest{0, std::min(plan_.max_seqs, plan_.step_tokens), plan_.max_seqs};
  activation_reserve_bytes_ =
      activation_of(plan_.step_tokens, largest,
                    *std::max_element(split_bytes_.begin(), split_bytes_.end()))
          .bytes() +
      plan_.slack_bytes;
}

MemoryModel::MemoryModel(ModelGeometry geometry, std::int64_t budget_bytes, MemoryPlan plan)
    : MemoryModel(geometry, plan) {
  budget_bytes_ = budget_bytes;
  require_a_block();
}

MemoryModel MemoryModel::for_blocks(ModelGeometry geometry, std::int64_t blocks, MemoryPlan plan) {
  require_positive(blocks, "kv_blocks");
  MemoryModel model(geometry, plan);
  model.budget_bytes_ =
      model.fixed_bytes() + model.activation_reserve_bytes_ + blocks * model.block_bytes();
  return model;
}

Activation MemoryModel::activation(const StepShape& step) const {
  const auto rows = static_cast<std::size_t>(step.decode_rows);
  return activation_of(step.prefill_tokens + step.decode_rows, step,
                       rows < split_bytes_.size() ? split_bytes_[rows] : 0);
}

std::int64_t MemoryModel::step_bytes(const StepShape& step) const {
  if (plan_.graph_pool_bytes > 0 && step.prefill_tokens == 0) return 0;
  return activation(step).bytes() + plan_.slack_bytes;
}

Activation MemoryModel::activation_of(std::int64_t tokens, const StepShape& step,
                                      std::int64_t split_bytes) const {
  const ModelGeometry& g = geometry_;
  const std::int64_t e = g.dtype_bytes;
  const std::int64_t hidden = tokens * g.hidden * e;
  const std::int64_t query = tokens * g.query_heads * g.head_dim * e;
  const std::int64_t key = tokens * g.kv_heads * g.head_dim * e;
  const std::int64_t log_sum_exp = tokens * g.query_heads * 4;
  const std::int64_t intermediate = tokens * g.intermediate * e;
  const std::int64_t gathered = step.sampled_rows * g.hidden * e;
  const std::int64_t logits = step.sampled_rows * g.vocab * e;

  const std::int64_t attention_phase = allocated(hidden) + 2 * allocated(query) +
                                       2 * allocated(key) + allocated(log_sum_exp) +
                                       allocated(split_bytes);
  const std::int64_t mlp_phase = allocated(hidden) + 3 * allocated(intermediate);
  const std::int64_t logits_phase = allocated(gathered) + allocated(logits);
  const std::int64_t peak = std::max({attention_phase, mlp_phase, logits_phase});

  Activation a;
  a.residual = hidden;
  if (peak == mlp_phase) {
    a.mlp = hidden + 3 * intermediate;
  } else if (peak == logits_phase) {
    a.logits = gathered + logits;
  } else {
    a.projections = hidden + query + 2 * key;
    a.attention_output = query;
    a.log_sum_exp = log_sum_exp;
    a.split_accumulators = split_bytes;
  }
  a.rounding = allocated(hidden) + peak - a.bytes();
  return a;
}

void MemoryModel::require_a_block() const {
  if (pool_blocks() >= 1) return;
  throw NoSpaceForKv("the VRAM budget of " + std::to_string(budget_bytes_) +
                     " bytes is too small for one KV block: weights take " +
                     std::to_string(geometry_.weight_bytes()) + ", the CUDA context " +
                     std::to_string(plan_.context_bytes) + ", graphs " +
                     std::to_string(plan_.graph_pool_bytes) + ", the activations of a step " +
                     std::to_string(activation_reserve_bytes_));
}

MemoryModel MemoryModel::with_budget(std::int64_t budget_bytes) const {
  MemoryModel other = *this;
  other.budget_bytes_ = budget_bytes;
  other.require_a_block();
  return other;
}

std::int64_t MemoryModel::block_bytes() const {
  return round_up(plan_.block_tokens * geometry_.kv_bytes_per_token(), kKvAlignment);
}

std::int64_t MemoryModel::fixed_bytes() const {
  return geometry_.weight_bytes() + plan_.context_bytes + plan_.graph_pool_bytes;
}

std::int64_t MemoryModel::pool_blocks() const {
  const std::int64_t free = budget_bytes_ - fixed_bytes() - activation_reserve_bytes_;
  return free < 0 ? 0 : free / block_bytes();
}

std::int64_t MemoryModel::padded_kv_bytes(std::int64_t rows, std::int64_t length) const {
  return rows * ceil_div(length, plan_.block_tokens) * block_bytes();
}

}  // namespace warpgroup
