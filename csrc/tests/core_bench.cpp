// Work for the performance gate: how often a case of the core allocates, what it copies and, under
// cachegrind, how many instructions it takes. Every number is the same in every run.
// Usage: core_bench --list | --build | CASE ROUNDS

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "core_bench_cases.hpp"

using core_bench::Case;
using core_bench::cases;

namespace {

struct Counters {
  bool on = false;
  std::int64_t allocations = 0;
  std::int64_t allocated_bytes = 0;
  std::int64_t copied_bytes = 0;
};

Counters counters;

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (counters.on) {
    ++counters.allocations;
    counters.allocated_bytes += static_cast<std::int64_t>(bytes);
  }
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + alignment - 1) & ~(alignment - 1);
  void* const memory = std::aligned_alloc(alignment, whole);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void note_copy(std::size_t bytes) {
  if (counters.on) counters.copied_bytes += static_cast<std::int64_t>(bytes);
}

}  // namespace

// The library's other forms call these. The recorder's columns use realloc, which is not counted.
void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

// The linker sends the core's copies here (--wrap). It does not see those that the compiler writes
// inline (of a size that it knows, or knows a small bound of: GCC makes a string instruction of a
// prompt's page), those made element by element, and those inside shared libraries.
extern "C" {
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __real_memmove(void* to, const void* from, std::size_t bytes);
void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  note_copy(bytes);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, std::size_t bytes) {
  note_copy(bytes);
  return __real_memmove(to, from, bytes);
}
}

namespace {

void run(const Case& chosen, std::int64_t rounds) {
  const auto round = chosen.prepare();
  std::uint64_t checksum = 0;
  counters.on = true;
  for (std::int64_t i = 0; i < rounds; ++i) checksum = checksum * 31 + round(i);
  counters.on = false;
  std::printf(
      "{\"case\": \"%s\", \"rounds\": %lld, \"allocations\": %lld, \"allocated_bytes\": %lld, "
      "\"copied_bytes\": %lld, \"checksum\": %llu}\n",
      chosen.name, static_cast<long long>(rounds), static_cast<long long>(counters.allocations),
      static_cast<long long>(counters.allocated_bytes),
      static_cast<long long>(counters.copied_bytes), static_cast<unsigned long long>(checksum));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string asked = argc > 1 ? argv[1] : "";
  if (asked == "--list") {
    for (const Case& one : cases()) std::printf("%s\n", one.name);
    return 0;
  }
  if (asked == "--build") {
    std::printf("{\"compiler\": \"%s\", \"flags\": \"%s\"}\n", WARPGROUP_COMPILER, WARPGROUP_FLAGS);
    return 0;
  }
  const std::int64_t rounds = argc == 3 ? std::atoll(argv[2]) : 0;
  for (const Case& one : cases()) {
    if (one.name != asked || rounds < 1) continue;
    run(one, rounds);
    return 0;
  }
  std::fprintf(stderr, "usage: core_bench --list | --build | CASE ROUNDS\n");
  return 2;
}
