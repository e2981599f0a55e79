// Items a second through the ring alone: producers and one consumer. Usage: submission_bench
// [items]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "warpgroup/staging/submission_ring.hpp"

namespace {

using namespace warpgroup;

struct Item {
  std::int64_t a, b, c;
};

double nanoseconds_each(int producers, std::int64_t items, std::uint64_t together) {
  SubmissionRing<Item> ring(4096);
  std::vector<std::thread> threads;
  const std::int64_t each =
      items / producers / static_cast<std::int64_t>(together) * static_cast<std::int64_t>(together);
  const auto start = std::chrono::steady_clock::now();
  for (int producer = 0; producer < producers; ++producer)
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < each;) {
        const std::uint64_t ticket = ring.claim(together);
        if (ticket == SubmissionRing<Item>::kFull) {
          std::this_thread::yield();
          continue;
        }
        for (std::uint64_t k = 0; k < together; ++k, ++i) ring.publish(ticket + k, {i, i, i});
      }
    });
  Item item{};
  for (std::int64_t popped = 0; popped < each * producers;)
    if (ring.pop(item))
      ++popped;
    else
      std::this_thread::yield();
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  return took.count() / static_cast<double>(each * producers);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t items = argc > 1 ? std::atoll(argv[1]) : 4'000'000;
  for (const std::uint64_t together : {1, 16})
    for (const int producers : {1, 2, 4}) {
      std::vector<double> found;
      for (int repeat = 0; repeat < 7; ++repeat)
        found.push_back(nanoseconds_each(producers, items, together));
      std::sort(found.begin(), found.end());
      std::printf(
          "%d producers, 1 consumer, %llu at a time: %.1f ns an item, median of 7; best %.1f\n",
          producers, static_cast<unsigned long long>(together), found[3], found[0]);
    }
}
