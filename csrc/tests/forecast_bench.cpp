// Nanoseconds of one admission check against the forecast of k running requests, and of making that
// forecast again. Usage: forecast_bench

#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "warpgroup/scheduler/admission/future_peak.hpp"
#include "warpgroup/scheduler/admission/skyline.hpp"

namespace {

using namespace warpgroup;

// The fastest of several rounds: the machine may be shared.
template <class Work>
double nanoseconds(std::size_t calls, Work&& work) {
  double best = 1e18;
  for (int round = 0; round < 50; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < calls; ++i) work(i);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count() / static_cast<double>(calls));
  }
  return best;
}

}  // namespace

int main() {
  std::mt19937_64 random(1);
  LengthPredictor predictor;
  for (int i = 0; i < 2000; ++i) {
    predictor.observe(500, 1 + static_cast<std::int64_t>(random() % 1000));
  }
  const LengthWindow& lengths = predictor.lengths_after(500);
  std::printf("%8s %22s %22s %22s %22s\n", "running", "past-future check", "skyline check",
              "past-future forecast", "skyline forecast");
  for (const std::size_t k : {64, 256, 1024}) {
    std::vector<Course> courses;
    for (std::size_t i = 0; i < k + 64; ++i) {
      const auto generated = static_cast<std::int64_t>(random() % 900);
      const auto prompt = static_cast<std::int64_t>(100 + random() % 2000);
      courses.push_back({prompt + generated, generated, 1000,
                         static_cast<std::int64_t>(random() % 1000), &lengths});
    }
    const std::vector<Course> running(courses.begin(), courses.begin() + static_cast<long>(k));
    FuturePeak future(16);
    Skyline skyline(16, 4000);
    const auto forecast_skyline = [&] {
      skyline.reset();
      for (const Course& course : running) skyline.add(course);
    };
    future.assign(running);
    forecast_skyline();
    // The pool is just large enough, so that no check ends early.
    std::size_t fitting = 0;
    const double future_check =
        nanoseconds(64, [&](std::size_t i) { fitting += future.fits(courses[k + i], 1 << 30); });
    const double skyline_check =
        nanoseconds(64, [&](std::size_t i) { fitting += skyline.fits(courses[k + i], 1 << 30); });
    const double future_forecast = nanoseconds(4, [&](std::size_t) { future.assign(running); });
    const double skyline_forecast = nanoseconds(4, [&](std::size_t) { forecast_skyline(); });
    std::printf("%8zu %19.0f ns %19.0f ns %19.0f ns %19.0f ns%s\n", k, future_check, skyline_check,
                future_forecast, skyline_forecast, fitting == 0 ? " (nothing fits)" : "");
  }
}
