"""WarpGroup: which batching policy should serve these requests on this GPU, and what will it give?"""
