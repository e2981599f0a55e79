"""The terms of a report, each with its formula or meaning. Formulas are computed in `records.metrics`."""

GLOSSARY = {
    "TTFT": "time to first token: first_token - arrival. It includes the time in the queue.",
    "TPOT": "time per output token: (E2E - TTFT) / (n - 1) for n >= 2 output tokens.",
    "ITL": "inter-token latency: the gaps between two consecutive tokens of a request, pooled over all requests. "
    "Gaps inside a macro-step (many equal steps recorded as one) count as equal.",
    "E2E": "end-to-end latency: finish - arrival.",
    "wait": "first admission - arrival.",
    "SLO": "service level objective: the limits for TTFT and TPOT. A request with one output token has no TPOT, so "
    "only its TTFT counts.",
    "makespan": "last finish - first arrival.",
    "throughput": "prompt and output tokens of finished requests / makespan.",
    "goodput": "finished requests that kept the SLO / makespan. Goodput ranks policies only if at least 5 % of the "
    "requests, and at least 10, kept the SLO.",
    "attainment": "finished requests that kept the SLO / all requests, including rejected and failed ones.",
    "capacity": "the highest rate of requests at which enough of them kept the SLO.",
    "tie": "two figures that differ by at most 2 % count as equal. Goodput decides first, then throughput, then mean "
    "E2E.",
    "geometric mean": "the n-th root of the product of n values, here of one figure over n seeds. With it, the ratio "
    "of two means equals the mean of the ratios. If a value is 0, the mean is arithmetic and there is no factor.",
    "factor": "the first figure divided by the second. Above 1 is better for goodput and throughput, below 1 for "
    "latencies.",
    "OOM": "a step that ran out of memory. It produces no tokens. In a simulation it costs as much time as a step "
    "without work, because the allocation fails before anything is computed.",
    "preemptions": "how often a running request was evicted: its KV cache was dropped, or swapped to host memory.",
    "recompute tax": "(tokens computed - tokens needed) / tokens needed, without padding. A request needs prompt + "
    "output - 1 tokens.",
    "peak VRAM": "the largest memory use of any step: weights, context, activations and KV cache.",
    "KV pool": "the memory that is left for the KV cache after weights, context, CUDA graphs and activations.",
    "mean KV use": "time mean of the KV bytes held / KV pool bytes. A padded batch may exceed 1: it can use memory "
    "that other policies keep free for the activations of large steps.",
    "padding waste": "positions computed that belong to no request / all positions computed: prompts padded to the "
    "longest, and rows of a static batch whose request has ended.",
    "memory-bound share": "share of the makespan during which at least one request waited for memory.",
    "count policy": "a policy that limits a batch by its number of requests (count-static, count-continuous) and "
    "does not look at memory.",
    "best count": "the count policy with the best result among those that did not run out of memory. A good policy "
    "must beat this one.",
    "batch barrier": "a static batch takes new requests only when all its requests have ended.",
    "first-fit decreasing": "a rule for packing items into bins: take the items from the largest to the smallest, "
    "and put each into the first bin with enough space. The policies ffd and ffd-static pack waiting requests into "
    "the free VRAM in this way.",
    "upper bound": "a policy that knows the true output lengths, which no engine can. It shows what would be "
    "possible, and is not ranked against other policies.",
    "ablation": "a series of runs from count-static to the best policy. Each run differs from the one before by one "
    "switch, so a gain can be credited to the switch that brought it.",
    "prediction": "a simulation of a case that was not measured. It is ranked together with measurements.",
    "parity check": "a simulation that repeats a real run with the step times measured there. It shows whether "
    "simulator and runtime make the same plans, and predicts nothing.",
}
