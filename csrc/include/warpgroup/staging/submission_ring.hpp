#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

namespace warpgroup {

// Producers and the consumer write to memory this far apart, since sharing a cache line is slow.
constexpr std::size_t kCacheLine = 64;

// A bounded queue of many producers and one consumer, without locks (Vyukov's ring of numbered
// slots).
//
// Each item gets a ticket, 0, 1, 2, ..., and items are popped in the order of tickets, which is the
// order of arrival. A push that returns before another begins has the smaller ticket. A pop finds
// nothing while the producer of the next ticket is still writing, even if later producers have
// finished. A closed ring gives no more tickets; items with tickets can still be popped.
//
// `kPublish` is the memory order with which a producer publishes its item. A weaker order than
// release is a data race; the stress test uses one to prove that it finds the race.
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

  // Claims `count` tickets in a row, whose items `publish` must write, and returns the first.
  // Returns kFull or kClosed, and changes nothing, if it cannot. Any thread.
  std::uint64_t claim(std::uint64_t count = 1) {
    if (count - 1 > mask_) return kFull;
    std::uint64_t ticket = next_ticket_.load(std::memory_order_relaxed);
    for (;;) {
      if ((ticket & kClosedBit) != 0) return kClosed;
      // Slots are freed in order: if the last is free, all before it are free.
      const std::uint64_t last = ticket + count - 1;
      const std::uint64_t turn = slots_[last & mask_].turn.load(std::memory_order_acquire);
      if (turn == last) {
        if (next_ticket_.compare_exchange_weak(ticket, ticket + count, std::memory_order_relaxed))
          return ticket;
      } else if (turn < last) {
        // The slot holds an item of the round before, unless the ring has moved on meanwhile.
        const std::uint64_t now = next_ticket_.load(std::memory_order_relaxed);
        if (now == ticket) return kFull;
        ticket = now;
      } else {
        ticket = next_ticket_.load(std::memory_order_relaxed);
      }
    }
  }

  // Writes the item of a claimed ticket. Once for each ticket.
  void publish(std::uint64_t ticket, const T& item) {
    Slot& slot = slots_[ticket & mask_];
    slot.item = item;
    slot.turn.store(ticket + 1, kPublish);
  }

  // Queues an item. Returns its ticket, kFull or kClosed. Any thread.
  std::uint64_t push(const T& item) {
    const std::uint64_t ticket = claim();
    if (ticket < kClosed) publish(ticket, item);
    return ticket;
  }

  // Ends the giving of tickets.
  void close() { next_ticket_.fetch_or(kClosedBit, std::memory_order_acq_rel); }
  bool closed() const { return (next_ticket_.load(std::memory_order_acquire) & kClosedBit) != 0; }

  // Takes the next item; false if it is not published yet. One thread at a time.
  bool pop(T& item) {
    const std::uint64_t ticket = popped_.load(std::memory_order_relaxed);
    Slot& slot = slots_[ticket & mask_];
    if (slot.turn.load(std::memory_order_acquire) != ticket + 1) return false;
    item = slot.item;
    slot.turn.store(ticket + mask_ + 1, std::memory_order_release);
    popped_.store(ticket + 1, std::memory_order_release);
    return true;
  }

  // Whether `pop` would find an item. One thread at a time.
  bool ready() const {
    const std::uint64_t ticket = popped_.load(std::memory_order_relaxed);
    return slots_[ticket & mask_].turn.load(std::memory_order_acquire) == ticket + 1;
  }

  std::size_t capacity() const { return mask_ + 1; }

  // The number of items claimed and not popped. Exact while no thread pushes or pops.
  std::size_t size() const {
    const std::uint64_t popped = popped_.load(std::memory_order_acquire);
    const std::uint64_t claimed = next_ticket_.load(std::memory_order_acquire) & ~kClosedBit;
    return static_cast<std::size_t>(claimed - popped);
  }

 private:
  static constexpr std::uint64_t kClosedBit = std::uint64_t{1} << 63;

  struct Slot {
    // t: the item of ticket t may be written here. t + 1: the item of ticket t is here.
    std::atomic<std::uint64_t> turn{0};
    T item{};
  };

  std::size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  alignas(kCacheLine) std::atomic<std::uint64_t> next_ticket_{0};
  alignas(kCacheLine) std::atomic<std::uint64_t> popped_{0};  // also the next ticket to pop
};

}  // namespace warpgroup
