#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

namespace warpgroup {

// Producers and the consumer write to memory that is this far apart, or they slow each other down.
constexpr std::size_t kCacheLine = 64;

// A bounded queue of many producers and one consumer, without locks (Vyukov's ring of numbered
// slots).
//
// Every item gets a ticket, 0, 1, 2 ..., and is popped in that order: the order of tickets is the
// order of arrival. A push that returned before another began has the smaller ticket. A pop finds
// nothing while the next ticket's producer is still writing, even if later ones have finished. Once
// the ring is closed no ticket is given any more; those that were can still be popped.
//
// `kPublish` is how a producer says that its item is written; anything weaker than release is a
// data race, which the stress test proves that it can see.
template <class T, std::memory_order kPublish = std::memory_order_release>
class SubmissionRing {
 public:
  static constexpr std::uint64_t kFull = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint64_t kClosed = kFull - 1;

  // Throws std::invalid_argument unless the capacity is a power of two, at least 2.
  explicit SubmissionRing(std::size_t capacity) : mask_(capacity - 1) {
    if (capacity < 2 || (capacity & mask_) != 0)
      throw std::invalid_argument("capacity is " + std::to_string(capacity) +
                                  ", expected a power of two, at least 2");
    slots_ = std::make_unique<Slot[]>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }

  // Places for `count` items side by side, to be written by `publish`; kFull, and nothing changes,
  // if there are not as many, or kClosed. Any thread.
  std::uint64_t claim(std::uint64_t count = 1) {
    if (count - 1 > mask_) return kFull;
    std::uint64_t ticket = next_ticket_.load(std::memory_order_relaxed);
    for (;;) {
      if ((ticket & kClosedBit) != 0) return kClosed;
      // Slots are freed in order: if the last one is free, all before it are.
      const std::uint64_t last = ticket + count - 1;
      const std::uint64_t turn = slots_[last & mask_].turn.load(std::memory_order_acquire);
      if (turn == last) {
        if (next_ticket_.compare_exchange_weak(ticket, ticket + count, std::memory_order_relaxed))
          return ticket;
      } else if (turn < last) {
        // Unless the ring moved on meanwhile, the slot holds an item of the round before.
        const std::uint64_t now = next_ticket_.load(std::memory_order_relaxed);
        if (now == ticket) return kFull;
        ticket = now;
      } else {
        ticket = next_ticket_.load(std::memory_order_relaxed);
      }
    }
  }

  // Writes the item of a claimed ticket, once.
  void publish(std::uint64_t ticket, const T& item) {
    Slot& slot = slots_[ticket & mask_];
    slot.item = item;
    slot.turn.store(ticket + 1, kPublish);
  }

  // The ticket, or kFull, or kClosed. Any thread.
  std::uint64_t push(const T& item) {
    const std::uint64_t ticket = claim();
    if (ticket < kClosed) publish(ticket, item);
    return ticket;
  }

  // No ticket is given after this.
  void close() { next_ticket_.fetch_or(kClosedBit, std::memory_order_acq_rel); }
  bool closed() const { return (next_ticket_.load(std::memory_order_acquire) & kClosedBit) != 0; }

  // The next item; false if it is not there yet. One thread at a time.
  bool pop(T& item) {
    const std::uint64_t ticket = popped_.load(std::memory_order_relaxed);
    Slot& slot = slots_[ticket & mask_];
    if (slot.turn.load(std::memory_order_acquire) != ticket + 1) return false;
    item = slot.item;
    slot.turn.store(ticket + mask_ + 1, std::memory_order_release);
    popped_.store(ticket + 1, std::memory_order_release);
    return true;
  }

  // Whether `pop` would find something. One thread at a time.
  bool ready() const {
    const std::uint64_t ticket = popped_.load(std::memory_order_relaxed);
    return slots_[ticket & mask_].turn.load(std::memory_order_acquire) == ticket + 1;
  }

  std::size_t capacity() const { return mask_ + 1; }

  // Items that were claimed and not yet popped: exact while nobody pushes or pops.
  std::size_t size() const {
    const std::uint64_t popped = popped_.load(std::memory_order_acquire);
    const std::uint64_t claimed = next_ticket_.load(std::memory_order_acquire) & ~kClosedBit;
    return static_cast<std::size_t>(claimed - popped);
  }

 private:
  static constexpr std::uint64_t kClosedBit = std::uint64_t{1} << 63;

  struct Slot {
    // The ticket that may be written here; one more: that ticket's item is here.
    std::atomic<std::uint64_t> turn{0};
    T item{};
  };

  std::size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  alignas(kCacheLine) std::atomic<std::uint64_t> next_ticket_{0};
  alignas(kCacheLine) std::atomic<std::uint64_t> popped_{0};  // also the next ticket to pop
};

}  // namespace warpgroup
